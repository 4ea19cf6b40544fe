"""The outcome of every reader of an edition, counted from the database."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, QuerySet, Sum

from digest.models import Batch, Digest, Edition, SendingPause, bulk
from digest.models.editions import EXPIRES_AFTER

Outcome = Digest.Outcome


@dataclass(frozen=True)
class Tally:
    """An edition's readers by outcome: recipients is the sum of all others."""

    recipients: int = 0
    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    waiting: int = 0
    expired: int = 0  # of the skipped ones

    @property
    def is_balanced(self) -> bool:
        return self.recipients == (
            self.accepted + self.failed + self.unknown + self.skipped
        )

    def __str__(self) -> str:
        text = (
            f"recipients {self.recipients} = accepted {self.accepted} + failed {self.failed}"
            f" + unknown {self.unknown} + skipped {self.skipped}"
        )
        return f"{text} + waiting {self.waiting}" if self.waiting else text


def count_outcomes(edition: Edition) -> Tally:
    """Count this edition's readers, each once however many batches name them; erased ones not at all."""
    counts = Counter(Digest.objects.filter(edition=edition).count_outcomes())
    counts[Outcome.PENDING] += count_waiting(edition)
    return Tally(
        recipients=counts.total(),
        accepted=counts[Outcome.ACCEPTED],
        failed=counts[Outcome.FAILED],
        unknown=counts[Outcome.UNKNOWN],
        skipped=counts[Outcome.SKIPPED],
        waiting=counts[Outcome.PENDING],
        expired=count_expired(edition),
    )


def count_expired(edition: Edition) -> int:
    expired = Digest.objects.filter(edition=edition, reason=Digest.Reason.EXPIRED)
    return expired.count()


def reconciliation_error(
    edition: Edition, now: datetime, tally: Tally | None = None
) -> str:
    """Describe readers who were not mailed before the edition expired, or who have no outcome; "" if none.

    No outcome is an error in finished batches, and in all once the edition is over.

    `tally` saves counting. It takes several queries while sending goes on, so a tally
    that is not balanced is only a reason to look closer.
    """
    tally = tally or count_outcomes(edition)
    if tally.expired:
        return f"{tally.expired} of {tally.recipients} readers were not mailed: the edition expired"
    if tally.is_balanced:
        return ""
    batches = Batch.objects.filter(slot__edition=edition)
    due = batches if is_over(edition, now) else batches.filter(state=Batch.State.DONE)
    if not (number := count_without_outcome(due)):
        return ""
    unfinished = due.unfinished().count()
    cause = (
        f"{unfinished} batches were not sent"
        if unfinished
        else "their batches are done"
    )
    return f"{number} of {tally.recipients} readers have no outcome: {cause}"


def count_without_outcome(batches: QuerySet[Batch]) -> int:
    editions = batches.values(
        "slot__edition"
    )  # an index finds the digests of an edition
    pending = Digest.objects.pending().filter(batch__in=batches, edition__in=editions)
    return pending.count() + bulk.count_without_digest(batches)


def is_over(edition: Edition, now: datetime) -> bool:
    """Whether no mail of this edition can leave any more: its last slot expired, and no pause holds it."""
    last = edition.slots.aggregate(at=Max("at"))["at"]
    if last is None or SendingPause.objects.blocking(edition.pk).exists():
        return False
    return bool(now > last + EXPIRES_AFTER)


def count_waiting(edition: Edition) -> int:
    """Count the readers of this edition's batches who have no digest of it yet."""
    batches = Batch.objects.filter(slot__edition=edition)
    planned = batches.aggregate(number=Sum(bulk.JsonArrayLength("readers")))["number"]
    # Every digest is of a reader of a batch. So if batches name as many readers as there
    # are digests, no reader is missing, and none is named twice.
    if (planned or 0) == Digest.objects.filter(edition=edition).count():
        return 0
    return bulk.count_without_digest(batches)
