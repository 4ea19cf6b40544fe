"""Act on what was recorded: doubts are settled, bounces and complaints are heard, clicks are summed."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Subscriber, Suppression
from digest.feedback import clicks
from digest.models import Batch, Digest, Event

log = structlog.get_logger()

# Events read at once: a page's rows fit into memory easily, and its two updates
# stay within the number of parameters that SQLite allows.
PAGE = 500

# Whatever SendGrid says of a mail after it took it proves that it took it.
PROOFS = ("processed", "deferred", "delivered", "bounce", "open", "spamreport")
GRAVE = ("bounce", "dropped", "spamreport", "unsubscribe", "group_unsubscribe")

UNSETTLED = (
    Batch.State.PLANNED,
    Batch.State.CLAIMED,
    Batch.State.SENDING,
    Batch.State.UNKNOWN,
)

# A mailbox that is full or blocks us passes; one that turned back three of its last
# five digests is not read any more.
SOFT_OF_LAST, SOFT_LIMIT = 5, 3

# Why SendGrid dropped a mail, as its documentation words it.
DROPPED = {
    "bounced address": Suppression.Reason.BOUNCE,
    "invalid": Suppression.Reason.INVALID,
    "spam reporting address": Suppression.Reason.COMPLAINT,
}


def act(now: datetime) -> int:
    """Act on every event that waits; how many were acted on.

    Safe to run again, twice at once, and in any order of events. An event that fails
    is logged and waits on; the others go on.
    """
    acted = clicks.sum_up(now)
    for page in pages():
        settle_doubts(page, now)
        grave = [event for event in page if event.kind in GRAVE]
        light = [event.pk for event in page if event.kind not in GRAVE]
        acted += close(light, now) + sum(tried(event, now) for event in grave)
    return acted


def pages() -> Iterator[list[Event]]:
    """Waiting events, oldest first. Passes by those that failed instead of meeting them again."""
    last = 0
    waiting = Event.objects.filter(acted_at=None).exclude(source=clicks.SOURCE)
    joined = waiting.select_related("digest__subscriber").order_by("pk")
    while page := list(joined.filter(pk__gt=last)[:PAGE]):
        yield page
        last = page[-1].pk


def close(events: list[int], now: datetime) -> int:
    """Mark events as acted on; how many nobody else had."""
    return Event.objects.filter(pk__in=events, acted_at=None).update(acted_at=now)


def settle_doubts(page: list[Event], now: datetime) -> None:
    """Digests of which nobody knew whether the provider took them: these events know."""
    taken = [event.digest_id for event in page if event.kind in PROOFS]
    doubtful(taken).update(outcome=Digest.Outcome.ACCEPTED, outcome_at=now)
    dropped = [event.digest_id for event in page if event.kind == "dropped"]
    doubtful(dropped).update(
        outcome=Digest.Outcome.FAILED, reason=Digest.Reason.REFUSED, outcome_at=now
    )


def doubtful(digests: Iterable[int | None]) -> QuerySet[Digest]:
    """Those of these digests whose fate nobody knows, or nobody has recorded yet.

    An event may be quicker than the worker that made the call, or the worker died: an
    event is acted on once, so what it proves is kept at once.
    """
    own = Q(outcome=Digest.Outcome.UNKNOWN)
    shared = Q(outcome="", message_id="", batch__state__in=UNSETTLED)
    return Digest.objects.filter(own | shared, pk__in=[pk for pk in digests if pk])


def tried(event: Event, now: datetime) -> int:
    """Act on one event, all of it or nothing; 0 where it failed or another worker has it."""
    try:
        with transaction.atomic():
            if not close([event.pk], now):
                return 0
            hear(event, now)
    except Exception:
        log.exception("event failed", kind=event.kind, key=event.key)
        return 0
    return 1


def hear(event: Event, now: datetime) -> None:
    """Stop mailing whom this event says not to mail."""
    match event.kind:
        case "bounce" if event.payload.get("type") == "bounce":
            suppress(event, Suppression.Reason.BOUNCE)
        case "bounce" if soft_bounces(event) >= SOFT_LIMIT:  # blocked, once more
            suppress(event, Suppression.Reason.BOUNCE)
        case "spamreport":
            suppress(event, Suppression.Reason.COMPLAINT)
            let_go(event, now)
        case "unsubscribe" | "group_unsubscribe":
            let_go(event, now)
        case "dropped":
            hear_dropped(event, now)


def soft_bounces(event: Event) -> int:
    """How many of the last digests to this address were turned back: older ones no longer count."""
    if event.digest is None:
        return 0
    tried = Digest.objects.filter(subscriber=event.digest.subscriber_id)
    tried = tried.exclude(outcome__in=[Digest.Outcome.SKIPPED, Digest.Outcome.FAILED])
    last = tried.order_by("-edition__day").values_list("pk", flat=True)[:SOFT_OF_LAST]
    soft = Event.objects.filter(kind="bounce", digest__in=list(last))
    address = event.payload.get("address_hash")
    if address:  # what an earlier address did is not this one's
        soft = soft.filter(payload__address_hash=address)
    return soft.values("digest").distinct().count()


def hear_dropped(event: Event, now: datetime) -> None:
    """The provider's own lists know this address: so must ours."""
    why = event.payload.get("reason", "").lower()
    if reason := DROPPED.get(why):
        suppress(event, reason)
    if why in ("spam reporting address", "unsubscribed address"):
        let_go(event, now)


def suppress(event: Event, reason: str) -> None:
    """Forbid the address that the mail went to, even if its reader has moved since."""
    reader = event.digest.subscriber if event.digest else None
    hashed = event.payload.get("address_hash") or (reader and reader.address_hash)
    if hashed:
        Suppression.add_hash(hashed, reason)


def let_go(event: Event, now: datetime) -> None:
    """The reader left; unless they came back after saying so: events arrive late."""
    reader = reader_of(event)
    if reader is None or reader.state == Subscriber.State.LEFT:
        return
    if reader.confirmed_at is None or event.at >= reader.confirmed_at:
        reader.unsubscribe(now)


def reader_of(event: Event) -> Subscriber | None:
    """Whose mail this was: by its digest, else by the address (a confirmation has no digest)."""
    if event.digest:
        return event.digest.subscriber
    hashed = event.payload.get("address_hash")
    return Subscriber.objects.filter(address_hash=hashed).first() if hashed else None
