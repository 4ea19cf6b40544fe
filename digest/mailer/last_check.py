"""The last check before sending: consent, suppression, recalls, expiry and stops, read again."""

from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from accounts.models import Subscriber
from digest.mailer import plan
from digest.models import Batch, Candidate, Digest, Edition, Slot
from digest.models.digests import DatabaseNow

Reason = Digest.Reason


def filter_mailable(
    batch: Batch, pending: Sequence[Digest]
) -> tuple[list[Digest], int]:
    """Return the digests that may be sent, with their current readers, and how many were skipped.

    Digests of erased readers are in neither: their rows are deleted.
    """
    now = timezone.now()
    readers = (
        Subscriber.objects.filter(pk__in=[digest.subscriber_id for digest in pending])
        .with_consent(now)
        .in_bulk()
    )
    existing = [digest for digest in pending if digest.subscriber_id in readers]
    remove_recalled(batch, existing)
    edition_reason = find_edition_reason(batch, now)
    by_reason: dict[Reason, list[Digest]] = {}
    for digest in existing:
        digest.subscriber = readers[digest.subscriber_id]
        reason = edition_reason or digest.find_skip_reason()
        by_reason.setdefault(reason, []).append(digest)
    mailable = by_reason.pop(Reason.NONE, [])
    for reason, digests in by_reason.items():
        skip_digests(digests, reason)
    return mailable, len(existing) - len(mailable)


def find_edition_reason(batch: Batch, now: datetime) -> Reason | None:
    """Decide why no digest of this batch may be sent; None if they may be."""
    if is_expired(batch, now):
        return Reason.EXPIRED
    if not Edition.objects.sendable().filter(pk=batch.slot.edition_id).exists():
        return Reason.STOPPED
    return None


def remove_recalled(batch: Batch, pending: list[Digest]) -> None:
    """Remove papers that were recalled since these digests were written."""
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


def skip_digests(digests: list[Digest], reason: Reason) -> None:
    """Mark pending digests as skipped; the first reason stays."""
    Digest.objects.pending().filter(pk__in=[digest.pk for digest in digests]).update(
        outcome=Digest.Outcome.SKIPPED, reason=reason, outcome_at=DatabaseNow()
    )
