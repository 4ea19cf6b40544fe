"""What the rows say of the days: which are missing, which category lags, is today done."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from statistics import median

from django.conf import settings
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.arxiv_calendar import Expected
from digest.ingest.sources.listing import Listing
from digest.models import IngestRun, Paper

# Papers older than 14 days are in no edition; a week more shows a long outage.
LOOK_BACK = 21  # days
# A category with fewer papers a day is empty now and then without any fault.
USUAL = 5  # papers
# Feeds of the fields that we read vary by a half, on the Tuesday after a holiday
# they double: under a third of the usual day something is missing.
FEW = 0.3
THIN = 0.1  # of the usual day: not even the days between holidays were as thin
KNOWN_DAYS = 3  # announcement days before we know what is usual
# A Friday's check is followed by a Monday's; a day more is a bad evening of arXiv's.
UNCHECKED = timedelta(days=4)
# Read every two hours: a day and a half without success is no bad evening of theirs.
UNREAD = timedelta(hours=36)
STALE_IN = "stale in"  # some categories; the others were told of


@dataclass(frozen=True)
class Alarm:
    """A day that is not as it should be: what kind of fault, and in words."""

    day: date
    text: str
    kind: str = "Missing"


@dataclass(frozen=True)
class Checked:
    """What the checks of the last week found, and when the newest was done."""

    last: datetime | None
    missed: int = 0
    corrected: int = 0
    unconfirmed: int = 0


def missing(now: datetime) -> list[date]:
    """Days of the last three weeks that should have brought papers, and did not.

    The record begins with the first day that we read: nothing before it is missing.
    Hardly any papers are none, until OAI-PMH was asked after the day: old papers that
    were touched may be filed under a day whose announcement nobody has seen.
    """
    last = arxiv_calendar.today(now)
    first = last - timedelta(days=LOOK_BACK)
    since = begin(first)
    if since is None:
        return []
    papers = Paper.objects.announced_by_arxiv().announced_between(first, last)
    rows = papers.order_by().values_list("announced_on")
    counts = dict(rows.annotate(Count("pk")))
    enough = THIN * median(counts.values()) if len(counts) >= KNOWN_DAYS else 0
    return [
        day
        for day in arxiv_calendar.days_between(max(first, since), last)
        if arxiv_calendar.is_overdue(day, now)
        and counts.get(day, 0) <= enough
        and not (counts.get(day) and _was_sought(day))
    ]


def _was_sought(day: date) -> bool:
    """Whether a whole harvest has looked for papers of this day when all had to be there."""
    whole = IngestRun.objects.filter(source="arxiv", state=IngestRun.State.DONE)
    late = whole.filter(
        started_at__gt=arxiv_calendar.feed_rebuilt_at(day) + arxiv_calendar.FEED_GRACE
    )
    return late.filter(window_from__lte=day).exists()


def begin(first: date) -> date | None:
    """The first day that we can speak of: of our first paper, or after our first reading."""
    papers = Paper.objects.announced_by_arxiv().order_by("announced_on")
    oldest = papers.values_list("announced_on", flat=True).first()
    tried = IngestRun.objects.filter(source="arxiv").order_by("started_at").first()
    read = arxiv_calendar.today(tried.started_at) + timedelta(days=1) if tried else None
    found = [day for day in (oldest, read) if day]
    return max(first, min(found)) if found else None


def stale(day: date) -> list[str]:
    """Categories with far fewer papers than usual, on a day when others have theirs.

    arXiv's feed of one category has held the previous batch behind a fresh date.
    """
    first = day - timedelta(days=LOOK_BACK)
    counts: dict[date, Counter[str]] = defaultdict(Counter)
    papers = Paper.objects.announced_by_arxiv().announced_between(first, day)
    rows = papers.order_by().values_list("announced_on", "primary")
    for when, primary, number in rows.annotate(number=Count("pk")):
        counts[when][primary] = number
    here = counts.pop(day, Counter())
    if not here or len(counts) < KNOWN_DAYS:
        return []
    return [name for name in settings.ARXIV_CATEGORIES if _lags(name, here, counts)]


def _lags(name: str, here: Counter[str], counts: dict[date, Counter[str]]) -> bool:
    usual = median(one[name] for one in counts.values())
    return usual >= USUAL and here[name] < usual * FEW


def is_settled(now: datetime) -> bool:
    """Whether asking for today's announcements again is of no use.

    Either the feed brought them, and every category is here; or nothing is announced
    today. Papers of today that came by another road prove nothing of the others.
    """
    day = arxiv_calendar.today(now)
    brings = arxiv_calendar.expected(day)
    if brings == Expected.WEEKEND:
        return True
    if Paper.objects.announced_by_arxiv().announced_on_day(day).exists():
        return was_brought(day) and not stale(day)
    return brings == Expected.HOLIDAY and _was_read(day)


def was_brought(day: date) -> bool:
    """Whether the feed of this day was read, and told of the day's own papers."""
    sound = Q(outcome="") | Q(outcome__startswith=STALE_IN)
    return _read(day).filter(sound).exists()


def _was_read(day: date) -> bool:
    return _read(day).exists()


def _read(day: date) -> QuerySet[IngestRun]:
    """Readings of the feed since it was rebuilt for this day."""
    done = IngestRun.objects.filter(
        state=IngestRun.State.DONE, origin__startswith=settings.ARXIV_FEED_URL
    )
    begin, end = map(arxiv_calendar.feed_rebuilt_at, (day, day + timedelta(days=1)))
    return done.filter(started_at__gte=begin, started_at__lt=end)


def alarms(now: datetime) -> list[Alarm]:
    """What an operator should know, oldest day first."""
    today = arxiv_calendar.today(now)
    found = [
        Alarm(
            day,
            f"No papers of {day:%A, %d %B}, though arXiv announces on such days. "
            "It is being asked again; look at the last failures below.",
        )
        for day in missing(now)
    ]
    others = (_lagging(today, now), _unread(now), _unchecked(now), _ending(today))
    return [*found, *chain.from_iterable(others)]


def _lagging(today: date, now: datetime) -> Iterator[Alarm]:
    names = stale(today)
    if names and arxiv_calendar.is_overdue(today, now):
        text = (
            f"Far fewer papers than usual in {', '.join(names)}: "
            "its feed may still hold the batch before."
        )
        yield Alarm(today, text, "Lagging")


def _unchecked(now: datetime) -> Iterator[Alarm]:
    """A site older than that, whose feeds OAI-PMH has not confirmed for so long."""
    old = IngestRun.objects.filter(source="arxiv", started_at__lt=now - UNCHECKED)
    last = checked(now).last
    is_late = last is None or last < now - UNCHECKED
    if settings.ARXIV_OAI_URL and is_late and old.exists():
        since = f"since {last:%d %B}" if last else "yet"
        text = (
            f"OAI-PMH has not confirmed what the feeds told {since}: "
            "look at the failures of the daily check in the ledger."
        )
        yield Alarm(arxiv_calendar.today(now), text, "Unchecked")


def _unread(now: datetime) -> Iterator[Alarm]:
    """Votes that have not been read for so long, on a site that once read them."""
    lists = IngestRun.objects.filter(source="huggingface")
    done = lists.filter(state=IngestRun.State.DONE)
    is_late = not done.filter(started_at__range=(now - UNREAD, now)).exists()
    if is_late and lists.filter(started_at__lt=now - UNREAD).exists():
        last = done.order_by("-started_at").values_list("started_at", flat=True).first()
        text = (
            f"No votes were read since {last:%d %B, %H:%M}" if last else "No votes yet"
        )
        text += ": look at Hugging Face's failures, or whether a worker and beat run."
        yield Alarm(arxiv_calendar.today(now), text, "Stale")


def _ending(today: date) -> Iterator[Alarm]:
    end = arxiv_calendar.holidays_known_until()
    if today > end - arxiv_calendar.HOLIDAY_LIST_NOTICE:
        text = (
            f"arXiv's holidays are known until {end:%d %B %Y}: update, or add the next "
            "year's to digest/ingest/sources/arxiv_calendar.py. Days that are holidays in other years "
            "are no alarm until then, and no day is said to be empty."
        )
        yield Alarm(today, text, "Calendar")


def checked(now: datetime) -> Checked:
    """The disagreements between feeds and OAI-PMH of the last seven days, counted."""
    rows = IngestRun.objects.filter(is_check=True, state=IngestRun.State.DONE)
    done = rows.filter(started_at__lte=now)
    last = done.order_by("-started_at").values_list("started_at", flat=True).first()
    counts = done.filter(started_at__gt=now - timedelta(days=7)).aggregate(
        missed=Coalesce(Sum("missed"), 0), corrected=Coalesce(Sum("corrected"), 0)
    )
    lately = (
        done.filter(started_at__gt=last - arxiv_calendar.FEED_GRACE)
        if last
        else done.none()
    )
    newest = {run.part: run.unconfirmed for run in lately.order_by("started_at")}
    return Checked(last, **counts, unconfirmed=sum(newest.values()))


def outcome(listings: Sequence[Listing], known: set[str], now: datetime) -> str:
    """What an announcement feed was like, in words; nothing where it was as it should be.

    `known` are the identifiers that were announced on an earlier day.
    """
    day = arxiv_calendar.today(now)
    if not listings:
        return _empty(day)
    newest = max(one.announced_on for one in listings if one.announced_on)
    if newest < day:
        return _before(newest, day)
    if all(one.identifier in known for one in listings):
        return "stale: the batch before again, behind a fresh date"
    if repeated := repeating(listings, known):
        return f"{STALE_IN} {', '.join(repeated)}"[:200]
    return ""


def _before(newest: date, day: date) -> str:
    if arxiv_calendar.expected(day) == Expected.PAPERS:
        return f"late: still the feed of {newest}"
    return f"still the feed of {newest}, as expected: {_why_empty(day)}"


def _empty(day: date) -> str:
    if arxiv_calendar.expected(day) == Expected.PAPERS:
        return "empty, though papers are expected: asked again"
    return f"empty, as expected: {_why_empty(day)}"


def _why_empty(day: date) -> str:
    words = {Expected.WEEKEND: "a weekend", Expected.HOLIDAY: "a holiday"}
    return words.get(arxiv_calendar.expected(day), "a day beside a holiday")


def repeating(listings: Sequence[Listing], known: set[str]) -> list[str]:
    """Primary categories most of whose new papers were announced before."""
    new: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for one in listings:
        if one.announce_type == "new":
            new[one.primary] += 1
            again[one.primary] += one.identifier in known
    return sorted(name for name in new if again[name] * 2 > new[name])
