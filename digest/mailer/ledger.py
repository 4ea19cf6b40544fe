"""Who is sending what, and what became of it: always read from the database."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, Count, Max, QuerySet, Value, When

from accounts.models import Subscriber
from digest.mailer import transports
from digest.models import Batch, Digest, Edition, SendingPause
from digest.models.editions import EXPIRES_AFTER

# How long a worker owns a batch after its last sign of life, each digest being one.
# Selecting for 250 readers takes seconds and a call at most 20; who outlives a lease
# loses the batch, never sends twice. Short, because whoever sends again after a kill
# waits for it.
LEASE = timedelta(minutes=1)
# How many free batches are looked at together when workers race for them.
LOOK_AHEAD = 10

State = Batch.State
Outcome = Digest.Outcome
FINAL = (State.ACCEPTED, State.FAILED, State.UNKNOWN)


@dataclass(frozen=True)
class Tally:
    """What became of an edition's readers: recipients = the sum of all others."""

    recipients: int = 0
    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    waiting: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every reader is accounted for and nobody waits."""
        return self.recipients == (
            self.accepted + self.failed + self.unknown + self.skipped
        )

    def __str__(self) -> str:
        told = (
            f"recipients {self.recipients} = accepted {self.accepted} + failed {self.failed}"
            f" + unknown {self.unknown} + skipped {self.skipped}"
        )
        return f"{told} + waiting {self.waiting}" if self.waiting else told


def claim_next(now: datetime, edition: Edition | None = None) -> Batch | None:
    """Take the free batch that has waited longest, for LEASE; None where nothing is free."""
    batches = Batch.objects.filter(slot__edition=edition) if edition else Batch.objects
    while True:
        free = batches.free(now).order_by("slot__at", "pk")
        waiting = list(free.values_list("pk", flat=True)[:LOOK_AHEAD])
        if not waiting:
            return None
        for pk in waiting:
            if Batch.objects.claim(pk, now, now + LEASE):
                return Batch.objects.select_related("slot__edition").get(pk=pk)


def held(edition: Edition) -> bool:
    """Whether some batch of this edition is in a worker's hands, or in a dead one's."""
    batches = Batch.objects.filter(slot__edition=edition)
    return batches.filter(state__in=(State.CLAIMED, State.SENDING)).exists()


def reclaim(now: datetime) -> list[Batch]:
    """Settle what workers left who died while handing over; their batches wait again.

    The digest that was marked last is accepted where the transport can look and
    finds it, goes again where it can look and finds nothing, and else is unknown:
    never sent again blindly.
    """
    left = Batch.objects.filter(state=State.SENDING, lease_until__lt=now)
    return [batch for batch in left if take_over(batch, now) and settle(batch, now)]


def take_over(batch: Batch, now: datetime) -> bool:
    """Own a batch whose worker is gone; False if another was quicker, or the worker lives."""
    mine = Batch.objects.filter(
        pk=batch.pk, state=State.SENDING, lease_until=batch.lease_until
    )
    batch.lease_until = now + LEASE
    return mine.update(lease_until=batch.lease_until) == 1


def settle(batch: Batch, now: datetime) -> bool:
    """Decide on the digests that were marked and have no outcome, then let the batch wait for a worker.

    Normally that is the last one marked.
    """
    marked = batch.digests.filter(pk__lte=batch.last_digest_id).order_by("pk")
    absent = [n for n, one in enumerate(marked) if in_doubt(one) and not look(one, now)]
    handed = absent[0] if absent else batch.last_position
    mine = Batch.objects.held_by(batch)
    return mine.update(state=State.PLANNED, last_position=handed, lease_until=None) == 1


def in_doubt(digest: Digest) -> bool:
    """Whether a marked digest may have been accepted: one that was refused for now says so."""
    return not is_settled(digest) and not digest.detail


def is_settled(digest: Digest) -> bool:
    """Whether anything is known of this digest: an accepted one has the provider's name for it."""
    return bool(digest.outcome or digest.message_id)


def look(digest: Digest, now: datetime) -> bool:
    """Record what the transport finds; False where it looked and nothing was sent."""
    found = transports.get_transport().find(digest.key)
    # An event, or the worker that we think dead, may have told meanwhile.
    row = Digest.objects.filter(pk=digest.pk, outcome=Outcome.PENDING, message_id="")
    if found is None:
        detail = "the worker ended while it handed this over"
        row.update(outcome=Outcome.UNKNOWN, detail=detail, outcome_at=now)
    elif found:
        row.update(outcome=Outcome.ACCEPTED, outcome_at=now)
    return found is not False


def tally(edition: Edition) -> Tally:
    """Count this edition's readers, each once however many batches name them; erased ones not at all."""
    counted = Counter(outcomes(edition))
    batches = Batch.objects.filter(slot__edition=edition)
    counted["waiting"] += len(without_digest(edition, batches))
    return Tally(
        recipients=counted.total(),
        accepted=counted[Outcome.ACCEPTED],
        failed=counted[Outcome.FAILED],
        unknown=counted[Outcome.UNKNOWN],
        skipped=counted[Outcome.SKIPPED],
        waiting=counted["waiting"],
    )


def outcomes(edition: Edition) -> dict[str, int]:
    """How many digests of the edition have which outcome, counted by the database."""
    named = Case(When(message_id="", then=Value(False)), default=Value(True))
    rows = (
        Digest.objects.filter(edition=edition)
        .values_list("outcome", named, "batch__state")
        .annotate(Count("pk"))
        .order_by()
    )
    counted: Counter[str] = Counter()
    for outcome, is_named, state, number in rows:
        counted[outcome_of(outcome, is_named, state)] += number
    return counted


def outcome_of(outcome: str, is_named: bool, state: str) -> str:
    """A digest's own outcome; else accepted where its provider named it; else a doubt or failure of its whole batch.

    That its batch was finished does not say that it was accepted: such a digest
    waits, and the verification finds it.
    """
    if outcome:
        return outcome
    if is_named:
        return Outcome.ACCEPTED.value
    return state if state in (State.FAILED, State.UNKNOWN) else "waiting"


def mismatch(edition: Edition, now: datetime, counted: Tally | None = None) -> str:
    """What does not add up of finished batches, or of all once the edition is over; "" where nothing is wrong.

    `counted`: its tally, where the caller has it already. A tally is several questions,
    and sending goes on between them, so one that does not balance proves nothing yet.
    """
    told = counted or tally(edition)
    if told.balanced:
        return ""
    batches = Batch.objects.filter(slot__edition=edition)
    due = batches if is_over(edition, now) else batches.filter(state__in=FINAL)
    if not (number := forgotten(edition, due)):
        return ""
    open_ones = due.exclude(state__in=FINAL).count()
    why = f"{open_ones} batches never went" if open_ones else "their batches are done"
    return f"{number} of {told.recipients} readers have no outcome: {why}"


def forgotten(edition: Edition, batches: QuerySet[Batch]) -> int:
    """How many readers of these batches have no outcome."""
    mute = Digest.objects.filter(batch__in=batches, outcome="", message_id="")
    mute = mute.exclude(batch__state__in=(State.FAILED, State.UNKNOWN))
    return mute.count() + len(without_digest(edition, batches))


def is_over(edition: Edition, now: datetime) -> bool:
    """Whether nothing of this edition leaves any more: its last quarter hour expired with nobody stopping it."""
    last = edition.slots.aggregate(at=Max("at"))["at"]
    if last is None or SendingPause.objects.of(edition.pk).exists():
        return False
    return bool(now > last + EXPIRES_AFTER)


def without_digest(edition: Edition, batches: QuerySet[Batch]) -> set[int]:
    """Readers who are in these batches of an edition, still exist, and have no digest yet."""
    planned: set[int] = set()
    for readers in batches.values_list("readers", flat=True).iterator():
        planned.update(readers)
    planned.difference_update(edition.digests.values_list("subscriber_id", flat=True))
    if not planned:
        return planned
    span = Subscriber.objects.filter(pk__gte=min(planned), pk__lte=max(planned))
    return planned.intersection(span.values_list("pk", flat=True))
