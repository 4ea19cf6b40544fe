"""Days, ISO weeks and months of announcements, as URLs name them."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

DAY, WEEK, MONTH = "day", "week", "month"
# arXiv began in 1991; later years than these are typing errors.
YEARS = range(1991, 2100)
FORMATS = {
    DAY: re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"),
    WEEK: re.compile(r"([0-9]{4})-W([0-9]{2})()"),
    MONTH: re.compile(r"([0-9]{4})-([0-9]{2})()"),
}


@dataclass(frozen=True)
class Period:
    """A day, week or month; `kind` is also the name of its URL, `text` its argument."""

    kind: str
    first: date
    last: date

    @property
    def text(self) -> str:
        match self.kind:
            case "week":
                year, week, _ = self.first.isocalendar()
                return f"{year}-W{week:02}"
            case "month":
                return f"{self.first:%Y-%m}"
            case _:
                return self.first.isoformat()

    @property
    def title(self) -> str:
        """Format the period for a heading: "Week of 2 March 2026"."""
        first = self.first
        match self.kind:
            case "week":
                return f"Week of {first.day} {first:%B %Y}"
            case "month":
                return f"{first:%B %Y}"
            case _:
                return f"{first:%A}, {first.day} {first:%B %Y}"


def period_around(kind: str, day: date) -> Period:
    match kind:
        case "week":
            monday = day - timedelta(days=day.weekday())
            return Period(kind, monday, monday + timedelta(days=6))
        case "month":
            length = calendar.monthrange(day.year, day.month)[1]
            return Period(kind, day.replace(day=1), day.replace(day=length))
        case _:
            return Period(DAY, day, day)


def parse_period(kind: str, text: str) -> Period | None:
    """Parse 2026-03-06, 2026-W10 or 2026-03; other forms of ISO 8601 are not accepted."""
    match = FORMATS[kind].fullmatch(text)
    if match is None:
        return None
    year, number, day = (int(group or 1) for group in match.groups())
    if year not in YEARS:
        return None
    try:
        if kind == WEEK:
            return period_around(kind, date.fromisocalendar(year, number, 1))
        return period_around(kind, date(year, number, day))
    except ValueError:
        return None


def calendar_weeks(day: date) -> list[list[date | None]]:
    """Return the weeks of a month, from Monday; None for days of other months."""
    weeks = calendar.Calendar().monthdatescalendar(day.year, day.month)
    return [[d if d.month == day.month else None for d in week] for week in weeks]
