"""A kept HTTP/1.1 connection that posts to one URL: bounded in time and size, never redirected.

http.client opens it (DNS, TLS, proxy). Requests are written and responses read here,
because its parser costs more than the rest of a call, and because one must know for
certain whether a failed request was complete.
"""

import io
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from digest.mailer.transports import DeadlineReader

CONNECT_TIMEOUT_S = 10
# For one request with its response; with the time to connect well below a batch's lease.
REQUEST_TIMEOUT_S = 20
# The body only explains a status: one that is cut short or slow changes nothing.
MAX_BODY_READ_BYTES, MAX_BODY_READ_S = 65_536, 5.0
MAX_LINE_BYTES, MAX_HEADERS = 8_192, 100
# Servers close connections that are idle for longer, usually after 60 seconds or more.
# A request that meets the end of its connection may have been accepted.
MAX_IDLE_S = 20.0

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")


class NotSentError(Exception):
    """The request was never complete, so that it cannot have been accepted."""


class NoResponseError(Exception):
    """The request was complete, and its response is missing or not HTTP."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


class HttpConnection:
    """Opened by its first request, and reopened after the server closed it."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = urlsplit(url)
        lines = [f"POST {self.url.path or '/'} HTTP/1.1", f"Host: {self.url.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.head = "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")
        self.connection: HTTPConnection | None = None
        self.idle_since = 0.0

    def post(self, body: bytes, before_first_byte: Callable[[], None]) -> Response:
        """Post a body and return the response of any status. Raises NotSentError or NoResponseError.

        `before_first_byte` is called on the open connection; what it raises passes through.
        """
        was_kept = self.is_usable()
        sock = self.open_socket()
        before_first_byte()
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        try:
            sock.settimeout(REQUEST_TIMEOUT_S)
            sock.sendall(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))
        except OSError as error:
            self.close()
            if was_kept:  # the server had closed it
                return self.post(body, before_first_byte)
            raise NotSentError(describe_error(error)) from error
        try:
            return self.read_response(deadline)
        except (OSError, ValueError) as error:
            self.close()
            raise NoResponseError(describe_error(error)) from error

    def is_usable(self) -> bool:
        """Whether the kept connection is open and nothing unexpected arrived on it."""
        if self.connection is None:
            return False
        is_fresh = time.monotonic() - self.idle_since < MAX_IDLE_S
        if is_fresh and not self.has_input():
            return True
        self.close()
        return False

    def has_input(self) -> bool:
        """Whether the server closed the connection, or sent more than its response."""
        if self.connection is None:
            return False
        sock = self.connection.sock
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        if poll.poll(0) or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            return True
        self.raw_reader.deadline = 0  # so that peek() does not read the socket
        try:
            return bool(self.reader.peek(1))
        except TimeoutError:
            return False

    def open_socket(self) -> socket.socket:
        if self.connection is None:
            connection = self.create_connection()
            try:
                connection.connect()
            except (OSError, HTTPException, ValueError) as error:
                connection.close()
                raise NotSentError(describe_error(error)) from error
            self.connection, self.idle_since = connection, time.monotonic()
            self.raw_reader = DeadlineReader(connection.sock)
            self.reader = io.BufferedReader(self.raw_reader)
        sock: socket.socket = self.connection.sock
        return sock

    def create_connection(self) -> HTTPConnection:
        """Create a connection to the server, or to the proxy that the environment names for it."""
        host, port = self.url.hostname or "", self.url.port
        proxy = urlsplit(getproxies().get(self.url.scheme, ""))
        if self.url.scheme != "https":
            return HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_S)
        if not proxy.hostname or proxy_bypass(host):
            return HTTPSConnection(
                host, port, timeout=CONNECT_TIMEOUT_S, context=tls_context()
            )
        connection = HTTPSConnection(
            proxy.hostname,
            proxy.port or 3128,
            timeout=CONNECT_TIMEOUT_S,
            context=tls_context(),
        )
        connection.set_tunnel(host, port or 443)
        return connection

    def read_response(self, deadline: float) -> Response:
        """Read the final response; raise ValueError for what is not HTTP."""
        self.raw_reader.deadline = deadline
        while True:
            is_kept, status, headers = self.read_head()
            if status >= 200:
                break  # 1yz are interim responses
        body, is_complete = self.read_body(status, headers)
        if not (is_kept and is_complete):
            self.close()
        self.idle_since = time.monotonic()
        return Response(status, headers, body)

    def read_head(self) -> tuple[bool, int, dict[str, str]]:
        """Return whether the connection is kept, the status, and the headers."""
        status_line = self.reader.readline(MAX_LINE_BYTES)
        match = STATUS_LINE.fullmatch(status_line)
        if match is None:
            raise ValueError("the connection ended" if not status_line else "not HTTP")
        headers: dict[str, str] = {}
        for _ in range(MAX_HEADERS):
            line = self.reader.readline(MAX_LINE_BYTES)
            if line in (b"\r\n", b"\n"):
                break
            name, colon, value = line.decode("latin-1").partition(":")
            if not (colon and line.endswith(b"\n")):
                raise ValueError("the headers are not HTTP")
            headers[name.lower()] = value.strip()
        else:
            raise ValueError("too many headers")
        is_kept = match[1] == b"1" and headers.get("connection", "").lower() != "close"
        return is_kept, int(match[2]), headers

    def read_body(self, status: int, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        """Return the beginning of the body, and whether that is all of it."""
        length = headers.get("content-length", "")
        if status == 204 or (length == "0" and "transfer-encoding" not in headers):
            return b"", True
        has_length = length.isdecimal() and "transfer-encoding" not in headers
        wanted = MAX_BODY_READ_BYTES
        if has_length:
            wanted = min(int(length[:9]), MAX_BODY_READ_BYTES)
        body = self.read_up_to(wanted)
        return body, has_length and len(body) == int(length[:9])

    def read_up_to(self, number: int) -> bytes:
        """Read this many bytes, or what arrives within MAX_BODY_READ_S."""
        body = b""
        self.raw_reader.deadline = time.monotonic() + MAX_BODY_READ_S
        try:
            while len(body) < number and (
                chunk := self.reader.read1(number - len(body))
            ):
                body += chunk
        except OSError:
            return body
        return body

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


@cache
def tls_context() -> ssl.SSLContext:
    """Create the context once: reading the certificates of all authorities takes 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
