"""Who is mailed when: the audience of a slot, put into batches."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from accounts.models import Subscriber
from digest.mailer import retention, schedule
from digest.models import Batch, Digest, Edition, Slot
from digest.models.editions import EXPIRES_AFTER

# A weekly reader's day takes the latest edition of so many days: Sunday's takes
# Friday's, and that of a Monday after a long weekend still finds one.
WEEKLY_REACH = timedelta(days=4)

Audience = QuerySet[Subscriber]


def froze(edition: Edition) -> datetime:
    """When this edition froze; nothing is planned of an open one."""
    if edition.frozen_at is None:
        raise ValueError(f"the edition of {edition.day} is still open: freeze it first")
    return edition.frozen_at


def deadline(edition: Edition, at: datetime) -> datetime:
    """Until when the readers of this quarter hour may be mailed this edition.

    The edition's own expiry; for those whom only weekly readers reach, as long
    again from their hour.
    """
    expires = froze(edition) + EXPIRES_AFTER
    return expires if at <= expires else at + EXPIRES_AFTER


def plan_due(now: datetime) -> list[Slot]:
    """Plan every quarter hour up to `now` that no tick has planned yet; the slots that have readers.

    Each quarter hour of each frozen edition is planned once, missed ticks
    included, and an interrupted one is finished.
    """
    reach = now - WEEKLY_REACH - EXPIRES_AFTER
    recent = list(
        Edition.objects.frozen().filter(frozen_at__gt=reach, frozen_at__lte=now)
    )
    due = [(e, at) for e in recent for at in open_quarters(e, recent, now)]
    slots = [plan_quarter(edition, at, recent, now) for edition, at in due]
    return [slot for slot in slots if slot.cursor]


def open_quarters(
    edition: Edition, recent: list[Edition], now: datetime
) -> list[datetime]:
    """The quarter hours since this edition froze that may still be planned, and are not."""
    planned = edition.slots.filter(kind=Slot.Kind.HOUR, planned_at__isnull=False)
    done = set(planned.values_list("at", flat=True))
    expires = froze(edition) + EXPIRES_AFTER
    return [
        at
        for at in quarters(edition, now)
        if at not in done
        and now <= deadline(edition, at)
        and (at <= expires or edition == latest(recent, at))
    ]


def quarters(edition: Edition, now: datetime) -> Iterator[datetime]:
    """Every quarter hour at which somebody could be due for this edition, up to `now`."""
    at = schedule.next_quarter(froze(edition))
    while at <= min(now, froze(edition) + WEEKLY_REACH):
        yield at
        at += schedule.QUARTER


def plan_quarter(
    edition: Edition, at: datetime, recent: list[Edition], now: datetime
) -> Slot:
    """Plan one quarter hour of one edition."""
    slot, _ = Slot.objects.get_or_create(edition=edition, at=at, kind=Slot.Kind.HOUR)
    due = due_readers(edition, at, weekly=edition == latest(recent, at))
    return fill(slot, Subscriber.objects.mailable(now).filter(due), now)


def latest(editions: list[Edition], at: datetime) -> Edition | None:
    """The newest of these editions that had frozen by then, within a weekly reader's reach."""
    reached = [
        edition for edition in editions if at - WEEKLY_REACH <= froze(edition) <= at
    ]
    return max(reached, key=lambda edition: edition.day, default=None)


def due_readers(edition: Edition, at: datetime, weekly: bool) -> Q:
    """The readers whose hour strikes at `at`, and whose days allow the local date."""
    struck: dict[tuple[int, int, bool], list[str]] = {}
    for zone in zones():
        clock = ZoneInfo(zone)
        for hour in schedule.hours_met(at, clock):
            first = schedule.due_at(froze(edition), clock, hour) == at
            weekday = at.astimezone(clock).weekday()
            struck.setdefault((hour, weekday, first), []).append(zone)
    due = Q(pk__in=[])
    for (hour, weekday, first), names in struck.items():
        due |= Q(hour=hour, zone__in=names) & allowing(weekday, first, weekly)
    return due


def zones() -> list[str]:
    """The time zones in which somebody is mailed."""
    active = Subscriber.objects.filter(state=Subscriber.State.ACTIVE)
    return list(active.order_by("zone").values_list("zone", flat=True).distinct())


def allowing(weekday: int, first: bool, weekly: bool) -> Q:
    """Readers who want mail on such a day.

    `first`: the hour strikes for the first time since the edition froze;
    `weekly`: the edition is the one that weekly readers get now.
    """
    Frequency = Subscriber.Frequency
    days = [Frequency.DAILY, *([Frequency.WEEKDAYS] if weekday < 5 else [])]
    wanted = Q(frequency__in=days if first else [])
    if weekly:
        wanted |= Q(frequency=Frequency.WEEKLY, weekday=weekday)
    return wanted


def fill(slot: Slot, audience: Audience, now: datetime) -> Slot:
    """Put an audience into batches, from the slot's cursor on, until it is complete."""
    while not slot.planned_at:
        slot = fill_batch(slot.pk, audience, now)
    return slot


def fill_batch(slot_id: int, audience: Audience, now: datetime) -> Slot:
    """Put the next readers into a batch; whoever else plans this slot waits, then goes on from there."""
    with transaction.atomic():
        slot = (
            Slot.objects.select_for_update(of=("self",))
            .select_related("edition")
            .get(pk=slot_id)
        )
        if slot.planned_at:
            return slot
        ahead = audience.filter(pk__gt=slot.cursor).order_by("pk")
        readers = list(ahead.values_list("pk", flat=True)[: Batch.SIZE])
        if readers:
            Batch.objects.create(slot=slot, readers=readers)
            slot.cursor = readers[-1]
        if len(readers) < Batch.SIZE:
            slot.planned_at = now
        slot.save(update_fields=["cursor", "planned_at"])
        return slot


def everyone(edition: Edition, now: datetime) -> Audience:
    """Readers who may be mailed and have no digest of this edition; nobody where it is forgotten who had it."""
    if retention.is_forgotten(edition, now):
        return Subscriber.objects.none()
    theirs = Digest.objects.filter(edition=edition, subscriber=OuterRef("pk"))
    return Subscriber.objects.mailable(now).filter(~Exists(theirs))


def plan_everyone(edition: Edition, now: datetime) -> Slot | None:
    """Plan this edition by hand for everyone without it, whatever their hour; None where there is nobody."""
    audience = everyone(edition, now)
    slot = begin_by_hand(edition, audience, now)
    return fill(slot, audience, now) if slot else None


def begin_by_hand(edition: Edition, audience: Audience, now: datetime) -> Slot | None:
    """The sending by hand that was interrupted or that another process is planning, else a new one."""
    with transaction.atomic():
        Edition.objects.select_for_update().get(pk=edition.pk)
        begun = edition.slots.filter(kind=Slot.Kind.MANUAL, planned_at=None).first()
        if begun or not audience.exists():
            return begun
        return new_slot(edition, Slot.Kind.MANUAL, now)


def plan_one(
    edition: Edition, subscriber: Subscriber, now: datetime, kind: str
) -> Slot | None:
    """Plan this edition for one reader, now; None where they have it or may not be mailed."""
    if not everyone(edition, now).filter(pk=subscriber.pk).exists():
        return None
    with transaction.atomic():
        slot = new_slot(edition, kind, now)
        Batch.objects.create(slot=slot, readers=[subscriber.pk])
        slot.cursor, slot.planned_at = subscriber.pk, now
        slot.save(update_fields=["cursor", "planned_at"])
    return slot


def new_slot(edition: Edition, kind: str, now: datetime) -> Slot:
    """A slot at this moment, or at the next one that no other slot of its kind has."""
    Edition.objects.select_for_update().get(pk=edition.pk)  # one at a time
    taken = edition.slots.filter(kind=kind, at__gte=now).aggregate(Max("at"))["at__max"]
    at = taken + timedelta(microseconds=1) if taken else now
    return Slot.objects.create(edition=edition, at=at, kind=kind)
