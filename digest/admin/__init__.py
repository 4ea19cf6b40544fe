"""The control room: what an editor and an operator see and do."""

from digest.admin import (
    editions,
    papers,
    readers,
    runs,
    sending,
    submissions,
    topics,
)

__all__ = [
    "editions",
    "papers",
    "readers",
    "runs",
    "sending",
    "submissions",
    "topics",
]
