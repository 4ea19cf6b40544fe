"""Transport over SMTP: one persistent connection, reopened when it breaks."""

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

from digest.mailer.transports import (
    Mail,
    Result,
    Send,
    accepted,
    as_bytes,
    refused,
    unknown,
)

# Well below a batch's lease.
SMTP_TIMEOUT_S = 20
DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "smtp+tls": 587}
SERVICE_CLOSING = 421  # RFC 5321: the server closes the connection


@dataclass(frozen=True)
class Server:
    """SMTP_URL, parsed: smtp:// in clear, smtps:// over TLS, smtp+tls:// with STARTTLS."""

    scheme: str
    host: str
    port: int
    user: str
    password: str


def parse_server() -> Server:
    """Parse SMTP_URL; raise ValueError if it names no server."""
    parts = urlsplit(settings.SMTP_URL)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("SMTP_URL must look like smtp+tls://user:password@host:587")
    return Server(
        parts.scheme,
        parts.hostname,
        parts.port or DEFAULT_PORTS[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


class Connection:
    """A connection that the first mail opens, that is kept, and replaced when it breaks."""

    def __init__(self) -> None:
        self.smtp: smtplib.SMTP | None = None

    def send_mail(self, mail: Mail) -> Result:
        """Send one mail; retry once at once if the kept connection turns out to be dead."""
        was_open = self.smtp is not None
        try:
            return self.attempt_mail(mail)
        except smtplib.SMTPAuthenticationError as error:
            self.close()
            return refused(describe_error(error), retry=True, halt=True)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            if was_open:
                return self.send_mail(mail)
            return refused(describe_error(error), retry=True)

    def attempt_mail(self, mail: Mail) -> Result:
        """Try once. Any exception is raised before the content was offered."""
        if self.smtp is None:
            self.smtp = open_smtp(parse_server())
        refusal = send_envelope(self.smtp, mail)
        if refusal:
            self.reset_session(refusal)
            return refusal
        return self.send_content(self.smtp, as_bytes(mail), mail.headers["Message-ID"])

    def send_content(
        self, connection: smtplib.SMTP, content: bytes, message_id: str
    ) -> Result:
        """Send DATA: from here on, a lost connection leaves it unknown whether the mail was accepted."""
        try:
            code, reply = connection.data(content)
        except smtplib.SMTPDataError as error:
            code, reply = error.smtp_code, error.smtp_error  # type: ignore[assignment]
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            return unknown(f"connection lost: {describe_error(error)}")
        if code == 250:
            return accepted(message_id)
        refusal = result_of_refusal(code, reply)
        self.reset_session(refusal)
        return refusal

    def reset_session(self, refusal: Result) -> None:
        """Make the connection ready for the next mail, or close it."""
        try:
            if self.smtp is None or refusal.detail.startswith(str(SERVICE_CLOSING)):
                raise smtplib.SMTPServerDisconnected
            self.smtp.rset()
        except (OSError, smtplib.SMTPException):
            self.close()

    def close(self) -> None:
        if self.smtp:
            with suppress(OSError, smtplib.SMTPException):
                self.smtp.quit()
            self.smtp.close()
        self.smtp = None


def open_smtp(server: Server) -> smtplib.SMTP:
    """Connect, greet, encrypt and log in as SMTP_URL asks."""
    # Our own host name: smtplib would ask the resolver for it, which may take seconds.
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    options: dict[str, Any] = {"local_hostname": host, "timeout": SMTP_TIMEOUT_S}
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, context=context, **options
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, **options)
    try:
        connection.ehlo_or_helo_if_needed()
        if server.scheme == "smtp+tls":
            connection.starttls(context=ssl.create_default_context())
        if server.user:
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection


def send_envelope(connection: smtplib.SMTP, mail: Mail) -> Result | None:
    """Send MAIL and RCPT; return the refusal if the server refuses either."""
    code, reply = connection.mail(parseaddr(settings.MAIL_FROM)[1])
    if code != 250:
        return result_of_refusal(code, reply)
    try:
        code, reply = connection.rcpt(mail.to)
    except UnicodeEncodeError:
        return refused("the address is not ASCII and the server has no SMTPUTF8")
    if code in (250, 251):
        return None
    return result_of_refusal(code, reply, is_recipient=True)


def result_of_refusal(code: int, reply: bytes, is_recipient: bool = False) -> Result:
    """Map a reply by RFC 5321: 4yz is temporary, 5yz permanent; 421 concerns all recipients."""
    detail = f"{code} {reply.decode(errors='replace')}"
    is_recipient = is_recipient and code != SERVICE_CLOSING
    return refused(detail, retry=code < 500, is_recipient=is_recipient)


def describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def connect() -> Iterator[Send]:
    """Use one connection for all mails that are sent before it closes."""
    connection = Connection()
    try:
        yield connection.send_mail
    finally:
        connection.close()


def was_sent(key: str) -> None:
    """A mail server cannot be asked what it accepted."""


class EmailBackend(django_smtp.EmailBackend):
    """Django's mail backend for account mails: the same server."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        server = parse_server()
        super().__init__(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.scheme == "smtp+tls",
            use_ssl=server.scheme == "smtps",
            timeout=SMTP_TIMEOUT_S,
            fail_silently=fail_silently,
        )
