"""Planning: the readers of a slot, divided into batches."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from accounts.models import Subscriber
from digest.mailer import retention, schedule
from digest.models import Batch, Digest, Edition, Slot
from digest.models.editions import EXPIRES_AFTER

log = structlog.get_logger(__name__)

# A weekly reader's day takes the newest edition of these days: Sunday's takes Friday's,
# and that of a Monday after a long weekend still finds one.
WEEKLY_WINDOW = timedelta(days=4)
# For readers whose hour is late after the freeze, weekly ones among them.
MIN_DELIVERY_TIME = timedelta(hours=24)
# Slots that no tick planned are planned within this time, old ones only to record that
# their readers' edition expired.
MAX_OUTAGE = timedelta(days=14)
# The task that sends a welcome digest gets so much time before the tick plans it again.
WELCOME_GRACE = timedelta(minutes=2)

Audience = QuerySet[Subscriber]


def freeze_time(edition: Edition) -> datetime:
    """Return when this edition froze; raise ValueError if it is open."""
    if edition.frozen_at is None:
        raise ValueError(f"the edition of {edition.day} is still open: freeze it first")
    return edition.frozen_at


def delivery_deadline(edition: Edition, at: datetime) -> datetime:
    """Return until when the readers of the slot at `at` may be mailed this edition.

    That is the edition's expiry, but every slot has MIN_DELIVERY_TIME from its own time,
    so that an outage overnight loses no reader.
    """
    return max(freeze_time(edition) + EXPIRES_AFTER, at + MIN_DELIVERY_TIME)


def plan_due(now: datetime) -> list[Slot]:
    """Plan every quarter hour up to `now` that is not planned yet; return the slots that have readers.

    Quarter hours of missed ticks are included, and an interrupted plan is finished. Those
    past their deadline are planned too: every due reader gets an outcome, here that the
    edition expired.
    """
    oldest = now - WEEKLY_WINDOW - MAX_OUTAGE
    editions = list(
        Edition.objects.frozen().filter(frozen_at__gt=oldest, frozen_at__lte=now)
    )
    due = [(e, at) for e in editions for at in unplanned_quarters(e, editions, now)]
    slots = [plan_quarter(edition, at, editions, now) for edition, at in due]
    return [slot for slot in slots if slot.cursor]


def unplanned_quarters(
    edition: Edition, editions: list[Edition], now: datetime
) -> list[datetime]:
    planned = edition.slots.filter(kind=Slot.Kind.HOUR, planned_at__isnull=False)
    planned_times = set(planned.values_list("at", flat=True))
    expires_at = freeze_time(edition) + EXPIRES_AFTER
    return [
        at
        for at in quarter_hours(edition, now)
        if at not in planned_times
        and (at <= expires_at or edition == newest_edition(editions, at))
    ]


def quarter_hours(edition: Edition, now: datetime) -> Iterator[datetime]:
    """Yield the quarter hours up to `now` at which a reader can be due for this edition."""
    at = schedule.next_quarter(freeze_time(edition))
    while at <= min(now, freeze_time(edition) + WEEKLY_WINDOW):
        yield at
        at += schedule.QUARTER


def plan_quarter(
    edition: Edition, at: datetime, editions: list[Edition], now: datetime
) -> Slot:
    with transaction.atomic():
        lock_frozen(edition)
        slot, _ = Slot.objects.get_or_create(
            edition=edition, at=at, kind=Slot.Kind.HOUR
        )
    due = due_readers(edition, at, weekly=edition == newest_edition(editions, at))
    audience = Subscriber.objects.mailable(now).filter(due)
    if now > delivery_deadline(edition, at):  # newer readers did not miss it
        audience = audience.filter(confirmed_at__lte=at)
    return fill_slot(slot, audience, now)


def newest_edition(editions: list[Edition], at: datetime) -> Edition | None:
    in_window = [
        edition
        for edition in editions
        if at - WEEKLY_WINDOW <= freeze_time(edition) <= at
    ]
    return max(in_window, key=lambda edition: edition.day, default=None)


def due_readers(edition: Edition, at: datetime, weekly: bool) -> Q:
    """Match readers whose local hour begins at `at`, and whose frequency allows the local date."""
    zones_by_hour: dict[tuple[int, int, bool], list[str]] = {}
    for zone in reader_zones():
        for hour in schedule.local_hours_at(at, zone):
            is_first = schedule.first_due_at(freeze_time(edition), zone, hour) == at
            weekday = at.astimezone(zone).weekday()
            zones_by_hour.setdefault((hour, weekday, is_first), []).append(zone.key)
    due = Q(pk__in=[])
    for (hour, weekday, is_first), names in zones_by_hour.items():
        due |= Q(hour=hour, zone__in=names) & match_frequency(weekday, is_first, weekly)
    return due


def reader_zones() -> list[ZoneInfo]:
    """Return the time zones of active readers; log unknown ones, whose readers are not mailed."""
    active = Subscriber.objects.filter(state=Subscriber.State.ACTIVE)
    zones = []
    for name in active.order_by("zone").values_list("zone", flat=True).distinct():
        try:
            zones.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            number = active.filter(zone=name).count()
            log.error("readers have an unknown time zone", zone=name, readers=number)
    return zones


def plan_missed(now: datetime) -> list[Slot]:
    """Plan readers whose hour has passed without a digest since the edition froze.

    That is so after a reader moved to an hour that has passed already, or added a day.
    Editions whose batches are not finished are left to a later tick: their readers may
    have no digest yet.
    """
    slots = []
    for edition in Edition.objects.frozen().filter(
        frozen_at__gt=now - EXPIRES_AFTER, frozen_at__lte=now
    ):
        if Batch.objects.filter(slot__edition=edition).unfinished().exists():
            continue
        missed = unserved_readers(edition, now).filter(missed_readers(edition, now))
        if missed.exists():
            with transaction.atomic():
                slot = create_slot(edition, Slot.Kind.MISSED, now)
            slots.append(fill_slot(slot, missed, now))
    return slots


def missed_readers(edition: Edition, now: datetime) -> Q:
    """Match readers who were due for this edition, by their present schedule, before the last tick."""
    missed = Q(pk__in=[])
    this_week = Digest.objects.sent().filter(
        subscriber=OuterRef("pk"), created_at__gt=now - timedelta(days=6)
    )
    for zone in reader_zones():
        for hour in range(24):
            due_at = schedule.first_due_at(freeze_time(edition), zone, hour)
            if due_at <= now - schedule.QUARTER:
                weekday = due_at.astimezone(zone).weekday()
                readers = Q(hour=hour, zone=zone.key, confirmed_at__lte=due_at)
                awake = Q(paused_until=None) | Q(paused_until__lte=due_at)
                daily = match_frequency(weekday, is_first=True, weekly=False)
                weekly = Q(frequency=Subscriber.Frequency.WEEKLY, weekday=weekday)
                missed |= readers & awake & (daily | (weekly & Q(~Exists(this_week))))
    return missed


def match_frequency(weekday: int, is_first: bool, weekly: bool) -> Q:
    """Match readers whose frequency allows mail on this weekday.

    `is_first`: it is the first occurrence of their hour since the edition froze;
    `weekly`: the edition is the one that weekly readers get now.
    """
    Frequency = Subscriber.Frequency
    daily = [Frequency.DAILY, *([Frequency.WEEKDAYS] if weekday < 5 else [])]
    allowed = Q(frequency__in=daily if is_first else [])
    if weekly:
        allowed |= Q(frequency=Frequency.WEEKLY, weekday=weekday)
    return allowed


def fill_slot(slot: Slot, audience: Audience, now: datetime) -> Slot:
    """Divide an audience into batches, from the slot's cursor on, until it is complete."""
    while not slot.planned_at:
        slot = fill_batch(slot.pk, audience, now)
    return slot


def fill_batch(slot_id: int, audience: Audience, now: datetime) -> Slot:
    """Create the next batch; another process that plans this slot waits, then continues after it."""
    with transaction.atomic():
        slot = (
            Slot.objects.select_for_update(of=("self",))
            .select_related("edition")
            .get(pk=slot_id)
        )
        if slot.planned_at:
            return slot
        remaining = audience.filter(pk__gt=slot.cursor).order_by("pk")
        readers = list(remaining.values_list("pk", flat=True)[: Batch.SIZE])
        if readers:
            Batch.objects.create(slot=slot, readers=readers)
            slot.cursor = readers[-1]
        if len(readers) < Batch.SIZE:
            slot.planned_at = now
        slot.save(update_fields=["cursor", "planned_at"])
        return slot


def unserved_readers(edition: Edition, now: datetime) -> Audience:
    """Mailable readers without a digest of this edition; none if it is no longer known who had it."""
    if retention.is_past_retention(edition, now):
        return Subscriber.objects.none()
    digests = Digest.objects.filter(edition=edition, subscriber=OuterRef("pk"))
    return Subscriber.objects.mailable(now).filter(~Exists(digests))


def plan_all(edition: Edition, now: datetime) -> Slot | None:
    """Plan this edition manually for all readers without it; None if there are none."""
    audience = unserved_readers(edition, now)
    slot = open_manual_slot(edition, audience, now)
    return fill_slot(slot, audience, now) if slot else None


def open_manual_slot(
    edition: Edition, audience: Audience, now: datetime
) -> Slot | None:
    """Return the manual slot whose planning is in progress, else a new one."""
    with transaction.atomic():
        Edition.objects.select_for_update().get(pk=edition.pk)
        unfinished = edition.slots.filter(kind=Slot.Kind.MANUAL, planned_at=None)
        slot = unfinished.first()
        if slot or not audience.exists():
            return slot
        return create_slot(edition, Slot.Kind.MANUAL, now)


def plan_reader(
    edition: Edition, subscriber: Subscriber, now: datetime, kind: str
) -> Slot | None:
    """Plan this edition for one reader now; None if they have it or may not be mailed."""
    if not unserved_readers(edition, now).filter(pk=subscriber.pk).exists():
        return None
    with transaction.atomic():
        slot = create_slot(edition, kind, now)
        Batch.objects.create(slot=slot, readers=[subscriber.pk])
        slot.cursor, slot.planned_at = subscriber.pk, now
        slot.save(update_fields=["cursor", "planned_at"])
    return slot


def lock_frozen(edition: Edition) -> None:
    """Lock an edition for its next slot; raise ValueError if an editor reopened it meanwhile."""
    locked = Edition.objects.select_for_update().get(pk=edition.pk)
    freeze_time(locked)


def create_slot(edition: Edition, kind: str, now: datetime) -> Slot:
    """Create a slot at `now`, or just after the last slot of its kind."""
    lock_frozen(edition)  # serialises creation
    last = edition.slots.filter(kind=kind, at__gte=now).aggregate(at=Max("at"))["at"]
    at = last + timedelta(microseconds=1) if last else now
    return Slot.objects.create(edition=edition, at=at, kind=kind)


def plan_welcomes(now: datetime) -> Slot | None:
    """Plan the latest frozen edition for readers without any digest.

    They confirmed before any edition had frozen, or the task of their welcome was lost.
    While earlier welcomes are unfinished, nothing is planned, so that no reader is
    planned twice.
    """
    edition = Edition.objects.sendable().order_by("day").last()
    if edition is None or has_unfinished_welcomes(edition):
        return None
    audience = Subscriber.objects.mailable(now).filter(
        digests=None, confirmed_at__lte=now - WELCOME_GRACE
    )
    if not audience.exists():
        return None
    with transaction.atomic():
        slot = create_slot(edition, Slot.Kind.WELCOME, now)
    return fill_slot(slot, audience, now)


def has_unfinished_welcomes(edition: Edition) -> bool:
    welcomes = Batch.objects.filter(slot__edition=edition, slot__kind=Slot.Kind.WELCOME)
    return welcomes.unfinished().exists()
