"""The interface to mail providers: a `Mail`, a `Transport` that sends it, and the `Result` of one call."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from enum import StrEnum
from importlib import import_module
from typing import Any, Protocol, cast

from django.conf import settings


@dataclass(frozen=True)
class Mail:
    """A rendered digest, the same for every transport."""

    key: str
    day: date
    to: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]
    sent_at: datetime
    return_path: str = ""  # the envelope sender, if not the address in MAIL_FROM


class UnfoldedHeaderPolicy(EmailPolicy):
    """RFC 5322, except that URLs and ids in headers stay on one line.

    The standard library folds a token longer than a line into encoded words, which
    mailbox providers do not recognise as the address to unsubscribe at.
    """

    UNFOLDED = ("list-unsubscribe", "list-id", "message-id", "feedback-id")

    def fold(self, name: str, value: Any) -> str:
        if name.lower() in self.UNFOLDED:
            return f"{name}: {value}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() in self.UNFOLDED:
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


POLICY = UnfoldedHeaderPolicy(linesep=SMTP.linesep)


def as_message(mail: Mail) -> EmailMessage:
    """Build the MIME message. Nothing in it is random, so a rebuilt mail has the same bytes."""
    message = EmailMessage(policy=POLICY)
    message["From"] = settings.MAIL_FROM
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = mail.sent_at
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    # Not the key itself, which opens the digest: a boundary is part of a header.
    boundary_hash = hashlib.sha256(f"boundary {mail.key}".encode()).hexdigest()
    message.set_boundary(f"=_{boundary_hash[:32]}")
    return message


def as_bytes(mail: Mail) -> bytes:
    """Serialise a mail as ASCII with CRLF line ends."""
    return as_message(mail).as_bytes()


class ResultState(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"  # certainly not accepted
    UNKNOWN = "unknown"  # may have been accepted: must not be sent again blindly


@dataclass(frozen=True)
class Result:
    """The result of offering one mail to the provider.

    `retry`: a temporary refusal, the same mail may be accepted later.
    `is_recipient`: the refusal concerns this recipient; the next mail may go at once.
    `halt`: no mail will be accepted until an operator changes something.
    `wait`: seconds for which the provider accepts no further mail.
    """

    state: ResultState
    detail: str = ""
    message_id: str = ""
    retry: bool = False
    is_recipient: bool = False
    halt: bool = False
    wait: float = 0.0


def accepted(message_id: str, wait: float = 0.0) -> Result:
    return Result(ResultState.ACCEPTED, message_id=message_id, wait=wait)


def refused(
    detail: str,
    retry: bool = False,
    is_recipient: bool = False,
    halt: bool = False,
    wait: float = 0.0,
) -> Result:
    return Result(ResultState.REFUSED, detail, "", retry, is_recipient, halt, wait)


def unknown(detail: str) -> Result:
    return Result(ResultState.UNKNOWN, detail)


class ConfigurationError(Exception):
    """The mail settings cannot work; raised by connect, before any digest is marked."""


# Makes the call. It calls its argument right before the first byte that may lead to
# acceptance; that raises if the caller has lost its lease meanwhile.
Call = Callable[[Callable[[], None]], Result]
# Encodes a mail. Whatever fails here fails before the digest is marked.
Prepare = Callable[[Mail], Call]


class Transport(Protocol):
    """A module that sends: files, smtp or sendgrid."""

    def connect(self) -> AbstractContextManager[Prepare]:
        """Check the settings and offer a connection for several mails.

        Raises ConfigurationError. Calls never raise for network or provider errors.
        """

    def was_sent(self, key: str) -> bool | None:
        """Whether the mail with this key was accepted; None if this transport cannot tell."""


def get_transport() -> Transport:
    """Import the module that MAIL_TRANSPORT names; lazily, because the SendGrid SDK loads slowly."""
    match settings.MAIL_TRANSPORT:
        case "files" | "smtp" | "sendgrid" as name:
            return cast(Transport, import_module(f"digest.mailer.transports.{name}"))
        case other:
            raise ValueError(
                f"MAIL_TRANSPORT is {other!r}: use files, smtp or sendgrid"
            )
