"""The corridor, top to bottom: each step one task, each task a few lines."""

from typing import Any

from accounts.models import Subscriber


def on_confirmed(sender: Any, subscriber: Subscriber, wishes: Any, **_: Any) -> None:
    """A reader confirmed: follow what they asked for, and send the welcome digest at once."""
