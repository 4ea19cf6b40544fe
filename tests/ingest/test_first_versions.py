"""Papers of an unread day that are replaced before the next reading are announced."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from digest import tasks
from digest.ingest import daily_check, oai_harvest, run_source
from digest.models import Candidate, IngestRun, Paper
from tests import make
from tests.ingest.fake_sources import Record, batch, paper
from tests.make import DAY

pytestmark = [pytest.mark.django_db, pytest.mark.both]
THURSDAY = DAY - timedelta(days=1)
MORNING = datetime.combine(DAY, time(5, 30), UTC)


@pytest.fixture
def replaced(sources):
    """First announced on Thursday and replaced on Friday."""
    make.paper(announced_on=date(2026, 11, 16))
    first = paper(50, THURSDAY)
    sources.announced = [
        *batch(DAY, 5),
        replace(first, version=2, announce_type="replace"),
    ]
    sources.records = [Record(listing, DAY) for listing in batch(DAY, 5)]
    sources.records.append(Record(replace(first, version=2), DAY))
    sources.page_size = 100
    return first


def read_feed(sources):
    sources.feed_day = DAY
    run_source.ingest_feed(MORNING)
    assert Paper.objects.get(version=2).announce_type == "replace"


def test_paper_of_unread_day_is_new_on_that_day_after_the_daily_check(
    sources, replaced
):
    read_feed(sources)

    (run,) = daily_check.run_daily_check(MORNING + timedelta(minutes=5))

    stored = Paper.objects.get(identifier=replaced.identifier)
    assert (stored.announce_type, stored.announced_on) == ("new", THURSDAY)
    assert (stored.version, run.missed) == (2, 1)


def test_paper_of_unread_day_is_new_on_that_day_after_a_backfill(sources, replaced):
    read_feed(sources)

    oai_harvest.backfill(THURSDAY, MORNING)

    stored = Paper.objects.get(identifier=replaced.identifier)
    assert (stored.announce_type, stored.announced_on) == ("new", THURSDAY)


def test_paper_of_unread_day_becomes_a_candidate_of_the_open_edition(
    sources, replaced, monkeypatch
):
    read_feed(sources)
    daily_check.run_daily_check(MORNING + timedelta(minutes=5))

    edition = tasks.rank_newest_edition(MORNING + timedelta(hours=1))

    assert edition.day == DAY
    candidates = Candidate.objects.filter(edition=edition)
    assert candidates.filter(paper__identifier=replaced.identifier).exists()


def test_replacement_of_a_day_that_was_read_stays_a_replacement(sources, replaced):
    IngestRun.objects.create(
        kind="feed",
        state="done",
        feed_state="complete",
        origin="x",
        started_at=MORNING - timedelta(days=1),
    )
    read_feed(sources)

    daily_check.run_daily_check(MORNING + timedelta(minutes=5))

    stored = Paper.objects.get(identifier=replaced.identifier)
    assert (stored.announce_type, stored.announced_on) == ("replace", DAY)


def test_replacement_of_a_paper_from_before_the_record_stays_a_replacement(sources):
    old = paper(50, date(2026, 11, 10))
    sources.announced = [
        *batch(DAY, 2),
        replace(old, version=2, announce_type="replace"),
    ]
    sources.records = [Record(replace(old, version=2), DAY)]
    read_feed(sources)

    daily_check.run_daily_check(MORNING + timedelta(minutes=5))

    assert Paper.objects.get(version=2).announce_type == "replace"
