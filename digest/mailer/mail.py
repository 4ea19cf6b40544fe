"""A mail as it leaves the house: its words, and its bytes."""

from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class Mail:
    """One digest in words, the same whichever transport takes it."""

    key: str
    day: date
    to: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]
    sent_at: datetime


class Policy(EmailPolicy):
    """RFC 5322, except that an address in a header stays on one line.

    The standard library writes a token longer than a line as an encoded word,
    which no mailbox recognises as the address to unsubscribe at.
    """

    WHOLE = ("list-unsubscribe", "list-id", "message-id", "feedback-id")

    def fold(self, name: str, value: Any) -> str:
        if name.lower() in self.WHOLE:
            return f"{name}: {value}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() in self.WHOLE:
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


POLICY = Policy(linesep=SMTP.linesep)


def as_message(mail: Mail) -> EmailMessage:
    """Text first, then HTML; nothing in it is random, so that a rebuilt mail is the same to the byte."""
    message = EmailMessage(policy=POLICY)
    message["From"] = settings.MAIL_FROM
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = mail.sent_at
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{mail.key}")
    return message


def as_bytes(mail: Mail) -> bytes:
    """What goes into a file or over SMTP: lines end in CRLF, all of it is ASCII."""
    return as_message(mail).as_bytes()
