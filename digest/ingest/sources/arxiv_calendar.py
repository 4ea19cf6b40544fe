"""arXiv's announcement calendar: which days bring papers, and from when on a silence is odd."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# An announcement is made at 20:00 US Eastern, Sunday to Thursday, and is filed under
# the next day, on which the feeds are rebuilt at midnight Eastern (arXiv's help
# pages on availability and on RSS).
EASTERN = ZoneInfo("America/New_York")
DEADLINE = time(14, 0)  # Eastern: what is submitted later waits for the next evening
# Feeds have been late by hours. Ten after midnight Eastern it is afternoon in
# Europe, and no edition of that morning was possible.
GRACE = timedelta(hours=10)
# After this a first version was moderated for long, or its record touched again.
MODERATION = timedelta(days=10)

# Evenings without an announcement, as arXiv published them.
HOLIDAYS = frozenset(
    date.fromisoformat(day)
    for day in (
        *("2025-01-01", "2025-01-20", "2025-06-19", "2025-07-06", "2025-09-01"),
        *("2025-11-27", "2026-01-01", "2026-01-19", "2026-06-19", "2026-07-03"),
        *("2026-09-07", "2026-11-26", "2026-12-25", "2026-12-29", "2026-12-31"),
    )
)
# The December of 2025 was never on the page that we know.
PUBLISHED = range(2026, 2027)
# arXiv publishes the next year's in its last weeks.
RUNS_OUT = timedelta(days=31)
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6


class Expected(StrEnum):
    """What a day should bring."""

    PAPERS = "papers"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    #: A day beside a holiday, or a likely holiday of a year whose list we do not know.
    UNSURE = "unsure"


def expected(day: date) -> Expected:
    """What the day `day` of US Eastern time should bring.

    Papers of Monday were announced on Sunday evening, so a holiday empties the day
    after it. A holiday on a Friday, which has no announcement anyway, may defer
    Sunday's; on its own day arXiv's staff is away, so nothing is sure there either.
    """
    if day.weekday() >= _SATURDAY:
        return Expected.WEEKEND
    evening = day - timedelta(days=1)
    if evening in HOLIDAYS:
        return Expected.HOLIDAY
    around = {day, evening}
    if evening.weekday() == _SUNDAY:
        around.add(day - timedelta(days=3))  # Friday
    if around & HOLIDAYS or any(_likely(one) for one in around):
        return Expected.UNSURE
    return Expected.PAPERS


def _likely(day: date) -> bool:
    """Whether a day of a year without a published list was a holiday in other years."""
    if day.year in PUBLISHED:
        return False
    nth_monday = (day.day - 1) // 7 if day.weekday() == 0 else -1
    return (
        (day.month, day.day) in {(1, 1), (6, 19), (7, 3), (7, 4), (7, 6)}
        or (day.month == 12 and day.day >= 24)
        or (day.month == 1 and nth_monday == 2)
        or (day.month == 9 and nth_monday == 0)
        or (day.month == 11 and day.weekday() == 3 and (day.day - 1) // 7 == 3)
    )


def known_until() -> date:
    """The last day of which we know whether it is a holiday; later ones may be."""
    return date(PUBLISHED.stop - 1, 12, 31)


def today(now: datetime) -> date:
    """The day that it is for arXiv."""
    return now.astimezone(EASTERN).date()


def rebuilt_at(day: date) -> datetime:
    """When the feeds of `day` are rebuilt, in UTC: 04:00 in summer, 05:00 in winter."""
    return datetime.combine(day, time(), EASTERN).astimezone(UTC)


def is_overdue(day: date, now: datetime) -> bool:
    """Whether papers of `day` should be here by now, beyond doubt."""
    return expected(day) == Expected.PAPERS and now > rebuilt_at(day) + GRACE


def days(first: date, last: date) -> Iterator[date]:
    """Every day from `first` to `last`, both included."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def first_announced(submitted: datetime, changed: date | None = None) -> date:
    """The day under which a paper submitted then was announced.

    The schedule gives the earliest day. A record whose only change (`changed`, the
    OAI datestamp) is a little later was held by moderators until then; one changed
    much later was touched for another reason.
    """
    local = submitted.astimezone(EASTERN)
    if (local.weekday(), local.time()) >= (_FRIDAY, DEADLINE):
        day = local.date() + timedelta(days=8 - local.weekday())  # Tuesday
    else:
        late = local.time() >= DEADLINE
        day = local.date() + timedelta(days=2 if late else 1)
    day = _announcing(day)
    if changed and day < changed <= day + MODERATION:
        return _announcing(changed)
    return day


def _announcing(day: date) -> date:
    """This day, or the next one that brings papers."""
    while expected(day) in {Expected.WEEKEND, Expected.HOLIDAY}:
        day += timedelta(days=1)
    return day
