"""How long we remember who was mailed what: DIGESTS_KEPT days, counted from the freeze of an edition."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from digest.mailer.ledger import FINAL, Outcome
from digest.models import CURATED, Batch, Candidate, Digest, Edition, Event, Slot

# No setting reaches into these days: selection reads 14 of them so that nothing comes
# twice, and the keys of digests open preferences for 30.
LEAST = 30
# Digests in one transaction, and in one night: what a week of 100,000 readers leaves. So
# many candidates, too.
PORTION = 1_000
NIGHTLY = 500_000


def days() -> int:
    """For how many days digests are kept; 0 is for ever."""
    return settings.DIGESTS_KEPT and max(settings.DIGESTS_KEPT, LEAST)


def is_forgotten(edition: Edition, now: datetime) -> bool:
    """Whether nobody knows any more who was mailed this edition: it must not be mailed again."""
    kept = days()
    return bool(
        kept and edition.frozen_at and edition.frozen_at < now - timedelta(days=kept)
    )


def forgotten(now: datetime) -> QuerySet[Edition]:
    """The editions whose digests are not kept."""
    if not days():
        return Edition.objects.none()
    return Edition.objects.frozen().filter(frozen_at__lt=now - timedelta(days=days()))


def trim(now: datetime) -> int:
    """Delete old digests and what was reported of them; how many. What is more than a night's work waits for the next.

    Those that are not settled stay, unknown ones among them: what nobody knows is for
    an operator to decide. Batches and slots go with their last digest.
    """
    count = 0
    while count < NIGHTLY and (portion := ids_of(settled(now), PORTION)):
        forget(portion)
        count += len(portion)
    clear(now)
    return count


def settled(now: datetime) -> QuerySet[Digest]:
    """Old digests of which nothing is in doubt."""
    told = ~Q(outcome=Outcome.PENDING) | ~Q(message_id="")
    old = Digest.objects.filter(edition__in=forgotten(now), batch__state__in=FINAL)
    return old.filter(told).exclude(outcome=Outcome.UNKNOWN)


def ids_of(rows: QuerySet[Any], number: int) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[:number])


def forget(ids: list[int]) -> None:
    with transaction.atomic():
        Event.objects.filter(digest__in=ids).delete()
        Digest.objects.filter(pk__in=ids).delete()


def clear(now: datetime) -> None:
    """Delete old batches without digests and slots without batches; a batch that stays names only whose digest stays."""
    slots = Slot.objects.filter(edition__in=forgotten(now))
    old = Batch.objects.filter(slot__in=slots, state__in=FINAL)
    old.filter(~Exists(Digest.objects.filter(batch=OuterRef("pk")))).delete()
    for batch in old:
        readers = sorted(batch.digests.values_list("subscriber_id", flat=True))
        if batch.readers != readers:
            batch.readers = readers
            batch.save(update_fields=["readers"])
    slots.filter(~Exists(Batch.objects.filter(slot=OuterRef("pk")))).delete()


def thin(now: datetime) -> int:
    """Delete the candidates of forgotten editions that nothing needs any more; how many.

    Nobody can be mailed such an edition again. What an editor has touched stays,
    and so do the picks of digests that stay. The newest edition stays whole, however old:
    the front page answers from it.
    """
    count = 0
    plain = Candidate.objects.exclude(CURATED)
    thick = forgotten(now).filter(Exists(plain.filter(edition=OuterRef("pk"))))
    for edition in thick.exclude(pk=newest() or 0).order_by("day"):
        picked = {one.candidate for row in edition.digests.all() for one in row.picks}
        spare = plain.filter(edition=edition).exclude(pk__in=picked)
        while count < NIGHTLY and (portion := ids_of(spare, PORTION)):
            count += Candidate.objects.filter(pk__in=portion).delete()[0]
    return count


def newest() -> int | None:
    """The newest edition that holds papers, by id."""
    held = Edition.objects.filter(
        Exists(Candidate.objects.filter(edition=OuterRef("pk")))
    )
    return held.order_by("-day").values_list("pk", flat=True).first()
