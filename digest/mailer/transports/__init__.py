"""The interface between a digest and the mail provider: `Transport`, and the `Result` of one call."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Protocol, cast

from django.conf import settings

from digest.mailer.mail import Mail


class ResultState(StrEnum):
    """What is known after a call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # surely not accepted
    UNKNOWN = "unknown"  # perhaps accepted: never to be sent again blindly


@dataclass(frozen=True)
class Result:
    """What a transport says of one mail.

    `retry`: refused for now, the same mail may be accepted later; `alone`: that
    is about this recipient, the next one may be tried at once; `halt`: nobody will
    be accepted until an operator has mended something; `wait`: seconds for which
    the provider wants no further mail.
    """

    state: ResultState
    detail: str = ""
    message_id: str = ""
    retry: bool = False
    alone: bool = False
    halt: bool = False
    wait: float = 0.0


def accepted(message_id: str, wait: float = 0.0) -> Result:
    return Result(ResultState.ACCEPTED, message_id=message_id, wait=wait)


def refused(
    detail: str,
    retry: bool = False,
    alone: bool = False,
    halt: bool = False,
    wait: float = 0.0,
) -> Result:
    return Result(ResultState.REFUSED, detail, "", retry, alone, halt, wait)


def unknown(detail: str) -> Result:
    return Result(ResultState.UNKNOWN, detail)


Send = Callable[[Mail], Result]


class Transport(Protocol):
    """A module that sends: files, smtp or sendgrid."""

    def connect(self) -> AbstractContextManager[Send]:
        """A way out, kept open between mails. Sending never raises for what the provider or the network does."""

    def find(self, key: str) -> bool | None:
        """Whether the mail with this key was accepted; None where this transport cannot look."""


def get_transport() -> Transport:
    """Import and return the module that MAIL_TRANSPORT names; the SendGrid SDK is slow to load."""
    match settings.MAIL_TRANSPORT:
        case "files" | "smtp" | "sendgrid" as name:
            return cast(Transport, import_module(f"digest.mailer.transports.{name}"))
        case other:
            raise ValueError(
                f"MAIL_TRANSPORT is {other!r}: use files, smtp or sendgrid"
            )
