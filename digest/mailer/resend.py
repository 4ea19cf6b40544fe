"""Digests of which nobody knows whether they were accepted: sent once more, where somebody decided so."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from digest.mailer import plan
from digest.mailer.ledger import FINAL, Outcome
from digest.models import Batch, Digest, Edition, Event, Slot
from digest.models.editions import EXPIRES_AFTER


def resend_due(now: datetime) -> int:
    """Plan once more what is unknown and silent for UNKNOWN_RESEND_AFTER minutes; how many.

    Never twice, and never after the edition expired. Off unless the setting is set: a
    mail that was accepted after all, and whose events came late, is then doubled.
    """
    if not settings.UNKNOWN_RESEND_AFTER:
        return 0
    silent_since = now - timedelta(minutes=settings.UNKNOWN_RESEND_AFTER)
    rows = silent(silent_since).select_related("edition")
    due: dict[Edition, list[int]] = {}
    for digest in rows:
        if now <= plan.froze(digest.edition) + EXPIRES_AFTER:
            due.setdefault(digest.edition, []).append(digest.pk)
    return sum(
        resend(edition, ids, now, Slot.Kind.RESEND) for edition, ids in due.items()
    )


def silent(since: datetime) -> QuerySet[Digest]:
    """Unknown digests, never sent again, of which no event has told anything."""
    told = Event.objects.filter(digest=OuterRef("pk"))
    return unknown().filter(~Exists(told), resent_at=None, outcome_at__lte=since)


def unknown() -> QuerySet[Digest]:
    """Digests whose fate nobody knows, and that no worker holds any more."""
    return Digest.objects.filter(outcome=Outcome.UNKNOWN, batch__state__in=FINAL)


def resend(edition: Edition, ids: Sequence[int], now: datetime, kind: str) -> int:
    """Move these unknown digests of one edition into batches of their own; how many still were unknown."""
    with transaction.atomic():
        rows = unknown().filter(pk__in=ids, edition=edition)
        rows = rows.select_for_update(of=("self",)).order_by("pk")
        digests = list(rows)
        if digests:
            slot = plan.new_slot(edition, kind, now)
            for start in range(0, len(digests), Batch.SIZE):
                move(digests[start : start + Batch.SIZE], slot, now)
            slot.planned_at, slot.cursor = now, digests[-1].subscriber_id
            slot.save(update_fields=["planned_at", "cursor"])
    return len(digests)


def move(digests: Sequence[Digest], slot: Slot, now: datetime) -> None:
    readers = [digest.subscriber_id for digest in digests]
    batch = Batch.objects.create(slot=slot, readers=readers)
    Digest.objects.filter(pk__in=[digest.pk for digest in digests]).update(
        batch=batch, outcome=Outcome.PENDING, detail="", outcome_at=None, resent_at=now
    )


def mark_accepted(ids: Sequence[int], now: datetime) -> int:
    """An operator looked, and found that these were accepted; how many were unknown."""
    return Digest.objects.filter(pk__in=ids, outcome=Outcome.UNKNOWN).update(
        outcome=Outcome.ACCEPTED, outcome_at=now
    )
