"""Who is about to get an edition: readers by hour and time zone, and why others do not get it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Q

from accounts.models import Subscriber
from digest.mailer import plan, schedule
from digest.models import Digest, Edition, Slot

Frequency = Subscriber.Frequency


class Schedule(NamedTuple):
    """A schedule, why its readers are not mailed at present ("" if they are), and their number."""

    zone: str
    hour: int
    frequency: str
    weekday: int
    obstacle: str
    readers: int


@dataclass(frozen=True)
class HourForecast:
    """Readers whose hour begins at a time, by time zone, the largest zone first."""

    at: datetime
    zones: list[tuple[str, int]]

    @property
    def readers(self) -> int:
        return sum(number for _, number in self.zones)


@dataclass(frozen=True)
class Forecast:
    """The readers of an edition before they are planned, and the other active readers by reason."""

    hours: list[HourForecast]
    other_day: int = 0
    paused: int = 0
    suppressed: int = 0

    @property
    def recipients(self) -> int:
        return sum(hour.readers for hour in self.hours)


def forecast_recipients(
    edition: Edition, frozen_at: datetime, now: datetime
) -> Forecast:
    """Count who gets an edition in the day after it froze, by the present settings of readers.

    Weekly readers count on their day. Readers who got it apart from their hour, after a
    sign-up or by hand, are left out.
    """
    zones = {zone.key: zone for zone in plan.reader_zones()}
    by_time: dict[datetime, Counter[str]] = {}
    others: Counter[str] = Counter()
    for row in count_schedules(edition, now):
        if row.zone not in zones:
            continue
        due_at = schedule.first_due_at(frozen_at, zones[row.zone], row.hour)
        if row.obstacle:
            others[row.obstacle] += row.readers
        elif not is_wanted_on(row, due_at.astimezone(zones[row.zone]).weekday()):
            others["other_day"] += row.readers
        else:
            by_time.setdefault(due_at, Counter())[row.zone] += row.readers
    hours = [HourForecast(at, by_time[at].most_common()) for at in sorted(by_time)]
    return Forecast(hours, **others)


def count_schedules(edition: Edition, now: datetime) -> Iterator[Schedule]:
    """Count active readers by all that decides when they are due."""
    at_their_hour = Q(batch__slot__kind=Slot.Kind.HOUR)
    served = Digest.objects.filter(~at_their_hour, batch__slot__edition=edition)
    active = Subscriber.objects.filter(state=Subscriber.State.ACTIVE)
    readers = active.exclude(pk__in=served.values("subscriber")).with_consent(now)
    columns = ("zone", "hour", "frequency", "weekday", "is_suppressed", "is_mailable")
    rows = readers.values_list(*columns).annotate(Count("pk")).order_by()
    for zone, hour, frequency, weekday, is_suppressed, is_mailable, number in rows:
        obstacle = "suppressed" if is_suppressed else "" if is_mailable else "paused"
        yield Schedule(zone, hour, frequency, weekday, obstacle, number)


def is_wanted_on(row: Schedule, weekday: int) -> bool:
    match row.frequency:
        case Frequency.WEEKLY:
            return row.weekday == weekday
        case Frequency.WEEKDAYS:
            return weekday < Subscriber.Weekday.SATURDAY
    return True
