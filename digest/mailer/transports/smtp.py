"""Transport over SMTP: one persistent connection, reopened when it breaks."""

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parseaddr
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends import smtp as django_smtp

from accounts.addresses import ascii_domain
from accounts.models import Subscriber
from digest.mailer.transports import (
    Call,
    ConfigurationError,
    Mail,
    Prepare,
    Result,
    accepted,
    as_bytes,
    refused,
    unknown,
)

# Well below a batch's lease.
SMTP_TIMEOUT_S = 20
DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "smtp+tls": 587}
SERVICE_CLOSING = 421  # RFC 5321: the server closes the connection
CONTENT_EXPECTED = 354
LEADING_DOT = re.compile(rb"^\.", re.M)  # RFC 5321, 4.5.2: transparency
# Replies to RCPT that concern the session: bad sequence, authentication required.
SESSION_REFUSALS = (421, 500, 502, 503, 530, 535)


@dataclass(frozen=True)
class Server:
    """SMTP_URL, parsed: smtp:// in clear, smtps:// over TLS, smtp+tls:// with STARTTLS."""

    scheme: str
    host: str
    port: int
    user: str
    password: str


def parse_server() -> Server:
    """Parse SMTP_URL; raise ValueError, without the password, if it names no server."""
    try:
        parts = urlsplit(settings.SMTP_URL)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (parts.hostname and (parts.hostname + user + password).isascii()):
        raise ValueError(
            "SMTP_URL must look like smtp+tls://user:password@host:587, in ASCII and"
            " with percent-encoded special characters"
        )
    return Server(parts.scheme, parts.hostname, port, user, password)


class Connection:
    """A connection that the first mail opens, kept open, and replaced when it breaks."""

    def __init__(self) -> None:
        self.smtp: smtplib.SMTP | None = None

    def prepare_mail(self, mail: Mail) -> Call:
        return partial(self.send_mail, mail, as_bytes(mail))

    def send_mail(
        self, mail: Mail, content: bytes, check_lease: Callable[[], None]
    ) -> Result:
        """Send one mail; retry once at once if the kept connection turns out to be dead."""
        was_open = self.smtp is not None
        try:
            return self.attempt_mail(mail, content, check_lease)
        except smtplib.SMTPAuthenticationError as error:
            self.close()
            return refused(describe_error(error), retry=True, halt=True)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            if was_open:
                return self.send_mail(mail, content, check_lease)
            return refused(describe_error(error), retry=True)

    def attempt_mail(
        self, mail: Mail, content: bytes, check_lease: Callable[[], None]
    ) -> Result:
        """Try once. Any exception is raised before the content was offered."""
        if self.smtp is None:
            self.smtp = open_smtp(parse_server())
        refusal = send_envelope(self.smtp, mail)
        if refusal:
            self.reset_session(refusal)
            return refusal
        check_lease()
        return self.send_content(self.smtp, content, mail.headers["Message-ID"])

    def send_content(
        self, connection: smtplib.SMTP, content: bytes, message_id: str
    ) -> Result:
        """Send DATA and the content.

        What fails before the end of the content was sent is certainly not accepted
        (RFC 5321, 4.1.1.4) and raises; afterwards, a reply that is no refusal leaves it
        unknown whether the mail was accepted.
        """
        code, reply = connection.docmd("DATA")
        if code != CONTENT_EXPECTED:
            if is_positive(code, reply):
                raise smtplib.SMTPServerDisconnected(describe_reply(code, reply))
            refusal = result_of_refusal(code, reply)
            self.reset_session(refusal)
            return refusal
        connection.send(LEADING_DOT.sub(b"..", content) + b".\r\n")
        try:
            code, reply = connection.getreply()
            if is_positive(code, reply):
                return accepted(message_id)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            return unknown(f"connection lost: {describe_error(error)}")
        refusal = result_of_refusal(code, reply)
        self.reset_session(refusal)
        return refusal

    def reset_session(self, refusal: Result) -> None:
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
    # Our own host name: smtplib would ask the resolver for it, which may take seconds.
    host = ascii_domain(urlsplit(settings.SITE_URL).hostname or "localhost")
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
    mail_options, rcpt_options = report_options(connection)
    sender = mail.return_path or sender_address()
    code, reply = connection.mail(sender, mail_options)
    if code == SERVICE_CLOSING:  # a connection that was idle for too long
        raise smtplib.SMTPServerDisconnected(describe_reply(code, reply))
    if not is_positive(code, reply):
        return refused(describe_reply(code, reply), retry=True)
    try:
        code, reply = connection.rcpt(mail.to, rcpt_options)
    except UnicodeEncodeError:
        return refused("the address is not ASCII and the server has no SMTPUTF8")
    if code in SESSION_REFUSALS:
        return refused(describe_reply(code, reply), retry=True)
    if is_positive(code, reply):
        return None
    return result_of_refusal(code, reply, is_recipient=True)


def report_options(connection: smtplib.SMTP) -> tuple[list[str], list[str]]:
    """Return the parameters of MAIL and RCPT that ask for reports, if the server has them (RFC 3461)."""
    if not (settings.BOUNCE_ADDRESS and connection.has_extn("dsn")):
        return [], []
    notify = ["NOTIFY=SUCCESS,FAILURE,DELAY"] if settings.SMTP_SUCCESS_REPORTS else []
    return ["RET=HDRS"], notify


def sender_address() -> str:
    local, at, domain = parseaddr(settings.MAIL_FROM)[1].rpartition("@")
    return local + at + ascii_domain(domain)


def is_positive(code: int, reply: bytes) -> bool:
    """Whether a reply is positive: only the first digit counts (RFC 5321, 4.2.1).

    Raises SMTPServerDisconnected after a reply that is neither positive nor a refusal:
    the session is out of step.
    """
    if 400 <= code < 600 or 200 <= code < 300:
        return code < 300
    raise smtplib.SMTPServerDisconnected(describe_reply(code, reply))


def result_of_refusal(code: int, reply: bytes, is_recipient: bool = False) -> Result:
    """Map a refusal by RFC 5321: 4yz is temporary, 5yz permanent."""
    detail = describe_reply(code, reply)
    return refused(detail, retry=code < 500, is_recipient=is_recipient)


def describe_reply(code: int, reply: bytes) -> str:
    return f"{code} {reply.decode(errors='replace')}"


def describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def connect() -> Iterator[Prepare]:
    """Use one connection for all mails that are sent before it closes."""
    try:
        parse_server()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if not sender_address().isascii():
        raise ConfigurationError("MAIL_FROM must have an ASCII address")
    connection = Connection()
    try:
        yield connection.prepare_mail
    finally:
        connection.close()


def was_sent(key: str) -> None:
    """SMTP has no query for accepted mails."""


class EmailBackend(django_smtp.EmailBackend):
    """Django's mail backend for account mails: the same server, and the reader's return path."""

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

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            if return_path := find_return_path(message):
                # Django sends with from_email and writes the header From if it is given.
                message.extra_headers.setdefault("From", message.from_email)
                message.from_email = return_path
        return super().send_messages(email_messages)


def find_return_path(message: EmailMessage) -> str:
    """Return the return path of the reader whom an account mail is for; "" if there is none."""
    if not settings.BOUNCE_ADDRESS:
        return ""
    reader = Subscriber.objects.filter(email__in=message.to).first()
    return reader.return_path if reader else ""
