"""Send a batch's digests: each is marked before the call, and its outcome is recorded after it."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db.models.expressions import Combinable
from django.utils import timezone

from accounts.models import Subscriber, Suppression
from digest.mailer import (
    circuit_breaker,
    compose,
    plan,
    rate,
    resend,
    shutdown,
    transports,
)
from digest.mailer.claims import LEASE
from digest.mailer.transports import Prepare, Result, ResultState, refused, unknown
from digest.models import Batch, Candidate, Digest, SendingPause, Slot
from digest.models.digests import DatabaseNow

log = structlog.get_logger(__name__)

# A recipient's server may refuse temporarily so often, over a quarter hour, until the
# digest fails. Refusals that concern all mail never fail a digest: it waits until its
# edition expires.
MAX_RECIPIENT_REFUSALS = 5
# A temporary refusal is retried after 1, 2, 4 and 8 minutes: a restart takes one, a
# rate limit a few.
RETRY_BACKOFF, MAX_RETRY_BACKOFF = timedelta(minutes=1), timedelta(minutes=8)
# Consent, address, suppression and recalls are read again if they are older than this.
RECHECK_INTERVAL_S = 2.0
# A worker that was stopped for longer between mark and call does not send: the lease,
# from which the call's timeouts are subtracted, may be over before the answer.
MAX_MARK_AGE_S = LEASE.total_seconds() / 2

# RFC 3463: the mailbox, the domain or the address syntax does not exist.
NO_SUCH_ADDRESS = re.compile(r"\b5\.1\.[123]\b")

Outcome = Digest.Outcome
Reason = Digest.Reason


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


@dataclass
class DeliveryCounts:
    """What one call of deliver_batch did."""

    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    waiting: int = 0
    failing_domains: list[str] = field(default_factory=list)  # since the last success


def deliver_batch(batch: Batch, digests: Sequence[Digest]) -> DeliveryCounts:
    """Send the pending digests of a claimed batch; `digests` are all of its own, by id.

    A temporary refusal releases the batch to be retried; any other outcome is recorded
    on its digest and the next one is sent. Sends nothing if the claim is lost.
    """
    counts = DeliveryCounts()
    pending = [digest for digest in digests if digest.outcome == Outcome.PENDING]
    # What was refused before comes last, so that it does not delay the others.
    pending.sort(key=lambda digest: digest.refusals)
    batch.last_position = len(digests) - len(pending)
    try:
        backoff = send_digests(batch, pending, counts)
    except LeaseLost:
        log.warning("batch lost to another worker", batch=batch.pk)
        return counts
    except SendingStopped as stop:
        backoff = Backoff(str(stop), timedelta(seconds=stop.wait))
    except transports.ConfigurationError as error:
        # Before any digest was marked, so that no outcome is unknown.
        circuit_breaker.pause_sending(f"the mail settings are wrong: {error}")
        backoff = Backoff(str(error), timedelta(0))
    release_batch(batch, backoff)
    return counts


def send_digests(
    batch: Batch, pending: list[Digest], counts: DeliveryCounts
) -> Backoff | None:
    """Send one digest after another; return a Backoff if some must wait."""
    check = MailableCheck(batch, counts)
    remaining = check.refresh(pending)
    if not remaining:
        return None
    render_data = compose.load_render_data(remaining)
    backoff = None
    with transports.get_transport().connect() as prepare:
        while remaining:
            wait_for_rate_limit()
            if not (remaining := check.refresh_if_old(remaining)):
                break
            digest = remaining.pop(0)
            result = send_digest(batch, digest, render_data, prepare)
            if result is None:
                continue
            if batch.probing and stays_paused(batch, result):
                return store_result(batch, digest, result, counts) or Backoff(
                    result.detail, timedelta(0)
                )
            if wait := store_result(batch, digest, result, counts):
                backoff = wait
                if not result.is_recipient:
                    break
    return backoff


def stays_paused(batch: Batch, result: Result) -> bool:
    """Finish the test of an automatic pause; False if it ended and the batch may go on."""
    if not (pause := batch.probing):
        return False
    is_accepted = result.state == ResultState.ACCEPTED
    circuit_breaker.finish_probe(pause, is_accepted, clean_detail(result.detail))
    batch.probing = None
    return not is_accepted


def send_digest(
    batch: Batch,
    digest: Digest,
    render_data: compose.RenderData,
    prepare: Prepare,
) -> Result | None:
    """Compose, mark and send one digest; nothing between mark and call may fail.

    None if its outcome was settled meanwhile, by an event or another worker.
    """
    if digest.resent_at and not may_resend(batch, digest):
        return None
    try:
        call = prepare(compose.compose_digest(digest, render_data))
    except Exception as error:
        log.exception("digest cannot be composed", digest=digest.pk)
        return refused(f"not composed: {type(error).__name__}: {error}")
    mark_sending(batch, digest)
    marked_at = seconds_since_boot()

    def check_lease() -> None:
        """Raise LeaseLost if this worker was stopped since the mark; called before the first byte."""
        if seconds_since_boot() - marked_at > MAX_MARK_AGE_S:
            raise LeaseLost

    try:
        return call(check_lease)
    except LeaseLost:
        raise
    except Exception as error:  # a defect of the transport
        log.exception("transport failed", digest=digest.pk)
        return unknown(f"{type(error).__name__}: {error}")


def may_resend(batch: Batch, digest: Digest) -> bool:
    """Whether a digest that is sent again still needs it, right before the call.

    An event that arrived since it was planned stops it, processed or not; only an
    operator may send it all the same.
    """
    if not Digest.objects.pending().filter(pk=digest.pk).exists():
        return False
    if batch.slot.kind != Slot.Kind.RESEND or not resend.has_event(digest):
        return True
    Digest.objects.pending().filter(pk=digest.pk).update(
        outcome=Outcome.UNKNOWN,
        provider_detail="An event arrived before it was sent again.",
        outcome_at=DatabaseNow(),
    )
    return False


def seconds_since_boot() -> float:
    """A clock that also advances while the machine sleeps or the process is stopped."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def wait_for_rate_limit() -> None:
    """Sleep until the rate limit of all workers allows one more mail; raise SendingStopped if that is long."""
    wait = rate.acquire()
    if wait > rate.MAX_SLEEP_S:
        raise SendingStopped("the provider accepts no mail for a while", wait)
    if wait:
        time.sleep(wait)
    if shutdown.is_requested():
        raise SendingStopped("the worker is shutting down")


def mark_sending(batch: Batch, digest: Digest) -> None:
    """Commit that this digest is being sent and renew the lease, in one statement.

    Raises LeaseLost if another worker owns the batch, SendingStopped if it is paused.
    """
    edition_id = batch.slot.edition_id
    rows = Batch.objects.owned(batch).not_paused(edition_id, batch.probing)
    rows = rows.filter(state__in=(Batch.State.CLAIMED, Batch.State.SENDING))
    if rows.update(
        state=Batch.State.SENDING,
        last_position=batch.last_position + 1,
        last_digest_id=digest.pk,
        lease_until=DatabaseNow() + LEASE,
    ):
        batch.last_position += 1
        return
    pauses = SendingPause.objects.blocking(edition_id)
    if batch.probing:
        pauses = pauses.exclude(pk=batch.probing.pk)
    if pause := pauses.first():
        raise SendingStopped(f"paused: {pause.reason}")
    raise LeaseLost


def store_result(
    batch: Batch, digest: Digest, result: Result, counts: DeliveryCounts
) -> Backoff | None:
    """Record the outcome and apply the circuit breaker, or return a Backoff if the digest must wait."""
    if must_retry(digest, result):
        postpone_digest(batch, digest, result)
        counts.waiting += 1
        return backoff_after(batch, digest, result)
    record_result(digest, result, counts)
    batch.attempts = 0
    if result.state == ResultState.ACCEPTED:
        batch.accepted_at = timezone.now()
    trip_breaker_if_failing(batch, digest, result, counts)
    return None


def must_retry(digest: Digest, result: Result) -> bool:
    """Whether this refusal is temporary: always if it concerns all mail, for a while if it concerns the recipient."""
    if result.is_recipient and digest.refusals + 1 >= MAX_RECIPIENT_REFUSALS:
        return False
    return result.retry


def backoff_after(batch: Batch, digest: Digest, result: Result) -> Backoff:
    """Decide how long the batch waits after a temporary refusal; pause all sending during an outage."""
    detail = clean_detail(result.detail)
    if result.halt:
        circuit_breaker.pause_sending(f"the provider refuses our credentials: {detail}")
        return Backoff(detail, timedelta(0))
    if result.wait:
        wait = min(result.wait, rate.MAX_BLOCK_S)
        rate.block_for(wait)
        return Backoff(detail, timedelta(seconds=wait))
    if result.is_recipient:
        return Backoff(detail, backoff_time(digest.refusals))
    batch.attempts += 1
    circuit_breaker.check_outage(batch, detail)
    return Backoff(detail, backoff_time(batch.attempts))


def backoff_time(attempts: int) -> timedelta:
    doublings: int = min(attempts - 1, 8)
    return min(RETRY_BACKOFF * int(2**doublings), MAX_RETRY_BACKOFF)


def trip_breaker_if_failing(
    batch: Batch, digest: Digest, result: Result, counts: DeliveryCounts
) -> None:
    """Apply the provider's rate limit, and pause sending after too many consecutive failures.

    Refused recipients do not count, and neither do failures of a single domain, unless
    the batch has no other.
    """
    if result.wait:
        rate.block_for(result.wait)
    if result.state == ResultState.ACCEPTED:
        counts.failing_domains.clear()
    elif not result.is_recipient:
        domain = circuit_breaker.domain_of(digest.subscriber.email)
        counts.failing_domains.append(domain)
    number = len(counts.failing_domains)
    if number < circuit_breaker.MAX_CONSECUTIVE_FAILURES:
        return
    if len(set(counts.failing_domains)) > 1 or has_one_domain(batch):
        detail = clean_detail(result.detail)
        circuit_breaker.pause_sending(f"{number} consecutive digests failed: {detail}")


def has_one_domain(batch: Batch) -> bool:
    emails = Subscriber.objects.filter(pk__in=batch.readers).values_list(
        "email", flat=True
    )
    return len(set(map(circuit_breaker.domain_of, emails))) == 1


def postpone_digest(batch: Batch, digest: Digest, result: Result) -> None:
    """Record that the digest was certainly not accepted: it is no longer in flight."""
    digest.refusals += 1
    Digest.objects.filter(pk=digest.pk).update(
        provider_detail=clean_detail(result.detail), refusals=digest.refusals
    )
    Batch.objects.owned(batch).update(last_digest_id=0)
    batch.last_position -= 1


def record_result(digest: Digest, result: Result, counts: DeliveryCounts) -> None:
    """Store the outcome, unless an event of the provider has settled it already."""
    row, now = Digest.objects.filter(pk=digest.pk), DatabaseNow()
    detail = clean_detail(result.detail)
    match result.state:
        case ResultState.ACCEPTED:
            # An acceptance is a fact, also if another worker resolved the batch meanwhile.
            row.exclude(outcome=Outcome.FAILED).update(
                outcome=Outcome.ACCEPTED,
                reason=Reason.NONE,
                message_id=result.message_id[:120],
                provider_detail="",
                outcome_at=now,
            )
            counts.accepted += 1
        case ResultState.REFUSED:
            row.pending().update(
                outcome=Outcome.FAILED,
                reason=Reason.RECIPIENT if result.is_recipient else Reason.REFUSED,
                provider_detail=detail,
                outcome_at=now,
            )
            if result.is_recipient and NO_SUCH_ADDRESS.search(detail):
                reader = digest.subscriber
                Suppression.add_hash(reader.address_hash, Suppression.Reason.BOUNCE)
            counts.failed += 1
        case ResultState.UNKNOWN:
            row.pending().update(
                outcome=Outcome.UNKNOWN, provider_detail=detail, outcome_at=now
            )
            counts.unknown += 1


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
        error=clean_detail(backoff.reason) if backoff else "",
        released_at=DatabaseNow(),
        accepted_at=batch.accepted_at,
    )


def clean_detail(detail: str) -> str:
    """Truncate a provider's answer to its column and remove NUL, which PostgreSQL refuses."""
    return detail.replace("\x00", "")[:300]


# The last check before sending: consent, suppression, recalls and expiry


class MailableCheck:
    """Removes digests that may no longer be sent, and reads the rows again when they are old."""

    def __init__(self, batch: Batch, counts: DeliveryCounts) -> None:
        self.batch, self.counts = batch, counts
        self.checked_at = 0.0

    def refresh_if_old(self, pending: list[Digest]) -> list[Digest]:
        if seconds_since_boot() - self.checked_at <= RECHECK_INTERVAL_S:
            return pending
        return self.refresh(pending)

    def refresh(self, pending: list[Digest]) -> list[Digest]:
        """Read readers, suppressions and recalls; return the digests that may be sent."""
        self.checked_at = seconds_since_boot()
        pending = attach_readers(self.batch, pending)
        skipped = skip_unmailable(self.batch, pending, timezone.now())
        self.counts.skipped += len(skipped)
        return [digest for digest in pending if digest.pk not in skipped]


def attach_readers(batch: Batch, pending: list[Digest]) -> list[Digest]:
    """Attach edition and current reader; leave out digests whose reader was erased."""
    readers = Subscriber.objects.in_bulk([digest.subscriber_id for digest in pending])
    for digest in pending:
        digest.edition = batch.slot.edition
        if reader := readers.get(digest.subscriber_id):
            digest.subscriber = reader
    return [digest for digest in pending if digest.subscriber_id in readers]


def skip_unmailable(batch: Batch, pending: list[Digest], now: datetime) -> set[int]:
    """Mark digests of readers who became unmailable as skipped; return their ids."""
    if is_expired(batch, now):
        return skip_digests(pending, Reason.EXPIRED)
    readers = Subscriber.objects.filter(pk__in=[d.subscriber_id for d in pending])
    mailable = set(readers.mailable(now).values_list("pk", flat=True))
    not_suppressed = set(readers.not_suppressed().values_list("pk", flat=True))
    left = [d for d in pending if d.subscriber_id not in mailable]
    suppressed = [d for d in pending if d.subscriber_id in mailable - not_suppressed]
    return (
        skip_digests(left, Reason.LEFT)
        | skip_digests(suppressed, Reason.SUPPRESSED)
        | skip_digests(unwanted_empty(batch, pending), Reason.NOTHING)
    )


def unwanted_empty(batch: Batch, pending: list[Digest]) -> list[Digest]:
    """Digests without papers, recalled ones removed, whose readers want no note about that."""
    remove_recalled(batch, pending)
    return [
        digest
        for digest in pending
        if not digest.packed_picks and not digest.subscriber.wants_note
    ]


def remove_recalled(batch: Batch, pending: list[Digest]) -> None:
    recalled = set(
        Candidate.objects.filter(
            edition=batch.slot.edition, paper__recall__isnull=False
        ).values_list("pk", flat=True)
    )
    for digest in pending if recalled else []:
        picks = [pick for pick in digest.picks if pick.candidate not in recalled]
        if len(picks) < len(digest.picks):
            digest.picks = picks
            row = Digest.objects.filter(pk=digest.pk)  # absent if the reader was erased
            row.update(packed_picks=digest.packed_picks)


def is_expired(batch: Batch, now: datetime) -> bool:
    """Whether this batch's edition has expired; manual and welcome digests never do."""
    slot = batch.slot
    expires = slot.kind in (Slot.Kind.HOUR, Slot.Kind.MISSED, Slot.Kind.RESEND)
    return expires and now > plan.delivery_deadline(slot.edition, slot.at)


def skip_digests(digests: list[Digest], reason: str) -> set[int]:
    """Mark pending digests as skipped; the first reason stays."""
    ids = {digest.pk for digest in digests}
    if ids:
        Digest.objects.pending().filter(pk__in=ids).update(
            outcome=Outcome.SKIPPED, reason=reason, outcome_at=DatabaseNow()
        )
    return ids
