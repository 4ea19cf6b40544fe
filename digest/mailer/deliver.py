"""Hand a batch's digests to the provider: each is marked before the call, and what came of it is recorded after."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from accounts.models import Subscriber
from digest.mailer import circuit_breaker, compose, plan, rate, shutdown, transports
from digest.mailer.ledger import LEASE, Outcome, State, is_settled
from digest.mailer.transports import Result as Answer
from digest.mailer.transports import ResultState as Said
from digest.mailer.transports import Send
from digest.models import Batch, Candidate, Digest, SendingPause, Slot

log = structlog.get_logger(__name__)

# A provider that refuses for now is asked again after 1, 2, 4 and 8 minutes: a
# restart takes one, a limit on requests some. After the fifth refusal in a row
# the digest has failed and the others go on.
ATTEMPTS = 5
BACKOFF = timedelta(minutes=1)

Reason = Digest.Reason


class Lost(Exception):
    """The lease ran out and another worker has the batch: nothing more may be sent."""


class Stopped(Exception):
    """Nothing was sent, and the batch waits: a brake was pulled, the provider wants none, or this worker ends."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class Rest:
    """Why a batch is laid down before its end, and for how long; None: as long as its attempts say."""

    why: str
    wait: timedelta | None = None


@dataclass
class Outcomes:
    """What one call of deliver did."""

    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    waiting: int = 0
    in_a_row: int = 0  # failed or unknown, since the last that was accepted


class Clock:
    """The time as it passes since `now`: leases are renewed by it."""

    def __init__(self, now: datetime) -> None:
        self.start, self.begun = now, time.monotonic()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=time.monotonic() - self.begun)


def deliver(batch: Batch, digests: Sequence[Digest], now: datetime) -> Outcomes:
    """Send what was not sent yet of a claimed batch; `digests` are all of its own, by id.

    Sends nothing where the claim is lost. A refusal for now hands the batch back
    to wait; any other outcome is recorded on its digest and the next one goes.
    """
    done = Outcomes()
    pending = with_readers(
        batch, [(n, one) for n, one in enumerate(digests, 1) if not is_settled(one)]
    )
    stopped = excluded(batch, [one for _, one in pending], now)
    done.skipped = len(stopped)
    going = [(n, one) for n, one in pending if one.pk not in stopped]
    try:
        rest = send_all(batch, going, Clock(now), done)
    except Lost:
        log.warning("batch lost to another worker", batch=batch.pk)
        return done
    except Stopped as why:
        rest = Rest(str(why), timedelta(seconds=why.wait))
    finish(batch, rest, now)
    return done


def with_readers(
    batch: Batch, pending: list[tuple[int, Digest]]
) -> list[tuple[int, Digest]]:
    """Attach reader and edition; digests whose reader was erased meanwhile are left out."""
    readers = Subscriber.objects.in_bulk([one.subscriber_id for _, one in pending])
    for _, digest in pending:
        digest.edition = batch.slot.edition
        if reader := readers.get(digest.subscriber_id):
            digest.subscriber = reader
    return [(n, one) for n, one in pending if one.subscriber_id in readers]


def send_all(
    batch: Batch, going: list[tuple[int, Digest]], clock: Clock, done: Outcomes
) -> Rest | None:
    """Send digest after digest; why and how long the batch rests where some must wait."""
    if not going:
        return None
    render_data = compose.gather([one for _, one in going])
    rest = None
    with transports.get_transport().connect() as send:
        for number, digest in going:
            answer = send_one(batch, number, digest, render_data, send, clock)
            if answer is None:  # an event has settled it meanwhile
                continue
            if not must_wait(batch, answer):
                record(digest, answer, clock.now(), done)
                watch(answer, done, clock.now())
                batch.attempts = 0
                continue
            postpone(digest, answer)
            rest, done.waiting = rest_after(answer, clock.now()), done.waiting + 1
            if not answer.alone:
                break
    return rest


def send_one(
    batch: Batch,
    number: int,
    digest: Digest,
    render_data: compose.RenderData,
    send: Send,
    clock: Clock,
) -> Answer | None:
    """Compose, mark, send: between the mark and the call there is nothing that can fail.

    None where it was settled since `digests` were read.
    """
    wait_for_turn()
    if digest.resent_at and not still_in_doubt(digest):
        return None
    try:
        mail = compose.compose(digest, render_data)
    except Exception as error:
        log.exception("digest cannot be composed", digest=digest.pk)
        return Answer(Said.REFUSED, f"not composed: {type(error).__name__}: {error}")
    if digest.detail:
        Digest.objects.filter(pk=digest.pk).update(detail="")  # in doubt again
    mark(batch, number, digest, clock.now())
    return send(mail)


def wait_for_turn() -> None:
    """Sleep until all workers' pace allows one more mail; Stopped where that is long, or this worker ends."""
    wait = rate.turn()
    if wait > rate.PATIENCE_SECONDS:
        raise Stopped("the provider wants no mail for a while", wait)
    if wait:
        time.sleep(wait)
    if shutdown.asked():
        raise Stopped("its worker was asked to end")


def still_in_doubt(digest: Digest) -> bool:
    """Whether a digest that is sent once more is still without an answer to the first time."""
    rows = Digest.objects.filter(pk=digest.pk, outcome=Outcome.PENDING)
    return rows.filter(message_id="").exists()


def mark(batch: Batch, number: int, digest: Digest, now: datetime) -> None:
    """Commit that this digest is being handed over, and stay the owner.

    Lost where another is; Stopped where a brake was pulled. One statement says all.
    """
    edition = batch.slot.edition_id
    mine = Batch.objects.held_by(batch).unstopped(edition)
    mine = mine.filter(state__in=(State.CLAIMED, State.SENDING))
    until = now + LEASE
    if mine.update(
        state=State.SENDING,
        last_position=number,
        last_digest_id=digest.pk,
        lease_until=until,
    ):
        batch.last_position, batch.lease_until = number, until
    elif pause := SendingPause.objects.of(edition).first():
        raise Stopped(f"stopped: {pause.reason}")
    else:
        raise Lost


def must_wait(batch: Batch, answer: Answer) -> bool:
    """Whether this refusal is for now, and not the last of too many in a row."""
    asked = answer.halt or answer.wait > 0  # that is about us, not about this mail
    return answer.retry and (asked or batch.attempts + 1 < ATTEMPTS)


def rest_after(answer: Answer, now: datetime) -> Rest:
    """How long to lay the batch down after this refusal; whoever must mend something is told."""
    if answer.halt:
        circuit_breaker.pull(f"the provider refuses us: {cut(answer.detail)}", now)
        return Rest(answer.detail, timedelta(0))
    if answer.wait:
        rate.block(answer.wait)
        return Rest(answer.detail, timedelta(seconds=answer.wait))
    return Rest(answer.detail)


def watch(answer: Answer, done: Outcomes, now: datetime) -> None:
    """Heed what the provider said beside its answer, and stop where too much goes wrong in a row."""
    if answer.wait:
        rate.block(answer.wait)
    done.in_a_row = 0 if answer.state == Said.ACCEPTED else done.in_a_row + 1
    if done.in_a_row >= circuit_breaker.ROW:
        circuit_breaker.pull(
            f"{done.in_a_row} in a row went wrong: {cut(answer.detail)}", now
        )


def postpone(digest: Digest, answer: Answer) -> None:
    """Say on the digest that it was surely not accepted, so that nobody is in doubt about it."""
    detail = cut(answer.detail) or "refused for now"
    Digest.objects.filter(pk=digest.pk).update(detail=detail)


def record(digest: Digest, answer: Answer, now: datetime, done: Outcomes) -> None:
    """What came of it, unless an event of the provider has told already."""
    row = Digest.objects.filter(pk=digest.pk, outcome=Outcome.PENDING)
    detail = cut(answer.detail)
    match answer.state:
        case Said.ACCEPTED:
            # Also where another worker thought that this one had died.
            known = Digest.objects.filter(
                pk=digest.pk,
                outcome__in=(Outcome.PENDING, Outcome.UNKNOWN, Outcome.ACCEPTED),
            )
            name = answer.message_id[:120]
            known.update(
                outcome=Outcome.PENDING, message_id=name, detail="", outcome_at=now
            )
            done.accepted += 1
        case Said.REFUSED:
            row.update(
                outcome=Outcome.FAILED,
                reason=Reason.REFUSED,
                detail=detail,
                outcome_at=now,
            )
            done.failed += 1
        case Said.UNKNOWN:
            row.update(outcome=Outcome.UNKNOWN, detail=detail, outcome_at=now)
            done.unknown += 1


def finish(batch: Batch, rest: Rest | None, now: datetime) -> None:
    """Lay the batch down: for good, or until the provider may be asked again."""
    mine = Batch.objects.held_by(batch)
    if rest is None:
        mine.update(state=State.ACCEPTED, lease_until=None, error="", released_at=now)
        return
    counts = rest.wait is None
    wait = BACKOFF * 2**batch.attempts if rest.wait is None else rest.wait
    mine.update(
        state=State.PLANNED,
        attempts=batch.attempts + counts,
        lease_until=now + wait,
        error=cut(rest.why),
        released_at=now,
    )


def cut(detail: str) -> str:
    """What a provider said, as long as its column and without what a database refuses."""
    return detail.replace("\x00", "")[:300]


# The last door: consent, suppression, recalls and the edition's time


def excluded(batch: Batch, pending: list[Digest], now: datetime) -> set[int]:
    """Skip whom nobody may mail any more, though their digest is written; the ids of those digests."""
    if too_late(batch, now):
        return skip(pending, Reason.EXPIRED)
    readers = Subscriber.objects.filter(pk__in=[one.subscriber_id for one in pending])
    willing = set(readers.mailable(now).values_list("pk", flat=True))
    reachable = set(readers.not_suppressed().values_list("pk", flat=True))
    left = [one for one in pending if one.subscriber_id not in willing]
    barred = [
        one
        for one in pending
        if one.subscriber_id in willing and one.subscriber_id not in reachable
    ]
    return (
        skip(left, Reason.LEFT)
        | skip(barred, Reason.SUPPRESSED)
        | skip(silent(batch, pending), Reason.NOTHING)
    )


def silent(batch: Batch, pending: list[Digest]) -> list[Digest]:
    """Those that hold nothing, recalled papers taken out, and whose readers want no note about that."""
    take_out_recalled(batch, pending)
    return [
        one for one in pending if not one.packed_picks and not one.subscriber.wants_note
    ]


def take_out_recalled(batch: Batch, pending: list[Digest]) -> None:
    recalled = set(
        Candidate.objects.filter(
            edition=batch.slot.edition, paper__recall__isnull=False
        ).values_list("pk", flat=True)
    )
    for one in pending if recalled else []:
        kept = [pick for pick in one.picks if pick.candidate not in recalled]
        if len(kept) < len(one.picks):
            one.picks = kept
            rows = Digest.objects.filter(pk=one.pk)  # gone if the reader was erased
            rows.update(packed_picks=one.packed_picks)


def too_late(batch: Batch, now: datetime) -> bool:
    """Whether this batch's edition has expired; what an operator or a new reader asked for never does."""
    slot = batch.slot
    by_itself = slot.kind in (Slot.Kind.HOUR, Slot.Kind.RESEND)
    return by_itself and now > plan.deadline(slot.edition, slot.at)


def skip(digests: list[Digest], reason: str) -> set[int]:
    """Record that these are not sent, and why; the first reason stays."""
    ids = {one.pk for one in digests}
    if ids:
        Digest.objects.filter(pk__in=ids, outcome=Outcome.PENDING).update(
            outcome=Outcome.SKIPPED, reason=reason
        )
    return ids
