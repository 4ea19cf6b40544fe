"""Transport over SMTP: kept connections with pipelining, reopened when they break."""

import io
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends import smtp as django_smtp

from accounts.addresses import ascii_domain
from accounts.models import Subscriber
from digest.mailer.transports import (
    BeginCall,
    CallTooLateError,
    ConfigurationError,
    DeadlineReader,
    EncodedMail,
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
LEADING_DOT = re.compile(rb"^\.", re.M)
UNUSABLE_CHARS = re.compile(r"[\s<>\x00-\x1f\x7f]")
# Replies to RCPT that concern the session: bad sequence, authentication required.
SESSION_REFUSALS = (421, 500, 502, 503, 530, 535)

# Providers whose servers take these headers off a mail and return their value in events.
METADATA_HEADERS = {
    ".amazonaws.com": b"X-SES-MESSAGE-TAGS: digest=%s\r\n",
    ".postmarkapp.com": b"X-PM-Metadata-digest: %s\r\n",
}


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
    return parse_server_url(settings.SMTP_URL)


@lru_cache(maxsize=2)  # each mail asks for the server
def parse_server_url(url: str) -> Server:
    try:
        parts = urlsplit(url)
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
    """A connection that the first mail opens, kept open, and replaced when it breaks.

    Where the server offers PIPELINING (RFC 2920), a mail costs two writes and one wait:

        write: content of A │ end of A, MAIL B, RCPT B, DATA B │ content of B │ end of B, …
        read:                 A accepted, MAIL ok, RCPT ok, 354                B accepted, …
    """

    def __init__(self) -> None:
        self.smtp: smtplib.SMTP | None = None
        self.reader: DeadlineReader | None = None
        # The mail whose MAIL, RCPT and DATA were sent with the end of the one before.
        self.announced: EncodedMail | None = None

    def send_mail(
        self,
        mail: EncodedMail,
        begin_call: BeginCall,
        next_mail: EncodedMail | None = None,
    ) -> Result:
        """Send one mail; retry once at once if the kept connection turns out to be dead."""
        if not is_usable_address(mail.to):
            return refused("the address is not ASCII and the server has no SMTPUTF8")
        was_open = self.smtp is not None
        try:
            return self.attempt_mail(mail, begin_call, next_mail)
        except CallTooLateError:
            self.abort()  # the server waits for the content
            raise
        except smtplib.SMTPAuthenticationError as error:
            self.abort()
            return refused(describe_error(error), retry=True, halt=True)
        except (OSError, smtplib.SMTPException) as error:
            self.abort()
            if was_open:
                return self.send_mail(mail, begin_call, next_mail)
            return refused(describe_error(error), retry=True)

    def attempt_mail(
        self, mail: EncodedMail, begin_call: BeginCall, next_mail: EncodedMail | None
    ) -> Result:
        """Try once. Any exception is raised before the end of the content was sent.

        What fails before that is certainly not accepted (RFC 5321, 4.1.1.4).
        """
        if self.announced and self.announced is not mail:
            self.abort()  # the server expects another mail
        smtp = self.smtp or self.open()
        if refusal := self.offer_envelope(smtp, mail):
            return refusal
        begin_call()
        self.write(metadata_header(mail.key) + escape_dots(mail.content))
        end = b".\r\n"
        if next_mail and self.can_pipeline() and is_usable_address(next_mail.to):
            self.announced = next_mail
            end += b"".join(envelope_commands(smtp, next_mail))
        return self.finish_content(end)

    def offer_envelope(self, smtp: smtplib.SMTP, mail: EncodedMail) -> Result | None:
        """Send MAIL, RCPT and DATA unless they were announced; return the refusal of one of them."""
        commands = envelope_commands(smtp, mail)
        is_announced, self.announced = self.announced is mail, None
        if self.can_pipeline() and not is_announced:
            self.write(b"".join(commands))
        refusal, code = None, 0
        for command, map_reply in zip(commands, ENVELOPE_REPLIES, strict=True):
            if not self.can_pipeline():
                if refusal:
                    break
                self.write(command)
            code, reply = self.read_reply()
            refusal = refusal or map_reply(code, reply)
        if refusal and code == CONTENT_EXPECTED:
            self.abort()  # the server waits for content without a recipient
        elif refusal:
            self.reset_session(refusal)
        return refusal

    def finish_content(self, end: bytes) -> Result:
        """Send the end of the content; a reply that is no refusal leaves it unknown whether the mail was accepted."""
        try:
            self.write(end)
            code, reply = self.read_reply()
            if is_positive(code, reply):
                return accepted()
        except (OSError, smtplib.SMTPException) as error:
            self.abort()
            return unknown(f"connection lost: {describe_error(error)}")
        if code == SERVICE_CLOSING:
            self.abort()
        return result_of_refusal(code, reply)

    def open(self) -> smtplib.SMTP:
        smtp = open_smtp(parse_server())
        sock = cast(socket.socket, smtp.sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = DeadlineReader(sock)
        smtp.file = io.BufferedReader(self.reader)
        self.smtp = smtp
        return smtp

    def can_pipeline(self) -> bool:
        return self.smtp is not None and self.smtp.has_extn("pipelining")

    def write(self, data: bytes) -> None:
        if self.smtp is None or self.smtp.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        self.smtp.sock.settimeout(SMTP_TIMEOUT_S)
        self.smtp.sock.sendall(data)

    def read_reply(self) -> tuple[int, bytes]:
        if self.smtp is None or self.reader is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        self.reader.deadline = time.monotonic() + SMTP_TIMEOUT_S
        return self.smtp.getreply()

    def reset_session(self, refusal: Result) -> None:
        try:
            if refusal.detail.startswith(str(SERVICE_CLOSING)):
                raise smtplib.SMTPServerDisconnected
            self.write(b"RSET\r\n")
            self.read_reply()
        except (OSError, smtplib.SMTPException):
            self.abort()

    def close(self) -> None:
        """End the session politely."""
        with suppress(OSError, smtplib.SMTPException):
            self.write(b"QUIT\r\n")
            self.read_reply()
        self.abort()

    def abort(self) -> None:
        if self.smtp:
            self.smtp.close()
        self.smtp = self.announced = None


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


def envelope_commands(smtp: smtplib.SMTP, mail: EncodedMail) -> list[bytes]:
    mail_options, rcpt_options = report_options(smtp)
    sender = mail.return_path or sender_address()
    lines = [
        " ".join([f"MAIL FROM:<{sender}>", *mail_options]),
        " ".join([f"RCPT TO:<{mail.to}>", *rcpt_options]),
        "DATA",
    ]
    return [f"{line}\r\n".encode("ascii") for line in lines]


def metadata_header(key: str) -> bytes:
    """Return the header by which the provider's events name this digest, if it has one."""
    host = parse_server().host
    for domain, header in METADATA_HEADERS.items():
        if host.endswith(domain):
            return header % key.encode()
    return b""


def escape_dots(content: bytes) -> bytes:
    """Double the dot at the beginning of a line (RFC 5321, 4.5.2)."""
    if b"\n." in content or content.startswith(b"."):
        return LEADING_DOT.sub(b"..", content)
    return content


def is_usable_address(address: str) -> bool:
    """Whether the address can stand in a command: ASCII, and nothing that ends the command."""
    return address.isascii() and not UNUSABLE_CHARS.search(address)


def refusal_of_sender(code: int, reply: bytes) -> Result | None:
    if code == SERVICE_CLOSING:  # a connection that was idle for too long
        raise smtplib.SMTPServerDisconnected(describe_reply(code, reply))
    if is_positive(code, reply):
        return None
    return refused(describe_reply(code, reply), retry=True)


def refusal_of_recipient(code: int, reply: bytes) -> Result | None:
    if code in SESSION_REFUSALS:
        return refused(describe_reply(code, reply), retry=True)
    if is_positive(code, reply):
        return None
    return result_of_refusal(code, reply, is_recipient=True)


def refusal_of_data(code: int, reply: bytes) -> Result | None:
    if code == CONTENT_EXPECTED:
        return None
    if is_positive(code, reply):
        raise smtplib.SMTPServerDisconnected(describe_reply(code, reply))
    return result_of_refusal(code, reply)


# In the order of the commands.
ENVELOPE_REPLIES = (refusal_of_sender, refusal_of_recipient, refusal_of_data)


def report_options(connection: smtplib.SMTP) -> tuple[list[str], list[str]]:
    """Return the parameters of MAIL and RCPT that ask for reports, if the server has them (RFC 3461)."""
    if not (settings.BOUNCE_ADDRESS and connection.has_extn("dsn")):
        return [], []
    notify = ["NOTIFY=SUCCESS,FAILURE,DELAY"] if settings.SMTP_SUCCESS_REPORTS else []
    return ["RET=HDRS"], notify


def sender_address() -> str:
    return parse_sender(settings.MAIL_FROM)


@lru_cache(maxsize=8)  # for each mail, parsing takes a third of the time of a call
def parse_sender(mail_from: str) -> str:
    """Return the address in MAIL_FROM, in ASCII."""
    local, at, domain = parseaddr(mail_from)[1].rpartition("@")
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


# A connection announces the next mail with the end of the one before.
FORMAT = "mime"
PIPELINES = True


def check_settings() -> None:
    try:
        parse_server()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if not sender_address().isascii():
        raise ConfigurationError("MAIL_FROM must have an ASCII address")


def connect() -> Connection:
    return Connection()


encode_mail = as_bytes


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
