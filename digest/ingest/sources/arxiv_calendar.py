"""arXiv's announcement calendar: which days have papers, and when a feed is overdue."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.conf import settings

from digest.text.arxiv_ids import month_of

# Announcements are made at 20:00 US Eastern, Sunday to Thursday, and are filed under
# the next day, when the feeds are rebuilt at midnight Eastern (arXiv's help pages on
# availability and on RSS).
EASTERN = ZoneInfo("America/New_York")
# Eastern; a later submission waits for the next evening.
SUBMISSION_DEADLINE = time(14, 0)
# Feeds have been late by hours. Ten hours after midnight Eastern it is afternoon in
# Europe, and no edition of that morning was possible.
FEED_GRACE = timedelta(hours=10)
# After this a first version was in moderation for long, or its record changed again.
MAX_MODERATION = timedelta(days=10)

# Evenings without an announcement, as arXiv published them; ARXIV_HOLIDAYS adds to them.
SHIPPED_HOLIDAYS = frozenset(
    date.fromisoformat(day)
    for day in (
        *("2025-01-01", "2025-01-20", "2025-06-19", "2025-07-06", "2025-09-01"),
        *("2025-11-27", "2026-01-01", "2026-01-19", "2026-06-19", "2026-07-03"),
        *("2026-09-07", "2026-11-26", "2026-12-25", "2026-12-29", "2026-12-31"),
    )
)
# Years with a complete shipped list; that of 2025 lacks its December.
SHIPPED_YEARS = range(2026, 2027)
# arXiv publishes the next year's list in the last weeks of a year.
HOLIDAY_LIST_NOTICE = timedelta(days=31)
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6


class Expected(StrEnum):
    """What a day should have."""

    PAPERS = "papers"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    #: A day next to a holiday, or a likely holiday of a year without a published list.
    UNSURE = "unsure"


def holidays() -> frozenset[date]:
    return SHIPPED_HOLIDAYS | settings.ARXIV_HOLIDAYS


def is_listed_year(year: int) -> bool:
    return year in SHIPPED_YEARS or any(
        day.year == year for day in settings.ARXIV_HOLIDAYS
    )


def expected(day: date) -> Expected:
    """Return what the day `day` of US Eastern time should have.

    Papers of Monday were announced on Sunday evening, so a holiday empties the day
    after it. A holiday on a Friday, which has no announcement anyway, may defer
    Sunday's; on the holiday itself arXiv's staff is away, so nothing is sure either.
    """
    if day.weekday() >= _SATURDAY:
        return Expected.WEEKEND
    evening = day - timedelta(days=1)
    if evening in holidays():
        return Expected.HOLIDAY
    nearby = {day, evening}
    if evening.weekday() == _SUNDAY:
        nearby.add(day - timedelta(days=3))  # Friday
    if nearby & holidays() or any(map(_is_likely_holiday, nearby)):
        return Expected.UNSURE
    return Expected.PAPERS


def _is_likely_holiday(day: date) -> bool:
    """Decide whether a day of a year without a published list was one in other years."""
    if is_listed_year(day.year):
        return False
    nth_monday = (day.day - 1) // 7 if day.weekday() == 0 else -1
    return (
        (day.month, day.day) in {(1, 1), (6, 19), (7, 3), (7, 4), (7, 6)}
        or (day.month == 12 and day.day >= 24)
        or (day.month == 1 and nth_monday == 2)
        or (day.month == 9 and nth_monday == 0)
        or (day.month == 11 and day.weekday() == 3 and (day.day - 1) // 7 == 3)
    )


def holidays_known_until() -> date:
    year = SHIPPED_YEARS.stop - 1
    while is_listed_year(year + 1):
        year += 1
    return date(year, 12, 31)


def today(now: datetime) -> date:
    """Return the date in US Eastern time."""
    return now.astimezone(EASTERN).date()


def feed_rebuilt_at(day: date) -> datetime:
    """Return when the feeds of `day` are rebuilt, in UTC: 04:00 in summer, 05:00 in winter."""
    return datetime.combine(day, time(), EASTERN).astimezone(UTC)


def is_overdue(day: date, now: datetime) -> bool:
    """Decide whether papers of `day` should have arrived by now, beyond doubt."""
    grace_end = feed_rebuilt_at(day) + FEED_GRACE
    return expected(day) == Expected.PAPERS and now > grace_end


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield every day from `first` to `last`, both included."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def announcement_day(submitted: datetime, changed: date | None = None) -> date:
    """Return the day under which a paper submitted at this moment was announced.

    The schedule gives the earliest day. A record whose only change (`changed`, the
    OAI datestamp) is a little later was in moderation until then; one that changed much
    later changed for another reason.
    """
    local = submitted.astimezone(EASTERN)
    if (local.weekday(), local.time()) >= (_FRIDAY, SUBMISSION_DEADLINE):
        day = local.date() + timedelta(days=8 - local.weekday())  # Tuesday
    else:
        is_late = local.time() >= SUBMISSION_DEADLINE
        day = local.date() + timedelta(days=2 if is_late else 1)
    day = _next_announcement(day)
    if changed and day < changed <= day + MAX_MODERATION:
        return _next_announcement(changed)
    return day


def plausible_day(identifier: str, day: date) -> date:
    """Return `day`, or the first announcement in the month of the identifier.

    arXiv's numbers carry the month of their announcement, so an earlier day is wrong.
    """
    month = month_of(identifier)
    return day if day >= month else _next_announcement(month)


def _next_announcement(day: date) -> date:
    while expected(day) in {Expected.WEEKEND, Expected.HOLIDAY}:
        day += timedelta(days=1)
    return day
