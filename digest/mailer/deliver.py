"""Send a batch's digests in windows: marked before their calls, recorded after them.

    claim a batch
      │ block by block:  choose papers ► insert digests (commit) ► waiting
      │ window by window:
      │     waiting ► check ► compose ► mark ► call ───► outcome ► record
      │               consent,        (commit)  │                  (commit)
      │               recalls                   └─ MAIL_CONCURRENCY at once,
      ▼                                            in threads (mailer/calls.py)
    release the batch: done, or planned again with a backoff

A window holds about half a second of calls. One statement marks its digests as being
sent, one records their outcomes. The next half of a window is marked as soon as half of
it is recorded, and the next block is chosen while calls are in flight, also that of the
next batch, so that the connections do not wait.

A worker that dies leaves at most the digests of one window in doubt: those that are marked
and not recorded. Its journal (mailer/call_journal.py) settles most of them.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models.expressions import Combinable
from django.utils import timezone

from accounts.models import Subscriber
from digest.mailer import (
    calls,
    circuit_breaker,
    last_check,
    rate,
    recording,
    resend,
    shutdown,
)
from digest.mailer.batch_composer import BatchComposer
from digest.mailer.call_journal import create_journal
from digest.mailer.calls import Call, CallPool, CallResult, InlinePool
from digest.mailer.claims import LEASE
from digest.mailer.recording import DeliveryCounts
from digest.mailer.transports import ConfigurationError, Result, ResultState, refused
from digest.models import Batch, Digest, SendingPause
from digest.models.digests import DatabaseNow, format_ids

log = structlog.get_logger(__name__)

# A temporary refusal is retried after 1, 2, 4 and 8 minutes: a restart takes one, a
# rate limit a few.
RETRY_BACKOFF, MAX_RETRY_BACKOFF = timedelta(minutes=1), timedelta(minutes=8)
# The calls of this time are one window, of at most MAX_WINDOW_DIGESTS: what a killed
# worker leaves in doubt.
WINDOW_S, MAX_WINDOW_DIGESTS = 0.5, 500
# Under MAIL_RATE a window is shorter, so that the pace is even.
LIMITED_WINDOW_S = 0.2
# Outcomes are recorded after this time at the latest.
RECORD_INTERVAL_S = 0.25
# How long the main thread waits for results before it looks at the clock again.
COLLECT_TIMEOUT_S = 0.1
# Check at least this many digests at once before they are sent, so that small windows cost
# few queries; a check is repeated when it is older.
MIN_CHECKED_DIGESTS, RECHECK_INTERVAL_S = 50, 1.0
# A connection with this many late calls in a row takes too long to open.
MAX_LATE_CALLS = 3

Pool = CallPool | InlinePool


class LeaseLost(Exception):
    """The lease expired and another worker may own the batch: nothing more may be sent."""


class SendingStopped(Exception):
    """The batch must wait although the provider refused nothing: a pause, the rate limit, or the end of this worker."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Backoff:
    """Why a batch is released before its end, and how long it waits."""

    reason: str
    wait: timedelta


def deliver_batches(
    claimed: Iterable[tuple[Batch, Iterable[Sequence[Digest]]]], pool: Pool
) -> Iterator[tuple[Batch, DeliveryCounts]]:
    """Send the pending digests of claimed batches, given in blocks; yield each batch at its end.

    While the last calls of a batch are in flight, the next one is claimed and its first
    block is written. `pool` is that of the worker's turn, whose connections are kept.
    """
    current: BatchSending | None = None
    try:
        for batch, blocks in claimed:
            following = BatchSending(batch, blocks, pool)
            with following.log_context():
                following.load_block()
            if current:
                yield current.batch, current.finish()
            current = following
            current.send_blocks()
        if current:
            yield current.batch, current.finish()
    except Exception:
        if current:  # released by the end of its lease
            current.finish_calls()
        raise


class BatchSending:
    """Sends the digests of one batch; each is in one of four places.

    waiting ► checked ► in_flight (marked) ► finished ► recorded
    """

    def __init__(
        self, batch: Batch, blocks: Iterable[Sequence[Digest]], pool: Pool
    ) -> None:
        self.batch, self.pool, self.counts = batch, pool, DeliveryCounts()
        self.blocks, self.has_blocks = iter(blocks), True
        self.composer = BatchComposer(batch.slot.edition, pool.transport)
        self.journal = create_journal(batch.lease_token, len(batch.readers))
        batch.last_position = 0
        self.waiting, self.checked = deque[Digest](), deque[Digest]()
        self.in_flight: dict[int, Call] = {}
        self.finished: list[tuple[Digest, Result]] = []
        self.checked_at = self.recorded_at = 0.0
        # How many mails the rate limit allows, and from when on.
        self.allowed, self.allowed_at = 0, 0.0
        self.has_started = False
        self.late_calls = self.refusals_in_row = 0
        self.refusal = ""  # the last one that concerns all mail, none accepted since
        self.is_over = self.is_lost = False  # although digests wait
        self.backoff: Backoff | None = None  # why, unless it is self.refusal
        self.later: Backoff | None = None  # when postponed digests are tried again

    def send_blocks(self) -> None:
        """Send window after window, until the last calls are in flight or the batch must wait."""
        self.pool.pace.restart()
        with self.log_context():
            self.send_while(
                lambda: self.has_blocks or bool(self.waiting or self.checked)
            )

    def finish(self) -> DeliveryCounts:
        """Wait for the last calls, record their outcomes, and release the batch."""
        with self.log_context():
            self.send_while(
                lambda: (
                    self.has_blocks
                    or bool(
                        self.waiting or self.checked or self.in_flight or self.finished
                    )
                )
            )
            self.finish_calls()
            if not self.is_lost:
                release_batch(self.batch, self.decide_backoff())
            if self.journal:
                self.journal.remove()
        return self.counts

    def log_context(self) -> AbstractContextManager[object]:
        """Name the batch in each log line, also in those of the threads that call."""
        edition = str(self.batch.slot.edition.day)
        return structlog.contextvars.bound_contextvars(
            batch=self.batch.pk, edition=edition
        )

    def send_while(self, is_unfinished: Callable[[], bool]) -> None:
        """Load blocks, start windows and collect results while the batch is unfinished.

        A pause, the rate limit or a lost lease ends it earlier; its other digests then wait.
        """
        try:
            while not self.is_over and is_unfinished():
                if shutdown.is_requested():
                    raise SendingStopped("the worker is shutting down")
                if self.needs_block():
                    self.load_block()
                if self.may_start():
                    self.start_window()
                self.collect_results()
        except SendingStopped as stop:
            self.is_over = True
            self.backoff = Backoff(str(stop), timedelta(seconds=stop.wait))
        except LeaseLost:
            self.is_over = self.is_lost = True
            log.warning("batch lost to another worker")
        except ConfigurationError as error:
            # Before any digest was marked, so that no outcome is unknown.
            self.is_over = True
            circuit_breaker.pause_sending(f"the mail settings are wrong: {error}")
            self.backoff = Backoff(str(error), timedelta(0))

    # Loading a block

    def needs_block(self) -> bool:
        """Whether less than half a window of digests waits and more blocks follow."""
        number = len(self.waiting) + len(self.checked)
        return self.has_blocks and number < max(1, self.window_size() // 2)

    def load_block(self) -> None:
        """Load the next block of digests and queue its pending ones."""
        block = next(self.blocks, None)
        if block is None:
            self.has_blocks = False
            return
        for digest in block:
            digest.edition = self.batch.slot.edition
        pending = [
            digest for digest in block if digest.outcome == Digest.Outcome.PENDING
        ]
        # What was refused before comes last, so that it does not delay the others.
        pending.sort(key=lambda digest: digest.refusals)
        self.batch.last_position += len(block) - len(pending)
        self.composer.load_digests(pending)
        self.waiting.extend(pending)

    # Starting a window

    def may_start(self) -> bool:
        """Whether half a window is free, and the rate limit allows it by now."""
        size, waiting = self.window_size(), len(self.waiting) + len(self.checked)
        free = min(size - len(self.in_flight) - len(self.finished), waiting)
        if free <= 0 or free < min(size // 2, waiting):
            return False
        if not self.has_started:  # a small window, so that idle connections begin soon
            free = min(free, 2 * self.pool.concurrency)
        if not self.allowed:
            wait = rate.acquire(free)
            if wait > rate.MAX_SLEEP_S:
                raise SendingStopped("the provider accepts no mail for a while", wait)
            self.allowed, self.allowed_at = free, time.monotonic() + wait
        return time.monotonic() >= self.allowed_at

    def window_size(self) -> int:
        """Return how many digests may be marked and not recorded."""
        if self.batch.probing:
            return 1
        # A connection that is done finds its next call waiting.
        least = 2 * self.pool.concurrency if self.pool.concurrency > 1 else 1
        size = max(least, int(self.pool.pace.per_second * WINDOW_S))
        if settings.MAIL_RATE:
            size = min(size, max(1, int(settings.MAIL_RATE * LIMITED_WINDOW_S)))
        return min(size, MAX_WINDOW_DIGESTS)

    def start_window(self) -> None:
        """Check, compose and mark as many digests as are allowed, and start their calls."""
        number, self.allowed = self.allowed, 0
        if not self.check_next():
            return
        self.pool.transport.check_settings()
        self.record_finished()
        window = [self.checked.popleft() for _ in range(min(number, len(self.checked)))]
        window = resend.leave_out_settled(self.batch, window)
        composed = [call for digest in window if (call := self.compose_call(digest))]
        if not composed:
            return
        position = self.batch.last_position + len(composed)
        new_ids = [call.digest.pk for call in composed]
        if self.journal:
            self.journal.add(new_ids)
        mark_sending(self.batch, [*self.in_flight, *new_ids], position)
        self.batch.last_position = position
        self.has_started = True
        self.in_flight |= {call.digest.pk: call for call in composed}
        self.pool.start(composed)

    def check_next(self) -> bool:
        """Let the next digests pass the last check, unless they did a moment ago; False if none is left."""
        now = calls.seconds_since_boot()
        if now - self.checked_at > RECHECK_INTERVAL_S:
            self.waiting.extendleft(reversed(self.checked))
            self.checked.clear()
        while self.waiting and not self.checked:
            number = max(self.window_size(), MIN_CHECKED_DIGESTS)
            block = [
                self.waiting.popleft() for _ in range(min(number, len(self.waiting)))
            ]
            self.checked_at = now
            mailable, skipped = last_check.filter_mailable(self.batch, block)
            self.checked.extend(mailable)
            self.counts.skipped += skipped
        return bool(self.checked)

    def compose_call(self, digest: Digest) -> Call | None:
        """Compose one digest; None if that fails, which is its outcome."""
        try:
            mail = self.composer.encode_digest(digest)
        except Exception as error:
            log.exception("digest cannot be composed", digest=digest.pk)
            detail = f"not composed: {type(error).__name__}: {error}"
            self.finished.append((digest, refused(detail)))
            return None
        return Call(digest, mail, self.checked_at, self.journal)

    # Ending it

    def collect_results(self) -> None:
        """Collect the results that arrived, and record them when they are many or old."""
        timeout = COLLECT_TIMEOUT_S
        if self.allowed:
            timeout = min(timeout, max(0.0, self.allowed_at - time.monotonic()))
        self.take_results(self.pool.collect(timeout))
        if self.finished and (
            not self.in_flight
            or len(self.finished) >= self.window_size() // 2
            or time.monotonic() - self.recorded_at >= RECORD_INTERVAL_S
            or any(result.wait or result.halt for _, result in self.finished)
        ):
            self.record_finished()

    def take_results(self, results: Iterable[CallResult]) -> None:
        unsent = []
        for call, result in results:
            if result is None:
                unsent.append(call)
            else:
                del self.in_flight[call.digest.pk]
                self.finished.append((call.digest, result))
        self.late_calls = self.late_calls + len(unsent) if not self.finished else 0
        self.return_unsent(unsent)
        if self.late_calls > MAX_LATE_CALLS * self.pool.concurrency:
            self.backoff = Backoff("connecting takes too long", backoff_time(1))
            self.is_over = True

    def return_unsent(self, unsent: Sequence[Call]) -> None:
        """Queue digests again whose calls did not begin: they are no longer in flight."""
        for call in unsent:
            del self.in_flight[call.digest.pk]
            self.waiting.appendleft(call.digest)
        self.unmark(len(unsent))

    def unmark(self, number: int) -> None:
        """Commit that some marked digests were certainly not accepted."""
        if number:
            self.batch.last_position -= number
            rows = Batch.objects.owned(self.batch)
            rows.update(in_flight=format_ids(self.in_flight))

    def finish_calls(self) -> None:
        """Start no more calls, wait for those in flight, and record their results."""
        self.return_unsent(self.pool.cancel())
        while self.in_flight:
            self.take_results(self.pool.collect(COLLECT_TIMEOUT_S))
        self.record_finished()

    def record_finished(self) -> None:
        """Record results, then apply what they say about the provider."""
        finished, self.finished = self.finished, []
        self.recorded_at = time.monotonic()
        postponed = [pair for pair in finished if recording.must_retry(*pair)]
        recorded = [pair for pair in finished if not recording.must_retry(*pair)]
        if recorded:
            recording.retry_while_database_is_down(
                lambda: recording.record_results(recorded, self.counts)
            )
            self.batch.attempts = 0
        if postponed:
            recording.retry_while_database_is_down(
                lambda: recording.postpone_digests(postponed)
            )
            self.unmark(len(postponed))
            self.counts.waiting += len(postponed)
        for digest, result in finished:
            self.apply_result(digest, result, (digest, result) in postponed)

    def apply_result(self, digest: Digest, result: Result, is_postponed: bool) -> None:
        """Apply the rate limit and the circuit breaker, and decide whether the batch goes on."""
        if result.wait:
            rate.block_for(result.wait)
            self.allowed = 0
            self.return_unsent(self.pool.cancel())
        if is_postponed:
            self.apply_refusal(digest, result)
        else:
            if result.state == ResultState.ACCEPTED:
                self.batch.accepted_at = timezone.now()
            self.refusal, self.refusals_in_row = "", 0
            trip_breaker_if_failing(self.batch, digest, result, self.counts)
        if pause := self.batch.probing:
            self.batch.probing = None
            is_accepted = result.state == ResultState.ACCEPTED
            detail = recording.clean_detail(result.detail)
            circuit_breaker.finish_probe(pause, is_accepted, detail)
            if not is_accepted:
                self.later = self.later or Backoff(detail, timedelta(0))
                self.is_over = True

    def apply_refusal(self, digest: Digest, result: Result) -> None:
        """Decide when the digest is tried again; stop the batch if the refusal concerns all mail."""
        detail = recording.clean_detail(result.detail)
        if result.halt:
            circuit_breaker.pause_sending(
                f"the provider refuses our credentials: {detail}"
            )
            self.backoff = Backoff(detail, timedelta(0))
        elif result.wait:
            wait = min(result.wait, rate.MAX_BLOCK_S)
            self.backoff = Backoff(detail, timedelta(seconds=wait))
        elif result.is_recipient:
            self.later = Backoff(detail, backoff_time(digest.refusals))
        else:
            self.later, self.refusal = Backoff(detail, backoff_time(1)), detail
            self.refusals_in_row += 1
        if self.backoff or self.refusals_in_row >= self.pool.concurrency:
            self.is_over = True

    def decide_backoff(self) -> Backoff | None:
        if self.backoff or not self.refusal:
            return self.backoff or self.later
        self.batch.attempts += 1
        circuit_breaker.check_outage(self.batch, self.refusal)
        return Backoff(self.refusal, backoff_time(self.batch.attempts))


def mark_sending(batch: Batch, ids: Iterable[int], position: int) -> None:
    """Commit which digests are being sent and renew the lease, in one statement.

    Raises LeaseLost if another worker owns the batch, SendingStopped if it is paused.
    """
    edition_id = batch.slot.edition_id
    rows = Batch.objects.owned(batch).not_paused(edition_id, batch.probing)
    rows = rows.filter(state__in=(Batch.State.CLAIMED, Batch.State.SENDING))
    if rows.update(
        state=Batch.State.SENDING,
        last_position=position,
        in_flight=format_ids(ids),
        lease_until=DatabaseNow() + LEASE,
    ):
        return
    pauses = SendingPause.objects.blocking(edition_id)
    if batch.probing:
        pauses = pauses.exclude(pk=batch.probing.pk)
    if pause := pauses.first():
        raise SendingStopped(f"paused: {pause.reason}")
    raise LeaseLost


def backoff_time(attempts: int) -> timedelta:
    doublings: int = min(attempts - 1, 8)
    return min(RETRY_BACKOFF * int(2**doublings), MAX_RETRY_BACKOFF)


def trip_breaker_if_failing(
    batch: Batch, digest: Digest, result: Result, counts: DeliveryCounts
) -> None:
    """Pause sending after too many consecutive failures.

    Refused recipients do not count, and neither do failures of a single domain, unless
    the batch has no other.
    """
    if result.state == ResultState.ACCEPTED:
        counts.failing_domains.clear()
    elif not result.is_recipient:
        domain = circuit_breaker.domain_of(digest.subscriber.email)
        counts.failing_domains.append(domain)
    number = len(counts.failing_domains)
    if number < circuit_breaker.MAX_CONSECUTIVE_FAILURES:
        return
    if len(set(counts.failing_domains)) > 1 or has_one_domain(batch):
        detail = recording.clean_detail(result.detail)
        circuit_breaker.pause_sending(f"{number} consecutive digests failed: {detail}")


def has_one_domain(batch: Batch) -> bool:
    emails = Subscriber.objects.filter(pk__in=batch.readers).values_list(
        "email", flat=True
    )
    return len(set(map(circuit_breaker.domain_of, emails))) == 1


def release_batch(batch: Batch, backoff: Backoff | None) -> None:
    """Finish the batch, or make it claimable again after its backoff."""
    state: Batch.State = Batch.State.DONE
    lease_until: Combinable | None = None
    if backoff:
        state, lease_until = Batch.State.PLANNED, DatabaseNow() + backoff.wait
    Batch.objects.owned(batch).update(
        state=state,
        lease_until=lease_until,
        lease_token="",
        attempts=batch.attempts,
        last_position=batch.last_position,
        in_flight="",
        error=recording.clean_detail(backoff.reason) if backoff else "",
        released_at=DatabaseNow(),
        accepted_at=batch.accepted_at,
    )
