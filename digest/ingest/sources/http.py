"""Bounded requests to the sources of listings, with retries."""

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime

import httpx
import stamina
from django.conf import settings

from digest.ingest.sources.listing import SourceError, parse_moment

SILENCE_TIMEOUT_S = httpx.Timeout(20.0, connect=5.0)
MAX_ATTEMPTS = 3
# All attempts together, so that no task hangs.
HTTP_TOTAL_TIMEOUT_S = 120.0
# One body: a source may also answer a byte at a time.
BODY_TIMEOUT_S = 60.0
# Unpacked; a feed of 2,000 listings has about 4 MB.
MAX_BODY_BYTES = 40_000_000
# Between attempts; arXiv asks everybody for three seconds.
RETRY_PAUSE_S = 3.0
# A source that asks for a longer pause is tried again by the next run.
MAX_RETRY_AFTER_S = 60.0
# The only encoding that is accepted, and only once: nested or newer encodings can
# expand a million times before their size is seen.
ACCEPTED_ENCODING = "gzip"

TOO_MANY_REQUESTS = httpx.codes.TOO_MANY_REQUESTS

RequestLock = Callable[[], AbstractContextManager[None]]


class Unreachable(SourceError):
    """The source did not answer, so other requests to it would fail as well."""


class RateLimited(Unreachable):
    """The source limits our requests (429)."""


class NotModified(Exception):
    """The source answered that the document has not changed since it was last read."""


@dataclass(frozen=True)
class Validators:
    """HTTP validators of a document, so that an unchanged one is not sent again."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        headers = {
            "If-None-Match": self.etag,
            "If-Modified-Since": self.last_modified,
        }
        return {name: value for name, value in headers.items() if value}


@dataclass(frozen=True)
class Document:
    """A whole body with its validators."""

    body: bytes
    validators: Validators


class _AttemptFailed(Exception):
    """One failed attempt; `retry_after` is the pause in seconds that the source wants."""

    def __init__(
        self,
        reason: str,
        is_retryable: bool,
        retry_after: float | None = None,
        is_rate_limit: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_retryable, self.retry_after = is_retryable, retry_after
        self.is_rate_limit = is_rate_limit


def open_client() -> httpx.Client:
    """Open a client with one connection, our name and bounded silences.

    arXiv answers 429 to anonymous clients below its documented rate; a distinctive
    name and a mail address help.
    """
    address = parseaddr(settings.MAIL_FROM)[1]
    user_agent = f"paper-round/0.1 (+{settings.SITE_URL}; mailto:{address})"
    return httpx.Client(
        headers={
            "User-Agent": user_agent.encode("ascii", "ignore").decode(),
            "Accept-Encoding": ACCEPTED_ENCODING,
        },
        timeout=SILENCE_TIMEOUT_S,
        follow_redirects=True,
        limits=httpx.Limits(max_connections=1),
        event_hooks={"response": [_refuse_internal_redirect]},
    )


def _refuse_internal_redirect(response: httpx.Response) -> None:
    if response.has_redirect_location:
        target = response.url.join(response.headers["Location"]).host
        if _is_internal(target) and not _is_internal(response.url.host):
            raise _AttemptFailed(
                f"redirects to {target}, inside our own network", is_retryable=False
            )


def _is_internal(host: str) -> bool:
    """Decide whether a host is a private address, resolves to one, or is a name without a dot."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or any(
            not address.is_global for address in _resolve_host(host)
        )


def _resolve_host(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Look up a host's addresses; none for a name that does not exist, which a request reports."""
    try:
        rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = [ipaddress.ip_address(str(row[4][0])) for row in rows]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def fetch_body(
    client: httpx.Client, url: str, params: Mapping[str, str] | None = None
) -> bytes:
    """Fetch the body at `url`, or raise Unreachable after bounded retries."""
    return fetch_document(client, url, params).body


def fetch_document(
    client: httpx.Client,
    url: str,
    params: Mapping[str, str] | None = None,
    validators: Validators | None = None,
    lock: RequestLock = nullcontext,
    max_bytes: int | None = None,
) -> Document:
    """Fetch a document, or raise Unreachable, or NotModified if `validators` still hold.

    Every attempt takes the `lock` again. 429 and 5xx are retried, after the pause of
    Retry-After if that is short.
    """
    headers = validators.headers() if validators else {}
    try:
        for attempt in stamina.retry_context(
            on=_retry_decision,
            attempts=MAX_ATTEMPTS,
            timeout=HTTP_TOTAL_TIMEOUT_S,
            wait_initial=RETRY_PAUSE_S,
            wait_max=RETRY_PAUSE_S * 3,
            wait_jitter=RETRY_PAUSE_S / 3,
        ):
            with attempt, lock():
                document = _attempt_fetch(
                    client, url, params, headers, max_bytes or MAX_BODY_BYTES
                )
    except _AttemptFailed as error:
        error_class = RateLimited if error.is_rate_limit else Unreachable
        raise error_class(f"{url} {error}: try again later") from error
    return document


def _attempt_fetch(
    client: httpx.Client,
    url: str,
    params: Mapping[str, str] | None,
    headers: Mapping[str, str],
    max_bytes: int,
) -> Document:
    try:
        with client.stream("GET", url, params=params, headers=headers) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED and headers:
                raise NotModified
            if response.status_code != httpx.codes.OK:
                raise _status_failure(response)
            return Document(_read_body(response, max_bytes), _read_validators(response))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        is_retryable = isinstance(error, httpx.TransportError)
        raise _AttemptFailed(f"did not answer ({reason})", is_retryable) from error


def _status_failure(response: httpx.Response) -> _AttemptFailed:
    status = response.status_code
    seconds = _parse_retry_after(response.headers.get("Retry-After", ""))
    if seconds is not None and seconds > MAX_RETRY_AFTER_S:
        return _AttemptFailed(
            f"answered {status} and asks for a pause of {seconds:.0f} s",
            is_retryable=False,
            is_rate_limit=status == TOO_MANY_REQUESTS,
        )
    is_retryable = status in {429, 500, 502, 503, 504}
    return _AttemptFailed(
        f"answered {status}", is_retryable, seconds, status == TOO_MANY_REQUESTS
    )


def _parse_retry_after(header: str) -> float | None:
    """Parse a number of seconds or an HTTP date; None for anything else."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parse_moment(header, parsedate_to_datetime)
    except SourceError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _read_body(response: httpx.Response, max_bytes: int) -> bytes:
    encoding = response.headers.get("Content-Encoding", ACCEPTED_ENCODING).lower()
    if encoding not in (ACCEPTED_ENCODING, "identity"):
        raise _AttemptFailed(
            f"has an encoding that was not accepted ({encoding[:40]})",
            is_retryable=False,
        )
    deadline = time.monotonic() + BODY_TIMEOUT_S
    parts, size = [], 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise _AttemptFailed(
                f"sent more than {max_bytes // 1_000_000} MB", is_retryable=False
            )
        if time.monotonic() > deadline:
            raise _AttemptFailed(
                f"was not complete after {BODY_TIMEOUT_S:.0f} s", is_retryable=True
            )
    return b"".join(parts)


def _read_validators(response: httpx.Response) -> Validators:
    etag = response.headers.get("ETag", "")
    modified = response.headers.get("Last-Modified", "")
    return Validators(
        etag if len(etag) <= 200 else "", modified if len(modified) <= 64 else ""
    )


def _retry_decision(error: Exception) -> bool | float:
    """Return whether to retry, or after how many seconds."""
    if not isinstance(error, _AttemptFailed) or not error.is_retryable:
        return False
    if error.retry_after is not None:
        return max(error.retry_after, RETRY_PAUSE_S / 3)
    return True
