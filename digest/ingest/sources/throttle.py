"""One request at a time and one in three seconds to arXiv, whoever of us asks."""

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

from digest.ingest.sources.listing import Refused

# arXiv's terms of use: at most one request in three seconds, on one connection.
PAUSE = 3.0
# A turn that was not given back (its worker died) is free again after this: longer
# than the longest request.
LEASE = 90.0
# Another worker may harvest; between two of its pages there is room for us.
PATIENCE = 120.0
# Seconds for one answer of Redis: one that hangs must not hang us.
REDIS_PATIENCE = 10.0
_LOCK, _LAST = "arxiv:turn", "arxiv:last"


class Unturned(Refused):
    """Others of us were at it for too long."""


@contextmanager
def turn() -> Iterator[None]:
    """Ours alone until the end of the block, three seconds after whoever was before.

    With Redis across all machines, else across the programs of this one.
    """
    with _by_redis() if settings.REDIS_URL else _by_file():
        yield


@contextmanager
def _by_redis() -> Iterator[None]:
    try:
        store = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=REDIS_PATIENCE,
            socket_connect_timeout=REDIS_PATIENCE,
        )
        lock = store.lock(_LOCK, timeout=LEASE, blocking_timeout=PATIENCE)
        if not lock.acquire():
            raise _unturned()
        last = store.get(_LAST)
    except RedisError as error:
        raise Unturned(
            f"Redis did not answer ({type(error).__name__}), so nobody knows whether "
            "another worker is asking: start it; the next round tries again"
        ) from error
    try:
        _rest(last)
        yield
    finally:
        _give_back(store, lock)


def _give_back(store: "redis.Redis", lock: Lock) -> None:
    """Whatever becomes of it: what was fetched meanwhile is not lost for that."""
    try:
        store.set(_LAST, time.time())
        lock.release()
    except RedisError:  # it went away, or the request took longer than the lease
        return
    finally:
        store.close()


@contextmanager
def _by_file() -> Iterator[None]:
    folder = Path(settings.VAR)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "arxiv.turn").open("a+", errors="replace") as file:
        _wait_for(file)
        file.seek(0)
        _rest(file.read())
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()
            file.write(str(time.time()))


def _wait_for(file: TextIO) -> None:
    """Lock it; the system unlocks it when the program ends, however it ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _unturned() from None
            time.sleep(min(0.1, PATIENCE))
        else:
            return


def _rest(written: str | bytes | None) -> None:
    """Wait until PAUSE after the last turn, but never longer: clocks of machines differ.

    A note that cannot be read (a power cut leaves such files) is as good as a new one.
    """
    try:
        last = float(written or 0)
    except ValueError:
        last = time.time()
    time.sleep(min(PAUSE, max(0.0, last + PAUSE - time.time())))


def _unturned() -> Unturned:
    return Unturned(
        f"others of us asked arXiv for {PATIENCE:.0f} s on end: "
        "nothing was asked; the next round tries again"
    )
