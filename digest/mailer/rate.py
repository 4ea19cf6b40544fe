"""The rate limit of all workers together, in Redis, or in a file where there is no Redis.

A token bucket of BURST_S seconds in the form known as GCRA: the state is the time at
which the next mail may be sent. Each mail adds 1 / MAIL_RATE seconds to it, and a
provider's rate limit moves it to the time it names.
"""

import fcntl
import functools
import os
import time

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

REDIS_KEY = "paper-round:next-mail"
# After a pause, mails for so many seconds may be sent at once, so that the first batch
# of a tick is not slowed down.
BURST_S = 1.0
# A worker sleeps this long at most, well below a lease; for longer, it releases its batch.
MAX_SLEEP_S = 10.0
# A longer block is a mistake: the next tick asks the provider again.
MAX_BLOCK_S = 900.0
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


def acquire() -> float:
    """Reserve the next mail and return the seconds until it may be sent; above MAX_SLEEP_S nothing is reserved."""
    interval = 1 / settings.MAIL_RATE if settings.MAIL_RATE else 0.0
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
    """Let no worker send for so many seconds, as the provider asked."""
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


def acquire_in_file(interval: float) -> float:
    with LockedStateFile() as state:
        now = time.time()
        due = max(state.due, now - BURST_S)
        wait = max(due - now, 0.0)
        if wait <= MAX_SLEEP_S:
            state.due = due + interval
    return wait


def block_in_file(seconds: float) -> None:
    with LockedStateFile() as state:
        state.due = max(state.due, time.time() + seconds)


class LockedStateFile:
    """The file with the time of the next mail, locked while it is read and changed."""

    def __enter__(self) -> "LockedStateFile":
        settings.VAR.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(settings.VAR / "next-mail", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self.due = float(os.read(self.descriptor, 40) or 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.pwrite(self.descriptor, f"{self.due:<40.6f}".encode(), 0)
        os.close(self.descriptor)  # and with it the lock
