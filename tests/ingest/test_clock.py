"""Clock changes, new years, leap days, and a machine clock that was wrong."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from digest.ingest import daily_check, monitoring, oai_harvest, run_source
from digest.ingest.reader_requests import pending_papers, submissions
from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.arxiv_calendar import EASTERN
from digest.models import IngestRun, Paper, Submission
from tests.ingest.fake_sources import Record, batch
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]
AHEAD = timedelta(days=400)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("first", "number", "empty"),
    [
        (date(2026, 3, 6), 5, ()),  # the clocks change on the 8th, in spring
        (date(2026, 10, 30), 5, ()),  # and on the 1st, in autumn
        (date(2026, 12, 29), 8, (date(2026, 12, 30), date(2027, 1, 1))),
        (date(2028, 2, 28), 3, ()),  # with a leap day
    ],
)
def test_each_day_is_read_in_its_first_hour_across_clock_changes(
    sources, first, number, empty
):
    days = [first + timedelta(days=back) for back in range(number)]
    full = [day for day in days if day.weekday() < 5 and day not in empty]
    begin = arxiv_calendar.feed_rebuilt_at(first)
    looks = [
        at
        for day in days
        for hour in (4, 5, 23)
        if (at := datetime(*day.timetuple()[:3], hour, tzinfo=UTC)) >= begin
    ]

    for now in looks:
        sources.feed_day = now.astimezone(EASTERN).date()
        sources.announced = (
            batch(sources.feed_day, 2) if sources.feed_day in full else []
        )
        run_source.poll_feed(now)

    came = dict(Paper.objects.values_list("announced_on", "created_at"))
    assert sorted(came) == full
    for day, created in came.items():
        local = created.astimezone(EASTERN)
        assert (local.date(), local.hour) == (day, 0)
    notes = IngestRun.objects.exclude(note="").values_list("note", flat=True)
    assert list(notes) == ["empty, as expected: a holiday"] * len(empty)
    assert monitoring.missing_days(looks[-1]) == []


# The clock of the machine was a year ahead for a while.


def ahead(**fields):
    given = {"source": "arxiv", "origin": "x", "state": "done", **fields}
    return IngestRun.objects.create(started_at=NOW + AHEAD, **given)


def test_harvest_with_a_future_date_does_not_replace_a_new_one(sources, settings):
    sources.records = [Record(listing, DAY) for listing in batch(DAY, 2)]
    window = {
        "kind": "harvest",
        "window_from": DAY,
        "window_until": DAY,
        "set_spec": "cs",
    }
    for state in ("running", "done"):
        ahead(origin=settings.ARXIV_OAI_URL, state=state, **window)

    (run,) = oai_harvest.backfill(DAY, NOW)

    assert (run.started_at, run.state, run.new) == (NOW, "done", 2)


def test_future_heartbeat_does_not_block_a_harvest(sources, settings):
    sources.records = [Record(listing, DAY) for listing in batch(DAY, 2)]
    left = IngestRun.objects.create(
        kind="harvest",
        source="arxiv",
        origin=settings.ARXIV_OAI_URL,
        window_from=DAY,
        window_until=DAY,
        set_spec="cs",
        started_at=NOW - HOUR,
        heartbeat_at=timezone.now() + AHEAD,
        worker_id="another machine:7",
    )

    (run,) = oai_harvest.backfill(DAY, NOW)

    assert (run.pk, run.state, run.new) == (left.pk, "done", 2)


def test_future_check_is_neither_todays_nor_the_last(sources):
    ahead(kind="daily_check", set_spec="cs")
    ahead(origin="x", kind="daily_check", set_spec="cs", missed=9)
    IngestRun.objects.create(
        source="arxiv", origin="x", state="failed", started_at=NOW - 5 * AHEAD
    )

    (run,) = daily_check.run_daily_check(NOW)

    assert (run.started_at, run.window_from) == (NOW, DAY)
    assert monitoring.check_summary(NOW) == monitoring.CheckSummary(NOW)


def test_future_runs_silence_no_alarm(sources, settings):
    for source in ("huggingface", "arxiv"):
        IngestRun.objects.create(
            source=source, origin="x", state="failed", started_at=NOW - AHEAD
        )
    ahead(source="huggingface")
    ahead(kind="daily_check")
    ahead(kind="feed", feed_state="complete")

    kinds = {alarm.kind for alarm in monitoring.find_alarms(NOW)}

    assert {"Stale", "Unchecked"} <= kinds
    assert not monitoring.feed_had_todays_papers(DAY)


def test_future_failures_do_not_delay_reader_requests(ada, sources):
    listed, submitted = batch(DAY, 2)
    sources.papers = [listed, submitted]
    ahead(state="failed", kind="pending_papers")
    ahead(state="failed", kind="paper", paper_identifier=submitted.identifier)
    pending_papers.request_papers(ada, [listed.identifier], NOW)
    Submission.objects.create(
        identifier=submitted.identifier,
        state="approved",
        announced_on=DAY,
        created_at=NOW,
    )

    runs = [*pending_papers.fetch_pending(NOW), *submissions.fetch_approved(NOW)]

    assert [(run.state, run.new) for run in runs] == [("done", 1), ("done", 1)]


def test_feed_belongs_to_the_day_between_two_rebuilds(settings):
    at = arxiv_calendar.feed_rebuilt_at(DAY)
    for moment in (at - HOUR, at + 24 * HOUR):
        ahead(kind="feed", feed_state="complete")
        IngestRun.objects.filter(started_at=NOW + AHEAD).update(started_at=moment)
    assert not monitoring.feed_had_todays_papers(DAY)

    IngestRun.objects.filter(started_at=at - HOUR).update(started_at=at)

    assert monitoring.feed_had_todays_papers(DAY)
