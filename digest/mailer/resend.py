"""Send digests of unknown outcome again, where a setting or an operator allows it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from digest.mailer import plan
from digest.models import Batch, Digest, Edition, Event, Slot
from digest.models.editions import EXPIRES_AFTER

Outcome = Digest.Outcome


def resend_due(now: datetime) -> int:
    """Plan again what has been unknown without events for UNKNOWN_RESEND_AFTER minutes; return the number.

    Once per digest, and not after its edition expired. Off unless the setting is set: a
    mail that was accepted and whose events are late is then sent twice.
    """
    if not settings.UNKNOWN_RESEND_AFTER:
        return 0
    before = now - timedelta(minutes=settings.UNKNOWN_RESEND_AFTER)
    due: dict[Edition, list[int]] = {}
    for digest in unknown_without_events(before).select_related("edition"):
        if now <= plan.freeze_time(digest.edition) + EXPIRES_AFTER:
            due.setdefault(digest.edition, []).append(digest.pk)
    return sum(
        resend_digests(edition, ids, now, Slot.Kind.RESEND)
        for edition, ids in due.items()
    )


def unknown_without_events(before: datetime) -> QuerySet[Digest]:
    """Digests that became unknown before then, were never sent again, and have no event."""
    events = Event.objects.filter(digest=OuterRef("pk"))
    unknown = resendable_digests().filter(resent_at=None, outcome_at__lte=before)
    return unknown.filter(~Exists(events))


def resendable_digests() -> QuerySet[Digest]:
    """Unknown digests whose batch no worker owns any more."""
    return Digest.objects.unknown().filter(batch__state=Batch.State.DONE)


def resend_digests(
    edition: Edition, ids: Sequence[int], now: datetime, kind: str
) -> int:
    """Move these digests of one edition into new batches if they are still unknown; return their number."""
    with transaction.atomic():
        rows = resendable_digests().filter(pk__in=ids, edition=edition)
        digests = list(rows.select_for_update(of=("self",)).order_by("pk"))
        if digests:
            slot = plan.create_slot(edition, kind, now)
            for start in range(0, len(digests), Batch.SIZE):
                move_to_new_batch(digests[start : start + Batch.SIZE], slot, now)
            slot.planned_at, slot.cursor = now, digests[-1].subscriber_id
            slot.save(update_fields=["planned_at", "cursor"])
    return len(digests)


def move_to_new_batch(digests: Sequence[Digest], slot: Slot, now: datetime) -> None:
    readers = [digest.subscriber_id for digest in digests]
    batch = Batch.objects.create(slot=slot, readers=readers)
    Digest.objects.filter(pk__in=[digest.pk for digest in digests]).update(
        batch=batch,
        outcome=Outcome.PENDING,
        provider_detail="",
        outcome_at=None,
        resent_at=now,
    )


def mark_accepted(ids: Sequence[int], now: datetime) -> int:
    """Record that an operator found these unknown digests accepted; return their number."""
    unknown = Digest.objects.unknown().filter(pk__in=ids)
    return unknown.update(outcome=Outcome.ACCEPTED, outcome_at=now)
