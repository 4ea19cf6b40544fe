"""When a reader's local hour comes: pure arithmetic on clocks."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

# Every zone of today is a multiple of this away from UTC, Nepal and the Chatham
# Islands included: whoever looks four times an hour misses nobody's full hour.
QUARTER = timedelta(minutes=15)


def quarter(now: datetime) -> datetime:
    """The quarter hour that `now` lies in, in UTC."""
    moment = now.astimezone(UTC)
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def next_quarter(now: datetime) -> datetime:
    """The first quarter hour at or after `now`, in UTC."""
    begun = quarter(now)
    return begun if begun == now else begun + QUARTER


def hours_met(at: datetime, zone: ZoneInfo) -> list[int]:
    """The local hours that strike at the quarter hour `at`: none or one; more where daylight saving skips some.

    An hour that the clocks skip strikes with the first quarter hour after the
    gap; one that they repeat strikes the first time only.
    """
    shown = at.astimezone(zone)
    if shown.fold:
        return []
    before = (at - QUARTER).astimezone(zone).replace(tzinfo=None)
    strikes = shown.replace(tzinfo=None, minute=0)
    struck: list[int] = []
    while strikes > before and len(struck) < 24:
        struck.insert(0, strikes.hour)
        strikes -= timedelta(hours=1)
    return struck


def due_at(frozen_at: datetime, zone: ZoneInfo, hour: int) -> datetime:
    """The first instant at or after `frozen_at` at which this local hour strikes, in UTC."""
    day = frozen_at.astimezone(zone).date() - timedelta(days=1)
    while True:
        strikes = first_existing(datetime.combine(day, time(hour)), zone)
        if strikes >= frozen_at:
            return strikes
        day += timedelta(days=1)


def first_existing(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the clocks of `zone` first show this, or the next quarter hour that they do show."""
    while True:
        instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return instant
        wall += QUARTER
