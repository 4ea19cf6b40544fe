"""Recorded weeks, polled day by day with faults and late feeds."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from digest.ingest import daily_check, monitoring, run_source
from digest.ingest.sources import arxiv_calendar, arxiv_feed
from digest.models import IngestRun, Paper
from tests import replay
from tests.conftest import DATA, needs_data
from tests.ingest.fake_sources import CAPTCHA, Record, Response, busy, cut

pytestmark = [needs_data, pytest.mark.slow, pytest.mark.django_db]
FAULTS = (busy(503), busy(429, after=0), CAPTCHA, cut)
LATE = 5  # every fifth document is still the one before, at the first look


def recorded(pattern):
    return list(replay.recorded_feeds(next((DATA / "replay").glob(pattern))))


def live(sources, settings, days, categories):
    """Poll three times a day, first with a fault; return the runs by day.

    There is no poll on weekends; an editor requests the feed once.
    """
    settings.ARXIV_CATEGORIES = categories
    runs_by_day, before = {}, b""
    for number, (day, document) in enumerate(days):
        sources.feed_body = document
        midnight = arxiv_calendar.feed_rebuilt_at(day)
        if day.weekday() >= 5:
            assert run_source.poll_feed(midnight) == []
            runs_by_day[day] = run_source.ingest_feed(midnight)
            continue
        is_late = number % LATE == LATE - 1
        fault = Response(before) if is_late else FAULTS[number % len(FAULTS)]
        sources.faults["feed"] = [fault]
        for hour in (0, 1, 2):
            now = midnight + timedelta(hours=hour, minutes=20)
            runs_by_day[day] = [*runs_by_day.get(day, []), *run_source.poll_feed(now)]
        before = document
    return runs_by_day


def late_days(days):
    """Working days whose first poll received the previous document."""
    late = days[LATE - 1 :: LATE]
    return [day for day, _ in late if arxiv_calendar.expected(day) == "papers"]


def assert_papers_are_announced_once(days):
    """As many new papers as there are distinct ones, each under its first day."""
    first = first_days(days)
    assert dict(Paper.objects.values_list("identifier", "announced_on")) == first
    assert sum(IngestRun.objects.values_list("new", flat=True)) == len(first)


def assert_late_days_are_noted(runs_by_day, days):
    assert late_days(days)
    for day in late_days(days):
        assert runs_by_day[day][0].note.startswith("late: still the feed of "), day
        assert (runs_by_day[day][0].new, runs_by_day[day][-1].note) == (0, ""), day


def notes(runs):
    return {run.note for run in runs if run.state == "done"}


def first_days(days):
    """Each paper's first day, as the documents themselves tell it."""
    first = {}
    for day, document in days:
        for listing in arxiv_feed.parse(document).listings:
            first.setdefault(listing.identifier, day)
    return first


def test_eighteen_recorded_days_are_complete_and_empty_days_noted(sources, settings):
    days = recorded("raw_daily_wanzhouliu*")

    runs_by_day = live(sources, settings, days, ["cs.CV"])

    assert_papers_are_announced_once(days)
    assert_late_days_are_noted(runs_by_day, days)
    weekends = [day for day, _ in days if day.weekday() >= 5]
    assert len(weekends) == 6
    for day, runs in runs_by_day.items():
        named = "empty, as expected: a weekend" if day in weekends else ""
        assert runs[-1].note == named, day
    assert IngestRun.objects.filter(state="failed").count() <= len(days)
    # Replacements were announced before we looked: they are no news of any day.
    kinds = Counter(Paper.objects.values_list("announce_type", flat=True))
    assert kinds["new"] + kinds["cross"] <= 1323 + 234
    assert monitoring.missing_days(datetime(2026, 5, 4, 23, tzinfo=UTC)) == []


def test_thirty_eight_recorded_days_are_complete_and_gaps_are_missing_days(
    sources, settings
):
    days = recorded("raw_daily_dw-dengwei*")

    runs_by_day = live(sources, settings, days, ["cs.CV", "cs.CL", "cs.AI"])

    assert_papers_are_announced_once(days)
    assert_late_days_are_noted(runs_by_day, days)
    assert Paper.objects.count() == 5704
    # The last document repeats the day before; no other one does.
    last = days[-1][0]
    stale = "stale: the previous batch again, with a current date"
    assert notes(runs_by_day[last]) == {stale}
    assert [day for day, runs in runs_by_day.items() if stale in notes(runs)] == [last]
    # All unrecorded weekdays of the last three weeks are missing.
    now = datetime(2025, 12, 31, 23, tzinfo=UTC)
    have = {day for day, _ in days[:-1]}
    since = last - timedelta(days=monitoring.LOOK_BACK_DAYS)
    assert monitoring.missing_days(now) == [
        day
        for day in arxiv_calendar.days_between(since, last)
        if day not in have and arxiv_calendar.expected(day) == "papers"
    ]


def submitted(listing, day):
    """With the morning on which it must have been submitted to be announced that day."""
    before = day - timedelta(days=3 if day.weekday() == 0 else 1)
    at = datetime(before.year, before.month, before.day, 15, tzinfo=UTC)
    return replace(listing, published_at=at, announced_on=day)


def test_papers_absent_from_recorded_feeds_are_announced_on_their_day(
    sources, settings
):
    """Each seventh new paper is left out, and on one day all of them."""
    settings.ARXIV_CATEGORIES = ["cs.CV"]
    sources.page_size = 400
    days = recorded("raw_daily_wanzhouliu*")
    unread_day = date(2026, 4, 28)
    first, lost = {}, set()

    for day, document in days:
        listings = arxiv_feed.parse(document).listings
        new = [listing for listing in listings if listing.announce_type == "new"]
        fresh = [listing for listing in new if listing.identifier not in first]
        first |= {listing.identifier: day for listing in fresh}
        missing = {
            listing.identifier
            for listing in (fresh if day == unread_day else fresh[::7])
        }
        lost |= missing
        sources.records += [Record(submitted(listing, day), day) for listing in fresh]
        sources.feed_day = day
        served = [] if day == unread_day else listings
        sources.announced = [
            listing for listing in served if listing.identifier not in missing
        ]
        for hour in (0, 3):
            now = arxiv_calendar.feed_rebuilt_at(day) + timedelta(
                hours=hour, minutes=20
            )
            run_source.poll_feed(now)
            daily_check.run_daily_check(now)

    mine = Paper.objects.filter(identifier__in=first)
    assert dict(mine.values_list("identifier", "announced_on")) == first
    checks = IngestRun.objects.filter(kind="daily_check")
    assert sum(checks.values_list("missed", flat=True)) == len(lost) > 300
    assert set(checks.values_list("state", "unconfirmed")) == {("done", 0)}
    assert checks.count() == 12  # no weekend, and none twice
    assert monitoring.missing_days(datetime(2026, 5, 4, 23, tzinfo=UTC)) == []
