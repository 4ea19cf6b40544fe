"""One polite, bounded request to a source of listings."""

import ipaddress
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime

import httpx
import stamina
from django.conf import settings

from digest.ingest.sources.listing import Refused, moment

TIMEOUT = httpx.Timeout(20.0, connect=5.0)  # seconds of silence
ATTEMPTS = 3
PATIENCE = 120.0  # seconds for all attempts together, so that no task hangs
DRIP = 60.0  # seconds for one body: a source may also answer a byte at a time
LARGEST = 40_000_000  # bytes, unpacked; a feed of 2,000 listings has about 4 MB
# Between attempts, in seconds; three is what arXiv asks of everybody.
PAUSE = 3.0
# A source that wants to be left alone for longer is asked in the next round.
LONGEST_WAIT = 60.0
# The one packing that is asked for, and once: what is packed in itself, or by a newer
# way, grows a million times while it is unpacked, before its size can be seen.
PACKING = "gzip"

Turn = Callable[[], AbstractContextManager[None]]


class Unreachable(Refused):
    """Nothing came at all, so asking the same source again now is no use."""


class Unchanged(Exception):
    """The source says that nothing has changed since we last read it."""


@dataclass(frozen=True)
class Validators:
    """What a source said of a document, so that it need not send it twice."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        given = {
            "If-None-Match": self.etag,
            "If-Modified-Since": self.last_modified,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Document:
    """A whole body, and how to ask whether it changed."""

    body: bytes
    validators: Validators


class _Failed(Exception):
    """An attempt that brought nothing, whether it is worth another, and after how long."""

    def __init__(self, why: str, again: bool, wait: float | None = None) -> None:
        super().__init__(why)
        self.again, self.wait = again, wait


def connect() -> httpx.Client:
    """A client that says who we are and gives up in time; it has one connection.

    arXiv answers 429 to anonymous crowds below its documented rate; a name and an
    address to write to help.
    """
    address = parseaddr(settings.MAIL_FROM)[1]
    name = f"paper-round/0.1 (+{settings.SITE_URL}; mailto:{address})"
    return httpx.Client(
        headers={
            "User-Agent": name.encode("ascii", "ignore").decode(),
            "Accept-Encoding": PACKING,
        },
        timeout=TIMEOUT,
        follow_redirects=True,
        limits=httpx.Limits(max_connections=1),
        event_hooks={"response": [_stay_outside]},
    )


def _stay_outside(answer: httpx.Response) -> None:
    """No source may send us on into our own network."""
    if answer.has_redirect_location:
        there = answer.url.join(answer.headers["Location"]).host
        if _is_inside(there) and not _is_inside(answer.url.host):
            raise _Failed(
                f"sends us on to {there}, inside our own network", again=False
            )


def _is_inside(host: str) -> bool:
    """Whether a host is a private address, or has a name that only a network's own have."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host


def get(
    client: httpx.Client, url: str, params: Mapping[str, str] | None = None
) -> bytes:
    """The body at `url`; Unreachable when it does not come after bounded retries."""
    return get_document(client, url, params).body


def get_document(
    client: httpx.Client,
    url: str,
    params: Mapping[str, str] | None = None,
    known: Validators | None = None,
    turn: Turn = nullcontext,
) -> Document:
    """The body at `url` with its validators; Unchanged where `known` still hold.

    Every attempt takes a `turn` of its own. 429 and 5xx are tried again, after what
    Retry-After says if that is soon. Raises Unreachable, with what and why.
    """
    headers = known.headers() if known else {}
    try:
        for attempt in stamina.retry_context(
            on=_worth_retrying,
            attempts=ATTEMPTS,
            timeout=PATIENCE,
            wait_initial=PAUSE,
            wait_max=PAUSE * 3,
            wait_jitter=PAUSE / 3,
        ):
            with attempt, turn():
                document = _attempt(client, url, params, headers)
    except _Failed as error:
        raise Unreachable(f"{url} {error}: try again later") from error
    return document


def _attempt(
    client: httpx.Client,
    url: str,
    params: Mapping[str, str] | None,
    headers: Mapping[str, str],
) -> Document:
    try:
        with client.stream("GET", url, params=params, headers=headers) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED and headers:
                raise Unchanged
            if answer.status_code != httpx.codes.OK:
                raise _refusal(answer)
            return Document(_body(answer), _validators(answer))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        again = isinstance(error, httpx.TransportError)
        raise _Failed(f"did not answer ({reason})", again) from error


def _refusal(answer: httpx.Response) -> _Failed:
    status = answer.status_code
    wait = _retry_after(answer.headers.get("Retry-After", ""))
    if wait is not None and wait > LONGEST_WAIT:
        return _Failed(f"answered {status} and asks for {wait:.0f} s of peace", False)
    return _Failed(f"answered {status}", status in {429, 500, 502, 503, 504}, wait)


def _retry_after(written: str) -> float | None:
    """Seconds, from a number or from an HTTP date; None where there is neither."""
    if written.strip().isdecimal():
        return float(written)
    try:
        when = moment(written, parsedate_to_datetime)
    except Refused:
        return None
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _body(answer: httpx.Response) -> bytes:
    """All of it, within bounds of size and time."""
    packing = answer.headers.get("Content-Encoding", PACKING).lower()
    if packing not in (PACKING, "identity"):
        raise _Failed(f"is packed as nobody asked for ({packing[:40]})", again=False)
    deadline = time.monotonic() + DRIP
    parts, size = [], 0
    for part in answer.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise _Failed(f"sent more than {LARGEST // 1_000_000} MB", again=False)
        if time.monotonic() > deadline:
            raise _Failed(f"was not done after {DRIP:.0f} s", again=True)
    return b"".join(parts)


def _validators(answer: httpx.Response) -> Validators:
    """Those that fit our rows."""
    etag = answer.headers.get("ETag", "")
    modified = answer.headers.get("Last-Modified", "")
    return Validators(
        etag if len(etag) <= 200 else "", modified if len(modified) <= 64 else ""
    )


def _worth_retrying(error: Exception) -> bool | float:
    """Whether, or after how many seconds."""
    if not isinstance(error, _Failed) or not error.again:
        return False
    if error.wait is not None:
        return max(error.wait, PAUSE / 3)
    return True
