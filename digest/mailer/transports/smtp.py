"""The transport for any mail server: one kept SMTP connection, opened again where it broke."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.mail.backends import smtp as django_smtp

from digest.mailer.mail import Mail, as_bytes
from digest.mailer.transports import Result, Send, accepted, refused, unknown

# A server that says nothing for so long has gone; well under a batch's lease.
TIMEOUT_SECONDS = 20
SCHEMES = {"smtp": 25, "smtps": 465, "smtp+tls": 587}
SHUTTING_DOWN = 421  # RFC 5321: said by a server that closes the connection


@dataclass(frozen=True)
class Server:
    """What SMTP_URL says: smtp:// in clear, smtps:// within TLS, smtp+tls:// with STARTTLS."""

    scheme: str
    host: str
    port: int
    user: str
    password: str


def server() -> Server:
    """The server of SMTP_URL; ValueError where it is none."""
    parts = urlsplit(settings.SMTP_URL)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError("SMTP_URL must look like smtp+tls://user:password@host:587")
    return Server(
        parts.scheme,
        parts.hostname,
        parts.port or SCHEMES[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


class Line:
    """A connection that is opened by the first mail, kept, and replaced where it broke."""

    def __init__(self) -> None:
        self.open: smtplib.SMTP | None = None

    def send(self, mail: Mail) -> Result:
        """Hand one mail over; once more at once where the kept connection turns out to be dead."""
        kept = self.open is not None
        try:
            return self.attempt(mail)
        except smtplib.SMTPAuthenticationError as error:
            self.close()
            return refused(said(error), retry=True, halt=True)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            return self.send(mail) if kept else refused(said(error), retry=True)

    def attempt(self, mail: Mail) -> Result:
        """One try. What it raises was raised before the mail's content was offered."""
        if self.open is None:
            self.open = connected(server())
        refusal = envelope(self.open, mail)
        if refusal:
            self.tidy(refusal)
            return refusal
        return self.hand(self.open, as_bytes(mail), mail.headers["Message-ID"])

    def hand(self, connection: smtplib.SMTP, content: bytes, message_id: str) -> Result:
        """The content itself: from here on a lost connection leaves it unknown whether it was accepted."""
        try:
            code, reply = connection.data(content)
        except smtplib.SMTPDataError as error:
            code, reply = error.smtp_code, error.smtp_error  # type: ignore[assignment]
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            return unknown(f"connection lost: {said(error)}")
        if code == 250:
            return accepted(message_id)
        outcome = refusal_of(code, reply)
        self.tidy(outcome)
        return outcome

    def tidy(self, refusal: Result) -> None:
        """Make the connection ready for the next mail, or give it up."""
        try:
            if self.open is None or refusal.detail.startswith(str(SHUTTING_DOWN)):
                raise smtplib.SMTPServerDisconnected
            self.open.rset()
        except (OSError, smtplib.SMTPException):
            self.close()

    def close(self) -> None:
        if self.open:
            with suppress(OSError, smtplib.SMTPException):
                self.open.quit()
            self.open.close()
        self.open = None


def connected(server: Server) -> smtplib.SMTP:
    """A connection that is greeted, encrypted and logged in as SMTP_URL asks."""
    # Our own name: smtplib would ask the resolver for it, which may take seconds.
    name = urlsplit(settings.SITE_URL).hostname or "localhost"
    where: dict[str, Any] = {"local_hostname": name, "timeout": TIMEOUT_SECONDS}
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        line: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, context=context, **where
        )
    else:
        line = smtplib.SMTP(server.host, server.port, **where)
    try:
        line.ehlo_or_helo_if_needed()
        if server.scheme == "smtp+tls":
            line.starttls(context=ssl.create_default_context())
        if server.user:
            line.login(server.user, server.password)
    except BaseException:
        line.close()
        raise
    return line


def envelope(connection: smtplib.SMTP, mail: Mail) -> Result | None:
    """Name sender and recipient; the refusal where the server wants one of them not."""
    code, reply = connection.mail(parseaddr(settings.MAIL_FROM)[1])
    if code != 250:
        return refusal_of(code, reply)
    try:
        code, reply = connection.rcpt(mail.to)
    except UnicodeEncodeError:
        return refused("the address is not ASCII, which this server may not support")
    return None if code in (250, 251) else refusal_of(code, reply, alone=True)


def refusal_of(code: int, reply: bytes, alone: bool = False) -> Result:
    """RFC 5321: 4yz is for now, 5yz for good; a server that shuts down refuses everybody."""
    detail = f"{code} {reply.decode(errors='replace')}"
    return refused(detail, retry=code < 500, alone=alone and code != SHUTTING_DOWN)


def said(error: Exception) -> str:
    """An error in one line, without the password that a URL might hold."""
    return f"{type(error).__name__}: {error}"


@contextmanager
def connect() -> Iterator[Send]:
    """One connection for all mails that are sent before it closes."""
    line = Line()
    try:
        yield line.send
    finally:
        line.close()


def find(key: str) -> None:
    """A mail server cannot be asked what it accepted."""


class EmailBackend(django_smtp.EmailBackend):
    """Django's way out for confirmations: the same server."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        to = server()
        super().__init__(
            host=to.host,
            port=to.port,
            username=to.user,
            password=to.password,
            use_tls=to.scheme == "smtp+tls",
            use_ssl=to.scheme == "smtps",
            timeout=TIMEOUT_SECONDS,
            fail_silently=fail_silently,
        )
