"""One request at a time and one in three seconds to arXiv, across all processes."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import redis
from django.conf import settings
from redis.exceptions import RedisError
from redis.lock import Lock

from digest.ingest.sources.listing import SourceError

# arXiv's terms of use: at most one request in three seconds, on one connection.
MIN_REQUEST_GAP_S = 3.0
# A lock whose holder died is released after this; longer than the longest request.
LOCK_LEASE_S = 90.0
# Another worker may be harvesting; between two of its pages others get the lock.
LOCK_TIMEOUT_S = 120.0
# One answer of Redis; a hanging server must not hang the worker.
REDIS_TIMEOUT_S = 10.0
_LOCK_KEY, _LAST_REQUEST_KEY = "arxiv:lock", "arxiv:last-request"
_LOCK_FILE = "arxiv.lock"


class LockTimeout(SourceError):
    """The lock was not free within LOCK_TIMEOUT_S, or Redis did not answer."""


@contextmanager
def arxiv_lock() -> Iterator[None]:
    """Hold the arXiv lock; enter no sooner than 3 s after the previous request.

    With Redis it holds across machines, otherwise across the processes of this one.
    """
    with _redis_lock() if settings.REDIS_URL else _file_lock():
        yield


@contextmanager
def _redis_lock() -> Iterator[None]:
    try:
        client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
        )
        lock = client.lock(
            _LOCK_KEY, timeout=LOCK_LEASE_S, blocking_timeout=LOCK_TIMEOUT_S
        )
        if not lock.acquire():
            raise _lock_timeout()
        last_request = client.get(_LAST_REQUEST_KEY)
    except RedisError as error:
        raise LockTimeout(
            f"Redis did not answer ({type(error).__name__}), so another worker may be "
            "using arXiv: start Redis; the next run tries again"
        ) from error
    try:
        _wait_for_gap(last_request)
        yield
    finally:
        _release_redis(client, lock)


def _release_redis(client: "redis.Redis", lock: Lock) -> None:
    try:
        client.set(_LAST_REQUEST_KEY, time.time())
        lock.release()
    except RedisError:  # Redis is down or the lease ran out: keep what was fetched
        return
    finally:
        client.close()


@contextmanager
def _file_lock() -> Iterator[None]:
    folder = Path(settings.VAR)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("a+", errors="replace") as file:
        _acquire_file(file)
        file.seek(0)
        _wait_for_gap(file.read())
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()
            file.write(str(time.time()))


def _acquire_file(file: TextIO) -> None:
    """Lock the file; the system unlocks it when the process ends, however it ends."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _lock_timeout() from None
            time.sleep(min(0.1, LOCK_TIMEOUT_S))
        else:
            return


def _wait_for_gap(last_request: str | bytes | None) -> None:
    """Sleep until the gap is over, never longer: clocks of machines differ.

    A value that cannot be parsed (a power cut leaves such files) counts as just now.
    """
    try:
        last = float(last_request or 0)
    except ValueError:
        last = time.time()
    gap_left = last + MIN_REQUEST_GAP_S - time.time()
    time.sleep(min(MIN_REQUEST_GAP_S, max(0.0, gap_left)))


def _lock_timeout() -> LockTimeout:
    return LockTimeout(
        f"other workers used arXiv for {LOCK_TIMEOUT_S:.0f} s without a gap: "
        "nothing was requested; the next run tries again"
    )
