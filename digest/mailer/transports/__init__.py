"""The interface to mail providers: a `Mail`, the `Transport` and `Connection` that send it, and the `Result`."""

import hashlib
import io
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from enum import StrEnum
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, cast

from django.conf import settings

from digest.mailer import quoted_printable


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


@dataclass(frozen=True, slots=True)
class EncodedMail:
    """A mail as the bytes that its transport sends."""

    key: str
    day: date
    to: str
    content: bytes
    return_path: str = ""


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
# An address that stays on its header's line and needs no quotation marks.
SHORT_ADDRESS = re.compile(r"[\w+-]+(?:\.[\w+-]+)*@[\w-]+(?:\.[\w-]+)+", re.ASCII)


def as_message(mail: Mail) -> EmailMessage:
    """Build the MIME message. Nothing in it is random, so a rebuilt mail has the same bytes."""
    message = EmailMessage(policy=POLICY)
    message["From"] = settings.MAIL_FROM
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = mail.sent_at
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content("", cte="quoted-printable")
    message.add_alternative("", subtype="html", cte="quoted-printable")
    for part, body in zip(message.iter_parts(), (mail.text, mail.html), strict=True):
        part.set_payload(quoted_printable.encode_body(body))
    message.set_boundary(boundary_of(mail.key))
    return message


def boundary_of(key: str) -> str:
    """Hash a digest's key for the boundary of its parts: the key itself opens the digest."""
    return f"=_{hashlib.sha256(f'boundary {key}'.encode()).hexdigest()[:32]}"


def fold_header(name: str, value: object) -> str:
    """Fold one header as `as_message` does."""
    if name.lower() in POLICY.UNFOLDED:
        return f"{name}: {value}{POLICY.linesep}"
    if name == "To" and is_short_address(str(value)):
        return f"To: {value}{POLICY.linesep}"
    return fold_parsed(name, value)


def is_short_address(address: str) -> bool:
    return len(address) < 70 and bool(SHORT_ADDRESS.fullmatch(address))


@lru_cache(maxsize=4096)
def fold_parsed(name: str, value: object) -> str:
    parsed_name, parsed_value = POLICY.header_store_parse(name, value)
    return POLICY.fold_binary(parsed_name, parsed_value).decode("ascii")


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
    `message_id`: the provider's own id of an accepted mail, if it has one.
    """

    state: ResultState
    detail: str = ""
    message_id: str = ""
    retry: bool = False
    is_recipient: bool = False
    halt: bool = False
    wait: float = 0.0


def accepted(message_id: str = "", wait: float = 0.0) -> Result:
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
    """The mail settings cannot work; raised before any digest is marked."""


class CallTooLateError(Exception):
    """The worker was stopped, or connecting took too long, since the last check: this mail was not offered."""


# Called right before the first byte that may lead to acceptance, of each attempt: notes that
# (see mailer/call_journal.py), or raises CallTooLateError.
BeginCall = Callable[[], None]


class Connection(Protocol):
    """A connection to the provider, used by one thread at a time: opened by its first mail, kept, reopened when it breaks."""

    def send_mail(
        self,
        mail: EncodedMail,
        begin_call: BeginCall,
        next_mail: EncodedMail | None = None,
    ) -> Result:
        """Offer one mail; never raises for network or provider errors.

        `next_mail` is the one that this connection sends next, if that is known already:
        a transport that pipelines announces it together with the end of this one.
        """

    def close(self) -> None: ...


class Transport(Protocol):
    """A module that sends: files, smtp or sendgrid."""

    #: What encode_mail returns: "mime", or the "json" of an API's request.
    FORMAT: str
    #: Whether a connection wants to know the next mail while it sends one.
    PIPELINES: bool

    def check_settings(self) -> None:
        """Raise ConfigurationError if no mail can be sent with these settings."""

    def connect(self) -> Connection:
        """Return a connection that is not open yet."""

    def encode_mail(self, mail: Mail) -> bytes:
        """Encode a mail for this transport. Whatever fails here fails before the digest is marked."""

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


class DeadlineReader(io.RawIOBase):
    """Reads a socket, however slowly its bytes arrive, until `deadline` (of time.monotonic) at the latest."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(remaining)
        return self.sock.recv_into(buffer)
