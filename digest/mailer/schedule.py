"""When a reader's local hour occurs: pure arithmetic on time zones."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

# A 15-minute tick covers every UTC offset in use, Nepal and the Chatham Islands included.
QUARTER = timedelta(minutes=15)


def quarter_start(now: datetime) -> datetime:
    utc = now.astimezone(UTC)
    return utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0)


def next_quarter(now: datetime) -> datetime:
    """Return the first quarter hour at or after `now`, in UTC."""
    start = quarter_start(now)
    return start if start == now else start + QUARTER


def local_hours_at(at: datetime, zone: ZoneInfo) -> list[int]:
    """Return the local hours that begin at the quarter hour `at`: none or one, more after a skipped hour.

    An hour that daylight saving skips begins with the first quarter hour after the gap;
    one that it repeats begins the first time only.
    """
    local = at.astimezone(zone)
    if local.fold:
        return []
    previous = (at - QUARTER).astimezone(zone).replace(tzinfo=None)
    hour_start = local.replace(tzinfo=None, minute=0)
    hours: list[int] = []
    while hour_start > previous and len(hours) < 24:
        hours.insert(0, hour_start.hour)
        hour_start -= timedelta(hours=1)
    return hours


def first_due_at(frozen_at: datetime, zone: ZoneInfo, hour: int) -> datetime:
    """Return the first time at or after `frozen_at` at which this local hour begins, in UTC."""
    day = frozen_at.astimezone(zone).date() - timedelta(days=1)
    while True:
        due_at = resolve_wall_time(datetime.combine(day, time(hour)), zone)
        if due_at >= frozen_at:
            return due_at
        day += timedelta(days=1)


def resolve_wall_time(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when clocks in `zone` first show this time, or the next quarter hour that they do show."""
    while True:
        utc = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if utc.astimezone(zone).replace(tzinfo=None) == wall:
            return utc
        wall += QUARTER
