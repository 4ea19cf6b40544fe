"""Calls to the provider, many at once: one thread for each of MAIL_CONCURRENCY kept connections.

The worker's main thread starts calls and collects their results; only it uses the
database. With a concurrency of 1 the calls are made in the main thread itself.
"""

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field

import structlog
from django.conf import settings

from digest.mailer import transports
from digest.mailer.call_journal import CallJournal, CallState
from digest.mailer.transports import (
    CallTooLateError,
    Connection,
    EncodedMail,
    Result,
    ResultState,
    Transport,
    unknown,
)
from digest.models import Digest

log = structlog.get_logger(__name__)

# A call that has not begun by then, counted from the last check of consent, is not made:
# the check may be outdated, or the lease over.
MAX_CALL_DELAY_S = 2.0
# Over how long the pace is measured.
PACE_INTERVAL_S = 0.5
# Of the main thread while calls are in flight: it then sees many results at once.
POLL_S = 0.01
# While the main thread chooses papers, each thread waits this long for the interpreter,
# twice a call. Python's own 5 ms would let 100 calls a second begin.
SWITCH_INTERVAL_S = 0.0005


@dataclass(slots=True, eq=False)
class Call:
    """One digest that is to be offered, and when its reader's consent was read."""

    digest: Digest
    mail: EncodedMail
    checked_at: float
    journal: CallJournal | None = None
    # Of the main thread: its ids are in the log lines of the thread that makes the call.
    context: Context = field(default_factory=copy_context)

    def begin(self) -> None:
        """Note that the mail may be accepted from now on; raise CallTooLateError if it must not be any more."""
        # Before the check: a process may be stopped in between, for longer than its lease.
        self.note(CallState.BEGUN)
        if seconds_since_boot() - self.checked_at > MAX_CALL_DELAY_S:
            raise CallTooLateError

    def note(self, state: CallState) -> None:
        if self.journal:
            self.journal.note(self.digest.pk, state)


#: None: the mail was not offered, and can be sent later.
CallResult = tuple[Call, Result | None]


def seconds_since_boot() -> float:
    """A clock that also advances while the machine sleeps or the process is stopped."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def make_call(call: Call, connection: Connection, next_call: Call | None) -> CallResult:
    next_mail = next_call.mail if next_call else None
    try:
        result = connection.send_mail(call.mail, call.begin, next_mail)
    except CallTooLateError:
        call.note(CallState.WAITING)
        return call, None
    except Exception as error:  # a defect of the transport
        log.exception("transport failed", digest=call.digest.pk)
        return call, unknown(f"{type(error).__name__}: {error}")
    if result.state == ResultState.ACCEPTED:
        call.note(CallState.ACCEPTED)
    elif result.state == ResultState.REFUSED:
        call.note(CallState.WAITING)
    return call, result


class CallPool:
    """Makes calls over up to `concurrency` connections, in no particular order."""

    def __init__(self, transport: Transport, concurrency: int) -> None:
        self.transport, self.concurrency = transport, concurrency
        self.waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[CallResult | BaseException] = (
            queue.SimpleQueue()
        )
        self.threads: list[threading.Thread] = []
        self.number_in_flight = 0
        self.pace = PaceMeter()
        self.switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    def start(self, calls: list[Call]) -> None:
        self.number_in_flight += len(calls)
        for call in calls:
            self.waiting.put(call)
        wanted = min(self.concurrency, self.number_in_flight)
        while len(self.threads) < wanted:
            thread = threading.Thread(target=self.run_thread, daemon=True)
            self.threads.append(thread)
            thread.start()

    def collect(self, timeout: float) -> list[CallResult]:
        """Return the results that arrived; wait until there is one, or for the timeout."""
        results = list[CallResult]()
        wait = min(timeout, POLL_S) if self.number_in_flight else timeout
        time.sleep(wait)
        while True:
            try:
                result = self.results.get_nowait()
            except queue.Empty:
                break
            if isinstance(result, BaseException):
                raise result
            results.append(result)
        self.number_in_flight -= len(results)
        self.pace.count(len(results))
        return results

    def cancel(self) -> list[Call]:
        """Return the calls that have not begun; they are not made."""
        calls = list[Call]()
        try:
            while call := self.waiting.get_nowait():
                calls.append(call)
        except queue.Empty:
            pass
        self.number_in_flight -= len(calls)
        return calls

    def run_thread(self) -> None:
        try:
            connection = self.transport.connect()
            self.make_calls(connection)
            connection.close()
        except BaseException as error:
            self.results.put(error)

    def make_calls(self, connection: Connection) -> None:
        """Make calls until None is taken from the queue."""
        call = self.waiting.get()
        while call:
            next_call, has_next = None, False
            if self.transport.PIPELINES:
                with suppress(queue.Empty):
                    next_call, has_next = self.waiting.get_nowait(), True
            result = call.context.run(make_call, call, connection, next_call)
            self.results.put(result)
            call = next_call if has_next else self.waiting.get()

    def close(self) -> None:
        """End the threads after the calls in flight; those that have not begun are not made."""
        self.cancel()
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads:
            thread.join()
        sys.setswitchinterval(self.switch_interval_s)


class InlinePool:
    """Makes one call after another over one connection, in the main thread."""

    concurrency = 1

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.waiting: deque[Call] = deque()
        self.connection: Connection | None = None
        self.pace = PaceMeter()

    @property
    def number_in_flight(self) -> int:
        return len(self.waiting)

    def start(self, calls: list[Call]) -> None:
        self.waiting.extend(calls)

    def collect(self, timeout: float) -> list[CallResult]:
        if not self.waiting:
            time.sleep(timeout)
            return []
        self.connection = self.connection or self.transport.connect()
        call = self.waiting.popleft()
        next_call = self.waiting[0] if self.waiting else None
        result = make_call(call, self.connection, next_call)
        self.pace.count(1)
        return [result]

    def cancel(self) -> list[Call]:
        calls = list(self.waiting)
        self.waiting.clear()
        return calls

    def close(self) -> None:
        self.cancel()
        if self.connection:
            self.connection.close()


class PaceMeter:
    """Measures how many calls end in a second."""

    def __init__(self) -> None:
        self.per_second = 0.0
        self.restart()

    def restart(self) -> None:
        """Begin a new interval, after a time without calls."""
        self.since, self.number = time.monotonic(), 0

    def count(self, number: int) -> None:
        self.number += number
        seconds = time.monotonic() - self.since
        if seconds >= PACE_INTERVAL_S:
            self.per_second = self.number / seconds
            self.restart()


@contextmanager
def open_pool() -> Iterator[CallPool | InlinePool]:
    """Offer the connections of a worker's turn; each is opened by its first call."""
    transport = transports.get_transport()
    concurrency = settings.MAIL_CONCURRENCY
    pool: CallPool | InlinePool = (
        CallPool(transport, concurrency) if concurrency > 1 else InlinePool(transport)
    )
    try:
        yield pool
    finally:
        pool.close()
