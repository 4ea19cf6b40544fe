"""Send unknown and failed digests again, where a setting or an operator allows it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from accounts.models import Subscriber
from digest.mailer import plan
from digest.models import Batch, Digest, Edition, Event, Slot
from digest.models.digests import DatabaseNow
from digest.models.editions import EXPIRES_AFTER

# The latest events, which show for how late mails events have arrived.
RECENT_EVENTS = 500

# A mail may be refused as unclearly again and again; each time it must have stayed unknown
# for the delay, without any event. What then is still unknown is left to an operator.
MAX_RESENDS = 5
# No edition is sent for longer.
MAX_RESEND_AGE = timedelta(days=7)

Outcome = Digest.Outcome


def resend_due(now: datetime) -> int:
    """Plan again what has been unknown without events for UNKNOWN_RESEND_AFTER minutes; return the number.

    At most MAX_RESENDS times a digest, and not after its edition expired. Off unless the setting is set: a
    mail that was accepted and whose events are late is then sent twice.
    """
    if not settings.UNKNOWN_RESEND_AFTER:
        return 0
    delay = timedelta(minutes=settings.UNKNOWN_RESEND_AFTER)
    due: dict[Edition, list[int]] = {}
    for digest in unknown_without_events(delay).select_related("edition"):
        if now <= plan.freeze_time(digest.edition) + EXPIRES_AFTER:
            due.setdefault(digest.edition, []).append(digest.pk)
    return sum(
        resend_digests(edition, ids, now, Slot.Kind.RESEND)
        for edition, ids in due.items()
    )


def unknown_without_events(delay: timedelta) -> QuerySet[Digest]:
    """Digests that have been unknown for the delay since they were sent last, and have no event.

    Silence is evidence only if events of mails that were sent later have arrived:
    otherwise the webhook may be down or late. All times are the database's.
    """
    events = Event.objects.filter(digest=OuterRef("pk"))
    recent = Digest.objects.went_wrong(DatabaseNow() - MAX_RESEND_AGE)
    unknown = recent.filter(
        outcome=Outcome.UNKNOWN,
        batch__state=Batch.State.DONE,
        resends__lt=MAX_RESENDS,
        outcome_at__lte=DatabaseNow() - delay,
        outcome_at__lt=latest_mail_with_event(),
    )
    return unknown.filter(~Exists(events))


def latest_mail_with_event() -> datetime:
    """Return when the latest of the mails was sent whose events arrived recently."""
    events = Event.objects.exclude(digest=None).order_by("-pk")
    times = events.values_list("digest__outcome_at", flat=True)[:RECENT_EVENTS]
    return max(filter(None, times), default=datetime.min.replace(tzinfo=UTC))


def leave_out_settled(batch: Batch, digests: Sequence[Digest]) -> list[Digest]:
    """Leave out digests that are sent again and were settled since they were planned.

    An event that arrived meanwhile stops them, processed or not; only an operator may
    send them all the same.
    """
    resent = [digest.pk for digest in digests if digest.resent_at]
    if not resent:
        return list(digests)
    pending = Digest.objects.pending().filter(pk__in=resent)
    if batch.slot.kind == Slot.Kind.RESEND:
        pending.filter(Exists(Event.objects.filter(digest=OuterRef("pk")))).update(
            outcome=Outcome.UNKNOWN,
            provider_detail="An event arrived before it was sent again.",
            outcome_at=DatabaseNow(),
        )
    still_pending = set(pending.values_list("pk", flat=True))
    return [each for each in digests if not each.resent_at or each.pk in still_pending]


def resendable_digests() -> QuerySet[Digest]:
    """Unknown and failed digests whose batch no worker owns any more, of editions that were not stopped."""
    outcomes = (Outcome.UNKNOWN, Outcome.FAILED)
    return Digest.objects.filter(
        outcome__in=outcomes,
        batch__state=Batch.State.DONE,
        edition__stopped_at=None,
    )


def failed_digests(edition: Edition) -> QuerySet[Digest]:
    """Failed digests of an edition that can be sent again: not those of refused recipients."""
    failed = resendable_digests().filter(edition=edition, outcome=Outcome.FAILED)
    return failed.exclude(reason=Digest.Reason.RECIPIENT)


def resend_failed(
    edition: Edition, now: datetime, subscriber: Subscriber | None = None
) -> int:
    """Plan the failed digests of an edition again, or of one reader; return their number.

    They were certainly not accepted.
    """
    rows = failed_digests(edition)
    if subscriber:
        rows = rows.filter(subscriber=subscriber)
    ids = list(rows.values_list("pk", flat=True))
    return resend_digests(edition, ids, now, Slot.Kind.MANUAL)


def resend_digests(
    edition: Edition, ids: Sequence[int], now: datetime, kind: str
) -> int:
    """Move these digests of one edition into new batches if they are still unknown or failed; return their number."""
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
        reason=Digest.Reason.NONE,
        provider_detail="",
        refusals=0,
        outcome_at=None,
        resent_at=now,
        resends=F("resends") + 1,
    )


def mark_accepted(ids: Sequence[int], now: datetime) -> int:
    """Record that an operator found these unknown digests accepted; return their number."""
    unknown = Digest.objects.unknown().filter(pk__in=ids)
    return unknown.update(outcome=Outcome.ACCEPTED, outcome_at=now)
