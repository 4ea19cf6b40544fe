"""Feeds near arXiv's maximum of entries are split; added categories are backfilled."""

from datetime import UTC, datetime, timedelta

import pytest
from werkzeug import Response

from digest import tasks
from digest.ingest import monitoring, oai_harvest, run_source
from digest.ingest.sources import arxiv_feed
from digest.models import IngestRun, Paper
from tests.ingest import documents
from tests.ingest.fake_sources import Record, batch, busy
from tests.make import DAY

pytestmark = [pytest.mark.django_db, pytest.mark.both]
MORNING = datetime(2026, 11, 20, 5, 30, tzinfo=UTC)
MAX_ENTRIES = 8


@pytest.fixture
def feeds(sources, settings, monkeypatch):
    """Serves each category's own papers, at most eight in one feed."""
    settings.ARXIV_CATEGORIES = ["cs.AI", "cs.CV", "cs.LG", "stat.ML"]
    monkeypatch.setattr(arxiv_feed, "MAX_ENTRIES", MAX_ENTRIES)

    def answer(request):
        names = request.path.rpartition("/")[2].split("+")
        listings = [
            listing for listing in sources.announced if listing.primary in names
        ]
        return Response(
            documents.write_atom_feed(listings[:MAX_ENTRIES], sources.feed_day)
        )

    sources.answer_feed = answer
    sources.faults["feed"] = []
    return sources


def serve(feeds, sizes):
    """Announce this number of papers in each category; OAI-PMH has all of them."""
    first = 1
    feeds.announced = []
    for primary, size in sizes.items():
        feeds.announced += batch(DAY, size, primary, first)
        first += size
    feeds.records = [Record(listing, DAY) for listing in feeds.announced]
    feeds.page_size = 100
    feeds.faults["feed"] = [
        lambda _: feeds.answer_feed(feeds.requests["feed"][-1])
    ] * 20


def paths(feeds):
    return [request.path.rpartition("/")[2] for request in feeds.requests["feed"]]


def test_feed_at_the_maximum_is_read_again_by_halves(feeds):
    serve(feeds, {"cs.AI": 3, "cs.CV": 2, "cs.LG": 3, "stat.ML": 2})

    runs = run_source.poll_feed(MORNING)

    assert paths(feeds) == ["cs.AI+cs.CV+cs.LG+stat.ML", "cs.AI+cs.CV", "cs.LG+stat.ML"]
    assert [run.feed_state for run in runs] == ["incomplete", "complete", "complete"]
    assert "incomplete: the feed ends after 8 entries" in runs[0].note
    assert Paper.objects.count() == 10
    assert monitoring.todays_feed_done(MORNING)


def test_feed_that_came_near_the_maximum_is_split_on_the_next_day(feeds):
    serve(feeds, {"cs.AI": 3, "cs.CV": 2, "cs.LG": 1, "stat.ML": 1})
    run_source.poll_feed(MORNING)
    feeds.requests.clear()

    run_source.ingest_feed(MORNING + timedelta(days=1))

    assert paths(feeds) == ["cs.AI+cs.CV", "cs.LG+stat.ML"]


def test_small_feed_is_not_split(feeds):
    serve(feeds, {"cs.AI": 3, "cs.LG": 2})
    run_source.poll_feed(MORNING)

    run_source.ingest_feed(MORNING + timedelta(days=1))

    assert paths(feeds) == ["cs.AI+cs.CV+cs.LG+stat.ML"] * 2


def test_day_is_not_done_while_one_group_is_unread(feeds):
    serve(feeds, {"cs.AI": 3, "cs.CV": 2, "cs.LG": 1, "stat.ML": 1})
    IngestRun.objects.create(
        kind="feed",
        state="done",
        feed_state="complete",
        categories=["cs.AI", "cs.CV"],
        origin="x",
        started_at=MORNING,
    )
    Paper.objects.all().delete()
    run_source.ingest_documents([], MORNING)
    run_source.store([*feeds.announced[:3]], IngestRun(started_at=MORNING), MORNING)

    assert monitoring.unread_today(DAY) == ["cs.LG", "stat.ML"]
    assert not monitoring.todays_feed_done(MORNING)


def test_category_that_fills_a_feed_alone_is_completed_from_oai_at_once(
    feeds, settings, time_machine
):
    time_machine.move_to(MORNING)
    settings.ARXIV_CATEGORIES = ["cs.LG"]
    serve(feeds, {"cs.LG": 12})

    tasks.ingest_announcements()

    feed, check = IngestRun.objects.order_by("pk")
    assert (feed.feed_state, feed.new) == ("incomplete", 8)
    assert (check.kind, check.new) == ("daily_check", 4)
    assert Paper.objects.count() == 12


def read_feed_of_tuesday(sources):
    sources.feed_day = DAY - timedelta(days=3)
    sources.announced = batch(sources.feed_day, 2)
    run_source.ingest_feed(MORNING - timedelta(days=3))


def test_added_category_is_backfilled_for_the_days_of_candidates(sources, settings):
    settings.ARXIV_CATEGORIES = ["cs.LG"]
    read_feed_of_tuesday(sources)
    assert monitoring.added_categories(MORNING) == []
    settings.ARXIV_CATEGORIES = ["cs.LG", "stat.ML"]
    earlier = DAY - timedelta(days=9)
    sources.records = [
        Record(listing, earlier) for listing in batch(earlier, 3, "stat.ML")
    ]

    runs = oai_harvest.fill_gaps(MORNING)

    (run,) = [run for run in runs if run.categories]
    assert (run.set_spec, run.new, run.categories) == ("stat", 3, ["stat.ML"])
    assert run.window_from == DAY - timedelta(days=13)
    assert run.note == "backfill of added categories: stat.ML"
    assert monitoring.added_categories(MORNING + timedelta(hours=5)) == []


def test_failed_backfill_of_an_added_category_is_repeated(sources, settings):
    settings.ARXIV_CATEGORIES = ["cs.LG"]
    read_feed_of_tuesday(sources)
    settings.ARXIV_CATEGORIES = ["cs.LG", "stat.ML"]
    sources.faults["oai"] = [busy(503)] * 3

    oai_harvest.backfill_added_categories(MORNING)

    assert monitoring.added_categories(MORNING) == ["stat.ML"]


def test_new_site_backfills_nothing(sources):
    sources.announced = batch(DAY, 2)
    run_source.ingest_feed(MORNING)

    assert monitoring.added_categories(MORNING) == []
    assert oai_harvest.backfill_added_categories(MORNING) == []


def test_whole_archive_is_read_by_feed_check_and_backfill(sources, settings):
    settings.ARXIV_CATEGORIES = ["cs"]
    sources.announced = batch(DAY, 2, "cs.CV")
    sources.records = [
        Record(listing, DAY)
        for listing in (*batch(DAY, 3, "cs.CV"), *batch(DAY, 2, "math.ST", first=9))
    ]

    (feed,) = run_source.poll_feed(MORNING)
    runs = tasks.daily_check.run_daily_check(MORNING)

    assert paths(sources) == ["cs"]
    assert [(run.set_spec, run.missed, run.confirmed) for run in runs] == [("cs", 1, 3)]
    assert (feed.feed_state, feed.categories) == ("complete", ["cs"])
    assert monitoring.todays_feed_done(MORNING)


# Back-off


def test_polling_backs_off_exponentially_while_arxiv_limits_requests(sources):
    sources.faults["feed"] = [busy(429)] * 99
    rounds = [MORNING + timedelta(minutes=20 * number) for number in range(24)]

    polled = [at for at in rounds if run_source.poll_feed(at)]

    minutes = [int((at - MORNING).total_seconds() // 60) for at in polled]
    assert minutes == [0, 40, 100, 220, 460]
    assert {run.failure for run in IngestRun.objects.all()} == {"rate_limited"}


def test_other_failures_do_not_slow_down_polling(sources):
    sources.faults["feed"] = [busy(503)] * 99
    rounds = [MORNING + timedelta(minutes=20 * number) for number in range(4)]

    assert all(run_source.poll_feed(at) for at in rounds)


def test_success_ends_the_back_off(sources):
    sources.faults["feed"] = [busy(429)] * 3
    run_source.ingest_feed(MORNING)
    assert monitoring.is_backing_off(MORNING + timedelta(minutes=20))
    sources.announced = batch(DAY, 2)

    run_source.ingest_feed(MORNING + timedelta(minutes=25))

    assert not monitoring.is_backing_off(MORNING + timedelta(minutes=26))
