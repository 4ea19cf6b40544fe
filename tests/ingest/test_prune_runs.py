"""The ledger forgets what brought nothing, and nothing that anybody still reads."""

from datetime import timedelta

import pytest

from digest import tasks
from digest.ingest import daily_check, monitoring, prune_runs, run_source
from digest.models import IngestRun
from digest.site import health
from tests.ingest.fake_sources import batch
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def run(days, source="huggingface", state="done", **fields):
    at = NOW - timedelta(days=days)
    given = {"origin": f"list of {days} days ago", **fields}
    return IngestRun.objects.create(source=source, state=state, started_at=at, **given)


def left():
    return set(IngestRun.objects.values_list("pk", flat=True))


def test_old_readings_without_papers_go_and_young_ones_stay():
    old, young, newest = run(91), run(89), run(1)

    assert prune_runs.prune_runs(NOW) == 1
    assert left() == {young.pk, newest.pk}
    assert old.pk not in left()


def test_what_brought_papers_stays_for_good():
    bringing = run(900, new=3)
    run(100)
    young = run(1)

    prune_runs.prune_runs(NOW)

    assert left() == {bringing.pk, young.pk}


def test_failures_stay_for_a_year_and_what_runs_is_not_touched():
    young = {run(1).pk, run(364, state="failed").pk, run(900, state="running").pk}
    run(366, state="failed")

    assert prune_runs.prune_runs(NOW) == 1
    assert left() == young


def test_a_site_that_has_long_read_nothing_is_not_taken_for_a_new_one(time_machine):
    time_machine.move_to(NOW)
    run(120)
    last = run(110)

    prune_runs.prune_runs(NOW)

    assert health.last_ingest_at() == last.started_at


def test_the_beginning_of_our_record_does_not_move(settings):
    run(400, "arxiv", "failed")
    run(1, "arxiv", "failed")
    before = monitoring.missing_days(NOW)

    prune_runs.prune_runs(NOW)

    assert before
    assert monitoring.missing_days(NOW) == before


def test_the_next_check_begins_where_it_would_have(sources):
    run(200, "arxiv")
    run(100, "arxiv", kind="daily_check", set_spec="cs")
    run(1)
    before = daily_check._first_day("cs", NOW)

    prune_runs.prune_runs(NOW)

    assert (
        daily_check._first_day("cs", NOW)
        == before
        == DAY - timedelta(monitoring.LOOK_BACK_DAYS)
    )


def test_of_old_checks_and_feeds_the_newest_whole_one_of_each_stays(settings):
    beginning, checks = run(900, "arxiv", "failed", new=1), {"kind": "daily_check"}
    kept = [
        run(200, "arxiv", set_spec="cs", **checks),
        run(200, "arxiv", set_spec="stat", **checks),
        run(200, "arxiv", kind="feed", origin="https://feed/cs.AI"),
        run(200, "arxiv", kind="feed", origin="https://feed/cs.LG"),
        run(1),
    ]
    for part in ("cs", "cs", "stat", "math"):  # harvests: nobody asks for their newest
        run(150, "arxiv", kind="harvest", set_spec=part)
    run(100, "arxiv", "failed", set_spec="cs", **checks)
    IngestRun.objects.filter(state="failed", kind="daily_check").update(
        started_at=NOW - timedelta(days=400)
    )

    assert prune_runs.prune_runs(NOW) == 5
    assert left() == {beginning.pk, *(one.pk for one in kept)}


def test_the_newest_whole_reading_is_the_newest_and_whole():
    run(300, "huggingface")
    newest = run(200)
    failed = run(150, state="failed")

    prune_runs.prune_runs(NOW)

    assert left() == {newest.pk, failed.pk}


def test_a_feed_is_still_asked_whether_it_changed(sources):
    long_ago = timedelta(days=100)
    sources.etag, sources.feed_day = '"one"', DAY - long_ago
    sources.announced = batch(sources.feed_day)
    run_source.ingest_feed(NOW - long_ago)
    IngestRun.objects.update(new=0)
    origin = IngestRun.objects.get().origin
    for days in (99, 98):
        run(days, "arxiv", kind="feed", origin=origin, feed_state="unchanged")
    run(1)

    assert prune_runs.prune_runs(NOW) == 2
    assert run_source._last_validators(origin).etag == '"one"'


def test_the_task_trims(monkeypatch):
    monkeypatch.setattr(tasks.timezone, "now", lambda: NOW)
    run(91)
    run(1)

    tasks.prune_ingest_runs()

    assert len(left()) == 1


def test_no_row_points_to_a_run():
    """Or trimming would take it along."""
    assert not IngestRun._meta.related_objects
