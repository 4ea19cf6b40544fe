"""Retention: digests are kept for DIGESTS_KEPT days after their edition froze."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from digest.mailer import shutdown
from digest.models import CURATED, Batch, Candidate, Digest, Edition, Event, Slot
from digest.models.digests import DIGEST_KEY_LIFETIME

log = structlog.get_logger(__name__)

# Digests or candidates in one transaction, and in one night: what a million readers leave
# in five days, within half of the time that a task may take.
PRUNE_CHUNK = 1_000
MAX_PRUNED_PER_NIGHT = 5_000_000
PROGRESS_EVERY = 100_000  # digests


def retention_days() -> int:
    """Return for how many days digests are kept; 0 is forever."""
    minimum = DIGEST_KEY_LIFETIME.days
    return settings.DIGESTS_KEPT and max(settings.DIGESTS_KEPT, minimum)


def is_past_retention(edition: Edition, now: datetime) -> bool:
    """Whether it is no longer known who was mailed this edition: it must not be sent again."""
    days, frozen_at = retention_days(), edition.frozen_at
    return bool(days and frozen_at and frozen_at < now - timedelta(days=days))


def editions_past_retention(now: datetime) -> QuerySet[Edition]:
    if not (days := retention_days()):
        return Edition.objects.none()
    return Edition.objects.frozen().filter(frozen_at__lt=now - timedelta(days=days))


def prune_digests(now: datetime) -> int:
    """Delete old digests and their events, up to a night's work; return their number.

    Pending and unknown digests stay, since an operator has to decide about them. Batches
    and slots go with their last digest. Each PRUNE_CHUNK is a transaction, so a stopping
    worker ends after one, and the next night continues.
    """
    count = 0
    for batch in old_batches(now).values_list("pk", flat=True).iterator():
        # Batch by batch, because the index of their blocks finds a batch's digests at once.
        digests = prunable_digests(now).filter(batch=batch)
        while ids := first_ids(digests, PRUNE_CHUNK):
            delete_digests(ids)
            count += len(ids)
            if count // PROGRESS_EVERY > (count - len(ids)) // PROGRESS_EVERY:
                log.info("pruning digests", count=count)
            if count >= MAX_PRUNED_PER_NIGHT or shutdown.is_requested():
                prune_batches(now)
                return count
    prune_batches(now)
    return count


def old_batches(now: datetime) -> QuerySet[Batch]:
    slots = Slot.objects.filter(edition__in=editions_past_retention(now))
    done = Batch.objects.filter(slot__in=slots, state=Batch.State.DONE)
    return done.order_by("pk")


def prunable_digests(now: datetime) -> QuerySet[Digest]:
    old = Digest.objects.filter(
        edition__in=editions_past_retention(now), batch__state=Batch.State.DONE
    )
    undecided = (Digest.Outcome.PENDING, Digest.Outcome.UNKNOWN)
    return old.exclude(outcome__in=undecided)


def first_ids(rows: QuerySet[Any], number: int) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[:number])


def delete_digests(ids: list[int]) -> None:
    with transaction.atomic():
        Event.objects.filter(digest__in=ids).delete()
        Digest.objects.filter(pk__in=ids).delete()


def prune_batches(now: datetime) -> None:
    """Delete old batches without digests and slots without batches; remove readers without digest from the rest."""
    slots = Slot.objects.filter(edition__in=editions_past_retention(now))
    for batch in old_batches(now):
        readers = sorted(batch.digests.values_list("subscriber_id", flat=True))
        if not readers:
            batch.delete()
        elif batch.readers != readers:
            batch.readers = readers
            batch.save(update_fields=["readers"])
    slots.filter(~Exists(Batch.objects.filter(slot=OuterRef("pk")))).delete()


def prune_candidates(now: datetime) -> int:
    """Delete candidates of old editions that nothing refers to; return their number.

    Such an edition is never mailed again. Candidates that an editor changed stay, and so
    do the picks of remaining digests. The newest edition stays whole, however old,
    because the front page shows it.
    """
    count = 0
    uncurated = Candidate.objects.exclude(CURATED)
    editions = editions_past_retention(now).filter(
        Exists(uncurated.filter(edition=OuterRef("pk")))
    )
    for edition in editions.exclude(pk=newest_edition_id() or 0).order_by("day"):
        picked = {pick.candidate for row in edition.digests.all() for pick in row.picks}
        unused = uncurated.filter(edition=edition).exclude(pk__in=picked)
        while count < MAX_PRUNED_PER_NIGHT and (ids := first_ids(unused, PRUNE_CHUNK)):
            count += Candidate.objects.filter(pk__in=ids).delete()[0]
    return count


def newest_edition_id() -> int | None:
    with_candidates = Edition.objects.filter(
        Exists(Candidate.objects.filter(edition=OuterRef("pk")))
    )
    return with_candidates.order_by("-day").values_list("pk", flat=True).first()
