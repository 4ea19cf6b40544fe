"""The rate limit of all workers together, in Redis, or in a file where there is no Redis.

A token bucket of BURST_S seconds in the form known as GCRA: the state is the time at
which the next mail may be sent. Each mail adds 1 / MAIL_RATE seconds to it, and a
provider's rate limit moves it to the time it names.
"""

import fcntl
import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

REDIS_KEY = "paper-round:next-mail"
# After a pause, the mails of this period may be sent at once, so that the first batch
# of a tick is not slowed down.
BURST_S = 1.0
# A worker sleeps this long at most, well below a lease; for longer, it releases its batch.
MAX_SLEEP_S = 10.0
# A longer block is a mistake: the next tick asks the provider again.
MAX_BLOCK_S = 900.0
STATE_BYTES = 40
# A Redis that hangs must not outlast a lease.
REDIS_TIMEOUT_S = 5

ACQUIRE_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now - ARGV[2])
local wait = math.max(due - now, 0)
if wait <= tonumber(ARGV[3]) then
  redis.call('SET', KEYS[1], string.format('%.6f', due + ARGV[1]), 'EX', 3600)
end
return string.format('%.6f', wait)
"""
BLOCK_SCRIPT = """
local clock = redis.call('TIME')
local due = clock[1] + clock[2] / 1000000 + ARGV[1]
if due > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.6f', due), 'EX', 3600)
end
"""


def acquire(number: int = 1) -> float:
    """Reserve the next mails and return the seconds until they may be sent; above MAX_SLEEP_S nothing is reserved."""
    interval = number / settings.MAIL_RATE if settings.MAIL_RATE else 0.0
    if client := redis_client():
        try:
            wait = client.eval(
                ACQUIRE_SCRIPT, 1, REDIS_KEY, interval, BURST_S, MAX_SLEEP_S
            )
            return float(wait)
        except redis.RedisError as error:
            log_redis_down(error)
    return acquire_in_file(interval)


def block_for(seconds: float) -> None:
    """Let no worker send for this long, as the provider requires."""
    seconds = min(seconds, MAX_BLOCK_S)
    if client := redis_client():
        try:
            client.eval(BLOCK_SCRIPT, 1, REDIS_KEY, seconds)
            return
        except redis.RedisError as error:
            log_redis_down(error)
    block_in_file(seconds)


def log_redis_down(error: redis.RedisError) -> None:
    """Report that each machine limits its own rate: mails matter more than their rate."""
    log.warning("redis unavailable, limiting the rate by file", error=str(error))


def redis_client() -> "redis.Redis | None":
    return connect_redis(settings.REDIS_URL) if settings.REDIS_URL else None


@functools.cache
def connect_redis(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )


# The same for one machine


@dataclass
class FileState:
    """The content of the state file: when the next mail may be sent, in seconds since 1970."""

    due: float


def acquire_in_file(interval: float) -> float:
    with locked_state() as state:
        now = time.time()
        due = max(state.due, now - BURST_S)
        wait = max(due - now, 0.0)
        if wait <= MAX_SLEEP_S:
            state.due = due + interval
    return wait


def block_in_file(seconds: float) -> None:
    with locked_state() as state:
        state.due = max(state.due, time.time() + seconds)


@contextmanager
def locked_state() -> Iterator[FileState]:
    """Lock the state file while its content is read, changed and written."""
    settings.VAR.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.VAR / "next-mail", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:  # closing unlocks it
        fcntl.flock(file, fcntl.LOCK_EX)
        state = FileState(parse_due(file.read(STATE_BYTES), time.time()))
        yield state
        os.pwrite(descriptor, f"{state.due:<{STATE_BYTES}.6f}".encode(), 0)


def parse_due(content: bytes, now: float) -> float:
    """Parse the state; 0 for what no worker writes.

    After a power cut the file may hold NUL bytes, and after a change of the clock a time
    beyond any block.
    """
    try:
        due = float(content)
    except ValueError:
        return 0.0
    return due if due <= now + MAX_BLOCK_S else 0.0
