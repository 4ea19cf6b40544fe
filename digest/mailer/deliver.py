"""Send a batch's digests: each is marked before the call, and its outcome is recorded after it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.utils import timezone

from accounts.models import Subscriber
from digest.mailer import circuit_breaker, compose, plan, rate, shutdown, transports
from digest.mailer.claims import LEASE
from digest.mailer.transports import Result, ResultState, Send
from digest.models import Batch, Candidate, Digest, SendingPause, Slot

log = structlog.get_logger(__name__)

# A temporary refusal is retried after 1, 2, 4 and 8 minutes: a restart takes one, a
# rate limit a few. After the fifth consecutive refusal the digest fails and the others
# go on.
MAX_ATTEMPTS = 5
RETRY_BACKOFF = timedelta(minutes=1)

Outcome = Digest.Outcome
Reason = Digest.Reason


class LeaseLost(Exception):
    """The lease expired and another worker owns the batch: nothing more may be sent."""


class SendingStopped(Exception):
    """The batch must wait although the provider refused nothing: a pause, the rate limit, or the end of this worker."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Backoff:
    """Why a batch is released before its end, and until when it waits; None: as long as its attempts say."""

    reason: str
    wait: timedelta | None = None


@dataclass
class DeliveryCounts:
    """What one call of deliver_batch did."""

    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    waiting: int = 0
    consecutive_failures: int = 0


def deliver_batch(batch: Batch, digests: Sequence[Digest]) -> DeliveryCounts:
    """Send the pending digests of a claimed batch; `digests` are all of its own, by id.

    A temporary refusal releases the batch to be retried; any other outcome is recorded
    on its digest and the next one is sent. Sends nothing if the claim is lost.
    """
    counts = DeliveryCounts()
    pending = attach_readers(
        batch,
        [
            (position, digest)
            for position, digest in enumerate(digests, 1)
            if digest.outcome == Outcome.PENDING
        ],
    )
    skipped = skip_unmailable(batch, [digest for _, digest in pending], timezone.now())
    counts.skipped = len(skipped)
    pending = [row for row in pending if row[1].pk not in skipped]
    try:
        backoff = send_digests(batch, pending, counts)
    except LeaseLost:
        log.warning("batch lost to another worker", batch=batch.pk)
        return counts
    except SendingStopped as stop:
        backoff = Backoff(str(stop), timedelta(seconds=stop.wait))
    release_batch(batch, backoff)
    return counts


def attach_readers(
    batch: Batch, pending: list[tuple[int, Digest]]
) -> list[tuple[int, Digest]]:
    """Attach reader and edition; leave out digests whose reader was erased meanwhile."""
    readers = Subscriber.objects.in_bulk(
        [digest.subscriber_id for _, digest in pending]
    )
    for _, digest in pending:
        digest.edition = batch.slot.edition
        if reader := readers.get(digest.subscriber_id):
            digest.subscriber = reader
    return [row for row in pending if row[1].subscriber_id in readers]


def send_digests(
    batch: Batch, pending: list[tuple[int, Digest]], counts: DeliveryCounts
) -> Backoff | None:
    """Send one digest after another; return a Backoff if some must wait."""
    if not pending:
        return None
    render_data = compose.load_render_data([digest for _, digest in pending])
    backoff = None
    with transports.get_transport().connect() as send:
        for position, digest in pending:
            result = send_digest(batch, position, digest, render_data, send)
            if result is None:
                continue
            if not must_retry(batch, result):
                record_result(digest, result, counts)
                trip_breaker_if_failing(result, counts)
                batch.attempts = 0
                continue
            postpone_digest(batch, digest, result)
            backoff, counts.waiting = backoff_after(result), counts.waiting + 1
            if not result.is_recipient:
                break
    return backoff


def send_digest(
    batch: Batch,
    position: int,
    digest: Digest,
    render_data: compose.RenderData,
    send: Send,
) -> Result | None:
    """Compose, mark and send one digest; nothing between mark and call may fail.

    None if an event has settled it meanwhile.
    """
    wait_for_rate_limit()
    if digest.resent_at and not Digest.objects.pending().filter(pk=digest.pk).exists():
        return None
    try:
        mail = compose.compose_digest(digest, render_data)
    except Exception as error:
        log.exception("digest cannot be composed", digest=digest.pk)
        detail = f"not composed: {type(error).__name__}: {error}"
        return Result(ResultState.REFUSED, detail)
    mark_sending(batch, position, digest)
    return send(mail)


def wait_for_rate_limit() -> None:
    """Sleep until the rate limit of all workers allows one more mail; raise SendingStopped if that is long."""
    wait = rate.acquire()
    if wait > rate.MAX_SLEEP_S:
        raise SendingStopped("the provider accepts no mail for a while", wait)
    if wait:
        time.sleep(wait)
    if shutdown.is_requested():
        raise SendingStopped("the worker is shutting down")


def mark_sending(batch: Batch, position: int, digest: Digest) -> None:
    """Commit that this digest is being sent and renew the lease, in one statement.

    Raises LeaseLost if another worker owns the batch, SendingStopped if it is paused.
    """
    edition_id, until = batch.slot.edition_id, timezone.now() + LEASE
    rows = Batch.objects.owned_by_lease(batch).not_paused(edition_id)
    rows = rows.filter(state__in=(Batch.State.CLAIMED, Batch.State.SENDING))
    if rows.update(
        state=Batch.State.SENDING,
        last_position=position,
        last_digest_id=digest.pk,
        lease_until=until,
    ):
        batch.last_position, batch.lease_until = position, until
    elif pause := SendingPause.objects.blocking(edition_id).first():
        raise SendingStopped(f"paused: {pause.reason}")
    else:
        raise LeaseLost


def must_retry(batch: Batch, result: Result) -> bool:
    """Whether this refusal is temporary and not the last of too many."""
    concerns_all_mail = result.halt or result.wait > 0
    return result.retry and (concerns_all_mail or batch.attempts + 1 < MAX_ATTEMPTS)


def backoff_after(result: Result) -> Backoff:
    """Decide how long the batch waits after a temporary refusal; pause all sending if an operator must act."""
    if result.halt:
        circuit_breaker.pause_sending(
            f"the provider refuses our credentials: {clean_detail(result.detail)}",
            timezone.now(),
        )
        return Backoff(result.detail, timedelta(0))
    if result.wait:
        rate.block_for(result.wait)
        return Backoff(result.detail, timedelta(seconds=result.wait))
    return Backoff(result.detail)


def trip_breaker_if_failing(result: Result, counts: DeliveryCounts) -> None:
    """Apply the provider's rate limit, and pause sending after too many consecutive failures."""
    if result.wait:
        rate.block_for(result.wait)
    is_accepted = result.state == ResultState.ACCEPTED
    counts.consecutive_failures = 0 if is_accepted else counts.consecutive_failures + 1
    if counts.consecutive_failures >= circuit_breaker.MAX_CONSECUTIVE_FAILURES:
        number, detail = counts.consecutive_failures, clean_detail(result.detail)
        circuit_breaker.pause_sending(
            f"{number} consecutive digests failed: {detail}", timezone.now()
        )


def postpone_digest(batch: Batch, digest: Digest, result: Result) -> None:
    """Record that the digest was certainly not accepted: it is no longer in flight."""
    detail = clean_detail(result.detail)
    Digest.objects.filter(pk=digest.pk).update(provider_detail=detail)
    Batch.objects.owned_by_lease(batch).update(last_digest_id=0)


def record_result(digest: Digest, result: Result, counts: DeliveryCounts) -> None:
    """Store the outcome, unless an event of the provider has settled it already."""
    row, now = Digest.objects.filter(pk=digest.pk), timezone.now()
    detail = clean_detail(result.detail)
    match result.state:
        case ResultState.ACCEPTED:
            # An acceptance is a fact, also if another worker gave this one up for dead.
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
                reason=Reason.REFUSED,
                provider_detail=detail,
                outcome_at=now,
            )
            counts.failed += 1
        case ResultState.UNKNOWN:
            row.pending().update(
                outcome=Outcome.UNKNOWN, provider_detail=detail, outcome_at=now
            )
            counts.unknown += 1


def release_batch(batch: Batch, backoff: Backoff | None) -> None:
    """Finish the batch, or make it claimable again after its backoff."""
    rows, now = Batch.objects.owned_by_lease(batch), timezone.now()
    if backoff is None:
        rows.update(state=Batch.State.DONE, lease_until=None, error="", released_at=now)
        return
    counts_as_attempt = backoff.wait is None
    wait = RETRY_BACKOFF * 2**batch.attempts if backoff.wait is None else backoff.wait
    rows.update(
        state=Batch.State.PLANNED,
        attempts=batch.attempts + counts_as_attempt,
        lease_until=now + wait,
        error=clean_detail(backoff.reason),
        released_at=now,
    )


def clean_detail(detail: str) -> str:
    """Truncate a provider's answer to its column and remove NUL, which PostgreSQL refuses."""
    return detail.replace("\x00", "")[:300]


# The last check before sending: consent, suppression, recalls and expiry


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
    expires = slot.kind in (Slot.Kind.HOUR, Slot.Kind.RESEND)
    return expires and now > plan.delivery_deadline(slot.edition, slot.at)


def skip_digests(digests: list[Digest], reason: str) -> set[int]:
    """Mark pending digests as skipped; the first reason stays."""
    ids = {digest.pk for digest in digests}
    if ids:
        Digest.objects.pending().filter(pk__in=ids).update(
            outcome=Outcome.SKIPPED, reason=reason, outcome_at=timezone.now()
        )
    return ids
