"""How fast mails may go: one clock for all workers, in Redis, or in a file where there is none.

The clock says when the next mail may go. Each mail moves it by 1 / MAIL_RATE seconds
(a token bucket of BURST_SECONDS, in the form known as GCRA); a provider that says
"not before" moves it there.
"""

import fcntl
import functools
import os
import time

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

KEY = "paper-round:next-mail"
# After a silence so many seconds' worth of mails may go at once: a tick's first batch
# need not trickle.
BURST_SECONDS = 1.0
# A worker sleeps so long for its turn; for longer, its batch rests and others may
# take it. Well under a lease.
PATIENCE_SECONDS = 10.0
# Nobody means a longer one: the next tick may ask.
LONGEST_BLOCK_SECONDS = 900.0
# A Redis that hangs must not outlast a lease.
REDIS_SECONDS = 5

TURN = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now - ARGV[2])
local wait = math.max(due - now, 0)
if wait <= tonumber(ARGV[3]) then
  redis.call('SET', KEYS[1], string.format('%.6f', due + ARGV[1]), 'EX', 3600)
end
return string.format('%.6f', wait)
"""
BLOCK = """
local clock = redis.call('TIME')
local due = clock[1] + clock[2] / 1000000 + ARGV[1]
if due > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.6f', due), 'EX', 3600)
end
"""


def turn() -> float:
    """Take the next turn; seconds until it comes. More than PATIENCE_SECONDS: it was not taken."""
    interval = 1 / settings.MAIL_RATE if settings.MAIL_RATE else 0.0
    if server := shared():
        try:
            said = server.eval(TURN, 1, KEY, interval, BURST_SECONDS, PATIENCE_SECONDS)
            return float(said)
        except redis.RedisError as error:
            away(error)
    return turn_in_file(interval)


def block(seconds: float) -> None:
    """Nobody sends for so long: the provider said so."""
    seconds = min(seconds, LONGEST_BLOCK_SECONDS)
    if server := shared():
        try:
            server.eval(BLOCK, 1, KEY, seconds)
            return
        except redis.RedisError as error:
            away(error)
    block_in_file(seconds)


def away(error: redis.RedisError) -> None:
    """Without Redis each machine keeps its own clock: mails matter more than their pace."""
    log.warning("redis away, pacing by file", error=str(error))


def shared() -> "redis.Redis | None":
    return connected(settings.REDIS_URL) if settings.REDIS_URL else None


@functools.cache
def connected(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    )


# The same for one machine


def turn_in_file(interval: float) -> float:
    with Clock() as clock:
        now = time.time()
        due = max(clock.due, now - BURST_SECONDS)
        wait = max(due - now, 0.0)
        if wait <= PATIENCE_SECONDS:
            clock.due = due + interval
    return wait


def block_in_file(seconds: float) -> None:
    with Clock() as clock:
        clock.due = max(clock.due, time.time() + seconds)


class Clock:
    """The file of the clock, locked while somebody reads and moves it."""

    def __enter__(self) -> "Clock":
        settings.VAR.mkdir(parents=True, exist_ok=True)
        self.opened = os.open(settings.VAR / "next-mail", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.opened, fcntl.LOCK_EX)
        self.due = float(os.read(self.opened, 40) or 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.pwrite(self.opened, f"{self.due:<40.6f}".encode(), 0)
        os.close(self.opened)  # and with it the lock
