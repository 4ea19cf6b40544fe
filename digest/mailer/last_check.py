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
    """Return the digests that may be sent, with their current readers, and how many were skipped."""
    existing = attach_readers(batch, pending)
    skipped = skip_unmailable(batch, existing, timezone.now())
    return [digest for digest in existing if digest.pk not in skipped], len(skipped)


def attach_readers(batch: Batch, pending: Sequence[Digest]) -> list[Digest]:
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
    if not Edition.objects.sendable().filter(pk=batch.slot.edition_id).exists():
        return skip_digests(pending, Reason.STOPPED)
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
            outcome=Digest.Outcome.SKIPPED, reason=reason, outcome_at=DatabaseNow()
        )
    return ids
