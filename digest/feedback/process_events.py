"""Process stored events: settle unknown outcomes, apply bounces and complaints, sum clicks."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Subscriber, Suppression
from digest.feedback import clicks
from digest.models import Digest, Event

log = structlog.get_logger()

# Events processed together: their updates stay below SQLite's limit on parameters.
PAGE_SIZE = 500

# Any event that follows acceptance proves it.
PROOFS_OF_ACCEPTANCE = (
    *("processed", "deferred", "delivered", "bounce", "open", "spamreport"),
)
KINDS_WITH_EFFECTS = (
    *("bounce", "dropped", "spamreport", "unsubscribe", "group_unsubscribe"),
)

# A full mailbox or a block is temporary; a mailbox that refused three of its last five
# digests is suppressed.
SOFT_BOUNCE_WINDOW, MAX_SOFT_BOUNCES = 5, 3

# Why SendGrid dropped a mail, in the words of its documentation.
SUPPRESSION_BY_DROP_REASON = {
    "bounced address": Suppression.Reason.BOUNCE,
    "invalid": Suppression.Reason.INVALID,
    "spam reporting address": Suppression.Reason.COMPLAINT,
}
UNSUBSCRIBED_DROP_REASONS = ("spam reporting address", "unsubscribed address")


def process_pending(now: datetime) -> int:
    """Process every waiting event and return their number.

    Safe to run again, concurrently, and with events in any order. An event that fails is
    logged and keeps waiting; the others are processed.
    """
    processed = clicks.sum_finished_days(now)
    for page in pending_pages():
        settle_outcomes(page, now)
        with_effects = [event for event in page if event.kind in KINDS_WITH_EFFECTS]
        others = [event.pk for event in page if event.kind not in KINDS_WITH_EFFECTS]
        processed += mark_processed(others, now)
        processed += sum(process_one(event, now) for event in with_effects)
    return processed


def pending_pages() -> Iterator[list[Event]]:
    """Yield waiting events in pages, oldest first, each event once even if it fails."""
    last_id = 0
    waiting = Event.objects.filter(processed_at=None).exclude(source=clicks.SOURCE)
    rows = waiting.select_related("digest__subscriber").order_by("pk")
    while page := list(rows.filter(pk__gt=last_id)[:PAGE_SIZE]):
        yield page
        last_id = page[-1].pk


def mark_processed(events: list[int], now: datetime) -> int:
    """Mark events as processed; return how many no other worker had marked."""
    waiting = Event.objects.filter(pk__in=events, processed_at=None)
    return waiting.update(processed_at=now)


def settle_outcomes(page: list[Event], now: datetime) -> None:
    accepted = [e.digest_id for e in page if e.kind in PROOFS_OF_ACCEPTANCE]
    unsettled_digests(accepted).update(outcome=Digest.Outcome.ACCEPTED, outcome_at=now)
    dropped = [event.digest_id for event in page if event.kind == "dropped"]
    unsettled_digests(dropped).update(
        outcome=Digest.Outcome.FAILED, reason=Digest.Reason.REFUSED, outcome_at=now
    )


def unsettled_digests(ids: Iterable[int | None]) -> QuerySet[Digest]:
    """Those of these digests whose outcome is unknown or pending.

    Pending ones included: an event may arrive before the worker has recorded the
    response, or the worker died, and an event is processed only once.
    """
    unsettled = (Digest.Outcome.PENDING, Digest.Outcome.UNKNOWN)
    return Digest.objects.filter(outcome__in=unsettled, pk__in=[pk for pk in ids if pk])


def process_one(event: Event, now: datetime) -> int:
    """Process one event atomically; 0 if it failed or another worker has it."""
    try:
        with transaction.atomic():
            if not mark_processed([event.pk], now):
                return 0
            apply_event(event, now)
    except Exception:
        log.exception("event failed", kind=event.kind, key=event.key)
        return 0
    return 1


def apply_event(event: Event, now: datetime) -> None:
    """Apply the suppressions and unsubscribes that this event implies."""
    match event.kind:
        case "bounce" if event.payload.get("type") == "bounce":
            suppress_address(event, Suppression.Reason.BOUNCE)
        case "bounce" if count_soft_bounces(event) >= MAX_SOFT_BOUNCES:
            suppress_address(event, Suppression.Reason.BOUNCE)
        case "spamreport":
            suppress_address(event, Suppression.Reason.COMPLAINT)
            unsubscribe_reader(event, now)
        case "unsubscribe" | "group_unsubscribe":
            unsubscribe_reader(event, now)
        case "dropped":
            apply_drop(event, now)


def count_soft_bounces(event: Event) -> int:
    """Count the soft bounces among the last digests to this address."""
    if event.digest is None:
        return 0
    digests = Digest.objects.filter(subscriber=event.digest.subscriber_id)
    digests = digests.exclude(
        outcome__in=[Digest.Outcome.SKIPPED, Digest.Outcome.FAILED]
    )
    last = digests.order_by("-edition__day").values_list("pk", flat=True)
    last_ids = list(last[:SOFT_BOUNCE_WINDOW])
    bounces = Event.objects.filter(kind="bounce", digest__in=last_ids)
    address = event.payload.get("address_hash")
    if address:  # bounces of the reader's previous address do not count
        bounces = bounces.filter(payload__address_hash=address)
    return bounces.values("digest").distinct().count()


def apply_drop(event: Event, now: datetime) -> None:
    """Copy the entry of SendGrid's own suppression lists that made it drop the mail."""
    reason = event.payload.get("reason", "").lower()
    if suppression := SUPPRESSION_BY_DROP_REASON.get(reason):
        suppress_address(event, suppression)
    if reason in UNSUBSCRIBED_DROP_REASONS:
        unsubscribe_reader(event, now)


def suppress_address(event: Event, reason: str) -> None:
    """Suppress the address that the mail was sent to, even if its reader has another now."""
    reader = event.digest.subscriber if event.digest else None
    hashed = event.payload.get("address_hash") or (reader and reader.address_hash)
    if hashed:
        Suppression.add_hash(hashed, reason)


def unsubscribe_reader(event: Event, now: datetime) -> None:
    """Unsubscribe the reader, unless they confirmed again after the event: events arrive late."""
    reader = reader_of_event(event)
    if reader is None or reader.state == Subscriber.State.LEFT:
        return
    if reader.confirmed_at is None or event.at >= reader.confirmed_at:
        reader.unsubscribe(now)


def reader_of_event(event: Event) -> Subscriber | None:
    """Find the reader by the event's digest, else by address: account mails have no digest."""
    if event.digest:
        return event.digest.subscriber
    hashed = event.payload.get("address_hash")
    return Subscriber.objects.filter(address_hash=hashed).first() if hashed else None
