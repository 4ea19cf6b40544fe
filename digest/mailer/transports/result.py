"""What a transport offers, and what it says became of a mail: the seam between a digest and the provider."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from digest.mailer.mail import Mail


class State(StrEnum):
    """What is known after a call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # surely not accepted
    UNKNOWN = "unknown"  # perhaps accepted: never to be sent again blindly


@dataclass(frozen=True)
class Outcome:
    """What a transport says of one mail.

    `retry`: refused for now, the same mail may be accepted later; `alone`: that
    is about this recipient, the next one may be tried at once; `halt`: nobody will
    be accepted until an operator has mended something; `wait`: seconds for which
    the provider wants no further mail.
    """

    state: State
    detail: str = ""
    message_id: str = ""
    retry: bool = False
    alone: bool = False
    halt: bool = False
    wait: float = 0.0


def accepted(message_id: str, wait: float = 0.0) -> Outcome:
    return Outcome(State.ACCEPTED, message_id=message_id, wait=wait)


def refused(
    detail: str,
    retry: bool = False,
    alone: bool = False,
    halt: bool = False,
    wait: float = 0.0,
) -> Outcome:
    return Outcome(State.REFUSED, detail, "", retry, alone, halt, wait)


def unknown(detail: str) -> Outcome:
    return Outcome(State.UNKNOWN, detail)


Send = Callable[[Mail], Outcome]


class Transport(Protocol):
    """A module that sends: files, smtp or sendgrid."""

    def connect(self) -> AbstractContextManager[Send]:
        """A way out, kept open between mails. Sending never raises for what the provider or the network does."""

    def find(self, key: str) -> bool | None:
        """Whether the mail with this key was accepted; None where this transport cannot look."""
