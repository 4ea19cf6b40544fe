"""Completeness of ingest: missing days, lagging categories, state of today's feed, alarms."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import chain, takewhile
from math import exp
from statistics import median

from django.conf import settings
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils.formats import date_format

from digest.ingest.sources import arxiv_calendar, arxiv_oai
from digest.ingest.sources.arxiv_calendar import Expected
from digest.ingest.sources.listing import Listing, ParsedDocument
from digest.models import Follow, IngestRun, Interest, Paper
from digest.models.papers import CANDIDATE_DAYS
from digest.text.arxiv_categories import (
    archive_of,
    category_matcher,
    is_selected,
    normalize_categories,
)

Kind, State = IngestRun.Kind, IngestRun.State
FeedState, Failure = IngestRun.FeedState, IngestRun.Failure

# Editions hold papers of 14 days; another week shows a long outage.
LOOK_BACK_DAYS = 21
# Below this usual number of papers a day a category is sometimes empty without a fault.
MIN_USUAL_PAPERS = 5
# Counts of large categories vary by a half between days, more than Poisson's law allows;
# below this share of the usual number papers are missing.
LAGGING_SHARE = 0.3
# Small categories have few papers on healthy days too: so few must also be less likely
# than this (Poisson).
LAGGING_PROBABILITY = 0.01
# Even the days between holidays have more than this share of a usual day.
MISSING_SHARE = 0.1
MIN_DAYS_FOR_USUAL = 3  # announcement days needed to know the usual number
# Gaps are searched for this far back; those beyond LOOK_BACK_DAYS are offered as a backfill.
MAX_GAP_AGE_DAYS = 180
# Votes are read every two hours. After a day without success the safety net is degraded,
# after two days it is down; the same holds for announcement days without a daily check.
MAX_ATTENTION_AGE = timedelta(hours=36)
ATTENTION_DEGRADED_AGE = timedelta(days=1)
ATTENTION_DOWN_AGE = timedelta(days=2)
CHECK_DEGRADED_DAYS, CHECK_DOWN_DAYS = 1, 2
# Pause after a round that arXiv refused with 429, doubled with each further one.
MIN_BACKOFF = timedelta(minutes=30)
MAX_BACKOFF = timedelta(hours=8)
MAX_LISTED_CATEGORIES = 10
CHECK_SUMMARY_PERIOD = timedelta(days=7)


class Health(StrEnum):
    """State of a safety net: the daily check, or the reading of votes."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class Alarm:
    """A fault of one day: its kind and a description for the operator."""

    day: date
    text: str
    kind: str = "Missing"


@dataclass(frozen=True)
class CheckSummary:
    """Results of the daily checks of the last week, and the start of the newest."""

    last: datetime | None
    missed: int = 0
    corrected: int = 0
    unconfirmed: int = 0


def arxiv_announced(first: date, last: date) -> QuerySet[Paper]:
    return Paper.objects.announced_by_arxiv().announced_between(first, last)


def missing_days(now: datetime) -> list[date]:
    """List the days of the last three weeks that should have papers and have none.

    Days before the record starts are not missing. Very few papers count as none until a
    late harvest covered the day: old papers that were modified can be filed under a day
    whose announcement was never read.
    """
    last = arxiv_calendar.today(now)
    return _days_without_papers(last - timedelta(days=LOOK_BACK_DAYS), last, now)


def old_gaps(now: datetime) -> list[date]:
    """List missing days that are too old for the automatic search, as after a long outage."""
    today = arxiv_calendar.today(now)
    first = today - timedelta(days=MAX_GAP_AGE_DAYS)
    last = today - timedelta(days=LOOK_BACK_DAYS + 1)
    return _days_without_papers(first, last, now)


def empty_days(now: datetime) -> set[date]:
    """Missing days on which arXiv's own feed was empty: perhaps unlisted holidays."""
    return {
        day
        for day in missing_days(now)
        if _feed_runs(day).filter(feed_state=FeedState.EMPTY).exists()
        and not feed_had_todays_papers(day)
    }


def _days_without_papers(first: date, last: date, now: datetime) -> list[date]:
    start = record_start(first)
    if start is None:
        return []
    rows = arxiv_announced(first, last).order_by().values_list("announced_on")
    counts = dict(rows.annotate(Count("pk")))
    usual = median(counts.values()) if len(counts) >= MIN_DAYS_FOR_USUAL else 0
    return [
        day
        for day in arxiv_calendar.days_between(max(first, start), last)
        if arxiv_calendar.is_overdue(day, now)
        and counts.get(day, 0) <= MISSING_SHARE * usual
        and not (counts.get(day) and _was_harvested(day))
    ]


def _was_harvested(day: date) -> bool:
    due = arxiv_calendar.feed_rebuilt_at(day) + arxiv_calendar.FEED_GRACE
    harvests = IngestRun.objects.done().of_kind(Kind.HARVEST, Kind.DAILY_CHECK)
    return harvests.filter(started_at__gt=due, window_from__lte=day).exists()


def record_start(first: date) -> date | None:
    """Return the first day that can be judged: of the oldest paper, or after the first run.

    Never before `first`; None without papers and runs.
    """
    papers = Paper.objects.announced_by_arxiv().order_by("announced_on")
    oldest = papers.values_list("announced_on", flat=True).first()
    run = IngestRun.objects.filter(source="arxiv").order_by("started_at").first()
    next_day = arxiv_calendar.today(run.started_at) + timedelta(days=1) if run else None
    days = [day for day in (oldest, next_day) if day]
    return max(first, min(days)) if days else None


def lagging_categories(day: date) -> list[str]:
    """List categories with far fewer papers than usual on a day when others have theirs.

    arXiv's feed of one category has repeated the previous batch behind a current date.
    """
    first = day - timedelta(days=LOOK_BACK_DAYS)
    counts: dict[date, Counter[str]] = defaultdict(Counter)
    rows = arxiv_announced(first, day).order_by().values_list("announced_on", "primary")
    for when, primary, number in rows.annotate(number=Count("pk")):
        counts[when][primary] = number
    today = counts.pop(day, Counter())
    if not today or len(counts) < MIN_DAYS_FOR_USUAL:
        return []
    is_selected = category_matcher(settings.ARXIV_CATEGORIES)
    names = {name for row in counts.values() for name in row if is_selected([name])}
    days = list(counts.values())
    return sorted(
        name
        for name in names
        if _is_lagging(today[name], median(row[name] for row in days))
    )


def _is_lagging(number: int, usual: float) -> bool:
    if usual < MIN_USUAL_PAPERS or number >= LAGGING_SHARE * usual:
        return False
    return poisson_cdf(number, usual) < LAGGING_PROBABILITY


def poisson_cdf(number: int, mean: float) -> float:
    """Probability of at most `number` events where `mean` are expected."""
    term = total = exp(-mean)
    for k in range(1, number + 1):
        term *= mean / k
        total += term
    return total


def todays_feed_done(now: datetime) -> bool:
    """Whether requesting today's feed again is pointless.

    Either the feed listed today's papers and no category lags, or nothing is announced
    today. Papers of today from another source do not prove that the feed is complete.
    """
    day = arxiv_calendar.today(now)
    expected = arxiv_calendar.expected(day)
    if expected == Expected.WEEKEND:
        return True
    if arxiv_announced(day, day).exists():
        return not unread_today(day) and not lagging_categories(day)
    return expected == Expected.HOLIDAY and _feed_runs(day).exists()


def feed_had_todays_papers(day: date) -> bool:
    return _sound_feed_runs(day).exists()


def unread_today(day: date) -> list[str]:
    """List our categories without a feed that had the papers of this day."""
    lists = _sound_feed_runs(day).values_list("categories", flat=True)
    read = {name for names in lists for name in names}
    return [
        name
        for name in normalize_categories(settings.ARXIV_CATEGORIES)
        if name not in read
    ]


def added_categories(now: datetime) -> list[str]:
    """List categories whose feeds were first read later than others, and not backfilled.

    Only days whose papers can still be candidates count.
    """
    first = now - timedelta(days=CANDIDATE_DAYS)
    runs = IngestRun.objects.done().started_between(first, now).order_by("started_at")
    feeds = list(runs.of_kind(Kind.FEED).values_list("categories", "started_at"))
    backfills = runs.of_kind(Kind.HARVEST).values_list("categories", flat=True)
    backfilled = {name for names in backfills for name in names}
    first_day: dict[str, date] = {}
    for names, started_at in feeds:
        for name in names:
            first_day.setdefault(name, arxiv_calendar.today(started_at))
    if not first_day:
        return []
    start, today = min(first_day.values()), arxiv_calendar.today(now)
    return [
        name
        for name in normalize_categories(settings.ARXIV_CATEGORIES)
        if first_day.get(name, today) > start
        and archive_of(name) not in first_day
        and name not in backfilled
    ]


def is_backing_off(now: datetime) -> bool:
    """Whether to spare arXiv after it has limited our requests in the last rounds.

    The pause doubles with every round that was limited.
    """
    runs = IngestRun.objects.filter(source="arxiv").exclude(state=State.RUNNING)
    recent = runs.started_between(now - MAX_BACKOFF, now).newest_first()
    limited = list(takewhile(lambda run: run.failure == Failure.RATE_LIMITED, recent))
    if not limited:
        return False
    rounds = sum(max(1, run.attempts) for run in limited)
    pause: timedelta = min(MIN_BACKOFF * 2 ** (rounds - 1), MAX_BACKOFF)
    last = max(_last_attempt(run, now) for run in limited)
    return now < last + pause


def _last_attempt(run: IngestRun, now: datetime) -> datetime:
    """Resumed runs keep their start; a heartbeat in the future comes from a wrong clock."""
    is_resumed = run.heartbeat_at is not None and run.heartbeat_at <= now
    return run.heartbeat_at if run.heartbeat_at and is_resumed else run.started_at


def _sound_feed_runs(day: date) -> QuerySet[IngestRun]:
    states = IngestRun.FEED_STATES_WITH_PAPERS
    return _feed_runs(day).filter(feed_state__in=states)


def _feed_runs(day: date) -> QuerySet[IngestRun]:
    """Complete readings of the feed between its rebuild for this day and the next."""
    begin, end = map(arxiv_calendar.feed_rebuilt_at, (day, day + timedelta(days=1)))
    feeds = IngestRun.objects.done().of_kind(Kind.FEED)
    return feeds.filter(started_at__gte=begin, started_at__lt=end)


def find_alarms(now: datetime) -> list[Alarm]:
    """List what an operator must know, oldest day first."""
    today = arxiv_calendar.today(now)
    alarms = (
        _gap_alarms(now),
        _missing_alarms(now),
        _lagging_alarms(today, now),
        _attention_alarms(now),
        _check_alarms(now),
        _category_alarms(today),
        _calendar_alarms(today),
    )
    return list(chain.from_iterable(alarms))


def _gap_alarms(now: datetime) -> Iterator[Alarm]:
    days = old_gaps(now)
    if days:
        count = f"{len(days)} announcement day{'s' if len(days) > 1 else ''}"
        text = (
            f"No papers of {count} between {date_format(days[0], 'j F')} and {date_format(days[-1], 'j F')}, before "
            "the days that are searched automatically. "
            f"Run: manage.py backfill --since {days[0]}"
        )
        yield Alarm(days[0], text, "Gap")


def _missing_alarms(now: datetime) -> Iterator[Alarm]:
    empty = empty_days(now)
    for day in missing_days(now):
        name = date_format(day, "l, j F")
        if day in empty:
            text = (
                f"arXiv's feed of {name} was empty, and the day is not on the list of "
                "holidays. If arXiv announced nothing on the evening before, add that "
                "evening to ARXIV_HOLIDAYS."
            )
            yield Alarm(day, text, "Empty")
        else:
            text = (
                f"No papers of {name}, an announcement day of arXiv. "
                "It is requested again automatically; see the latest failures below."
            )
            yield Alarm(day, text)


def _lagging_alarms(today: date, now: datetime) -> Iterator[Alarm]:
    names = lagging_categories(today)
    if names and arxiv_calendar.is_overdue(today, now):
        text = (
            f"Far fewer papers than usual in {', '.join(names)}: "
            "the feed may still hold the previous batch."
        )
        yield Alarm(today, text, "Lagging")


def check_health(now: datetime) -> Health:
    """State of the daily check, by announcement days since its last success."""
    if not settings.ARXIV_OAI_URL:
        return Health.OK
    unchecked = max((_overdue_days(at, now) for at in _checked_since(now)), default=0)
    if unchecked >= CHECK_DOWN_DAYS:
        return Health.DOWN
    return Health.DEGRADED if unchecked >= CHECK_DEGRADED_DAYS else Health.OK


def _checked_sets() -> list[str]:
    return arxiv_oai.set_specs(normalize_categories(settings.ARXIV_CATEGORIES))


def _checked_since(now: datetime) -> Iterator[datetime]:
    """Since when the papers of each set were not checked: its last success.

    A set that was never checked counts from its first attempt, else from the newest
    check of another set; a site without any checks from its first run.
    """
    checks = IngestRun.objects.of_kind(Kind.DAILY_CHECK).filter(started_at__lte=now)
    done = Max("started_at", filter=Q(state=IngestRun.State.DONE))
    rows = checks.values("set_spec").annotate(done=done, first=Min("started_at"))
    starts = list(rows.order_by())
    by_set = {row["set_spec"]: row["done"] or row["first"] for row in starts}
    newest = max((row["done"] for row in starts if row["done"]), default=None)
    for set_spec in _checked_sets():
        yield by_set.get(set_spec) or newest or _first_run(now) or now


def _first_run(now: datetime) -> datetime | None:
    return IngestRun.objects.filter(source="arxiv", started_at__lte=now).oldest_start()


def _overdue_days(since: datetime, now: datetime) -> int:
    """Count announcement days after `since` that ended."""
    days = arxiv_calendar.days_between(
        arxiv_calendar.today(since) + timedelta(days=1), arxiv_calendar.today(now)
    )
    return sum(arxiv_calendar.is_overdue(day, now) for day in days)


def attention_health(now: datetime) -> Health:
    """State of the reading of votes; OK on a site that never read any."""
    runs = IngestRun.objects.filter(source="huggingface", started_at__lte=now)
    since = runs.done().newest_start() or runs.oldest_start() or now
    if now - since > ATTENTION_DOWN_AGE:
        return Health.DOWN
    return Health.DEGRADED if now - since > ATTENTION_DEGRADED_AGE else Health.OK


def _check_alarms(now: datetime) -> Iterator[Alarm]:
    if check_health(now) != Health.OK:
        last = check_summary(now).last
        since = f"since {date_format(last, 'j F')}" if last else "yet"
        text = (
            f"No daily check against OAI-PMH has succeeded {since}: "
            "see the failed daily checks in the list of ingest runs."
        )
        yield Alarm(arxiv_calendar.today(now), text, "Unchecked")


def _attention_alarms(now: datetime) -> Iterator[Alarm]:
    if attention_health(now) != Health.OK:
        runs = IngestRun.objects.filter(source="huggingface", started_at__lte=now)
        last = runs.done().newest_start()
        since = f"since {date_format(last, 'j F, H:i')}" if last else "yet"
        text = (
            f"No votes were read {since}: see the failures of Hugging Face, "
            "and check that a worker and beat are running."
        )
        yield Alarm(arxiv_calendar.today(now), text, "Stale")


def unread_follows() -> list[tuple[str, int]]:
    """Count readers by followed category that is not read, most readers first."""
    follows = Follow.objects.filter(weight__gt=0, interest__kind=Interest.Kind.CATEGORY)
    counts = follows.values_list("interest__value").annotate(Count("pk"))
    unread = [(name, number) for name, number in counts if not is_read(name)]
    return sorted(unread, key=lambda row: (-row[1], row[0]))


def is_read(category: str) -> bool:
    return is_selected(category, settings.ARXIV_CATEGORIES)


def _category_alarms(today: date) -> Iterator[Alarm]:
    follows = unread_follows()
    if follows:
        counts = ", ".join(
            f"{name} ({number} reader{'s' if number > 1 else ''})"
            for name, number in follows[:MAX_LISTED_CATEGORIES]
        )
        text = (
            f"Readers follow categories that are not ingested: {counts}. "
            "Add them to ARXIV_CATEGORIES to include their papers."
        )
        yield Alarm(today, text, "Unread")


def _calendar_alarms(today: date) -> Iterator[Alarm]:
    end = arxiv_calendar.holidays_known_until()
    if today > end - arxiv_calendar.HOLIDAY_LIST_NOTICE:
        text = (
            f"arXiv's holidays are known until {date_format(end)}: update, or set next year's "
            "list as ARXIV_HOLIDAYS. Until then, days that are holidays in other years "
            "raise no alarm."
        )
        yield Alarm(today, text, "Calendar")


def check_summary(now: datetime) -> CheckSummary:
    """Sum the differences between feeds and OAI-PMH that the last week's checks found."""
    done = IngestRun.objects.done().of_kind(Kind.DAILY_CHECK)
    done = done.filter(started_at__lte=now)
    last = done.newest_start()
    counts = done.filter(started_at__gt=now - CHECK_SUMMARY_PERIOD).aggregate(
        missed=Coalesce(Sum("missed"), 0), corrected=Coalesce(Sum("corrected"), 0)
    )
    if last is None:
        return CheckSummary(None, **counts)
    newest = done.filter(started_at__gt=last - arxiv_calendar.FEED_GRACE)
    by_set = {run.set_spec: run.unconfirmed for run in newest.order_by("started_at")}
    return CheckSummary(last, **counts, unconfirmed=sum(by_set.values()))


def classify_feed(
    parsed: ParsedDocument, announced_before: set[str], now: datetime
) -> tuple[IngestRun.FeedState, str]:
    """Judge an announcement feed; return its state and a note, empty if it is complete.

    `announced_before` are the identifiers announced on an earlier day.
    """
    listings, day = parsed.listings, arxiv_calendar.today(now)
    is_expected = arxiv_calendar.expected(day) == Expected.PAPERS
    if not listings:
        return _classify_empty_feed(day, is_expected)
    newest = max(listing.announced_on for listing in listings if listing.announced_on)
    if newest < day:
        note = f"still the feed of {newest}"
        if is_expected:
            return FeedState.LATE, f"late: {note}"
        reason = _why_no_papers(day)
        return FeedState.EMPTY_AS_EXPECTED, f"{note}, as expected: {reason}"
    if all(listing.identifier in announced_before for listing in listings):
        note = "stale: the previous batch again, with a current date"
        return FeedState.STALE, note
    if not parsed.is_complete:
        note = f"incomplete: the feed ends after {len(listings):,} entries"
        return FeedState.INCOMPLETE, note
    if categories := repeated_categories(listings, announced_before):
        return FeedState.PARTLY_STALE, f"stale in {', '.join(categories)}"[:200]
    return FeedState.COMPLETE, ""


def _classify_empty_feed(
    day: date, is_expected: bool
) -> tuple[IngestRun.FeedState, str]:
    if is_expected and not arxiv_calendar.is_listed_year(day.year):
        return FeedState.EMPTY, "empty, not on the list of holidays: requested again"
    if is_expected:
        return FeedState.EMPTY, "empty, though papers are expected: requested again"
    note = f"empty, as expected: {_why_no_papers(day)}"
    return FeedState.EMPTY_AS_EXPECTED, note


def _why_no_papers(day: date) -> str:
    reasons = {Expected.WEEKEND: "a weekend", Expected.HOLIDAY: "a holiday"}
    return reasons.get(arxiv_calendar.expected(day), "a day beside a holiday")


def repeated_categories(
    listings: Sequence[Listing], announced_before: set[str]
) -> list[str]:
    """List primary categories of whose new papers most were announced before."""
    new: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for listing in listings:
        if listing.announce_type == "new":
            new[listing.primary] += 1
            repeated[listing.primary] += listing.identifier in announced_before
    return sorted(name for name in new if repeated[name] * 2 > new[name])
