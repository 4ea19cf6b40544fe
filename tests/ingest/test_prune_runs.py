"""Old ingest runs are deleted, except those that are still read."""

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


def test_prune_deletes_old_runs_without_papers():
    old, young, newest = run(91), run(89), run(1)

    assert prune_runs.prune_runs(NOW) == 1
    assert left() == {young.pk, newest.pk}
    assert old.pk not in left()


def test_prune_keeps_runs_that_added_papers():
    bringing = run(900, new=3)
    run(100)
    young = run(1)

    prune_runs.prune_runs(NOW)

    assert left() == {bringing.pk, young.pk}


def test_prune_keeps_failures_for_a_year_and_running_runs():
    young = {run(1).pk, run(364, state="failed").pk, run(900, state="running").pk}
    run(366, state="failed")

    assert prune_runs.prune_runs(NOW) == 1
    assert left() == young


def test_prune_keeps_the_newest_done_run(time_machine):
    time_machine.move_to(NOW)
    run(120)
    last = run(110)

    prune_runs.prune_runs(NOW)

    assert health.last_ingest_at() == last.started_at


def test_prune_does_not_move_the_start_of_the_record(settings):
    run(400, "arxiv", "failed")
    run(1, "arxiv", "failed")
    before = monitoring.missing_days(NOW)

    prune_runs.prune_runs(NOW)

    assert before
    assert monitoring.missing_days(NOW) == before


def test_prune_does_not_change_the_next_check(sources):
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


def test_prune_keeps_the_newest_done_check_and_feed_of_each(settings):
    beginning, checks = run(900, "arxiv", "failed", new=1), {"kind": "daily_check"}
    needed = [
        run(200, "arxiv", set_spec="cs", **checks),
        run(200, "arxiv", set_spec="stat", **checks),
        run(200, "arxiv", kind="feed", origin="https://feed/cs.AI"),
        run(200, "arxiv", kind="feed", origin="https://feed/cs.LG"),
        run(1),
    ]
    # The newest run of a harvest is not needed.
    for set_spec in ("cs", "cs", "stat", "math"):
        run(150, "arxiv", kind="harvest", set_spec=set_spec)
    run(100, "arxiv", "failed", set_spec="cs", **checks)
    IngestRun.objects.filter(state="failed", kind="daily_check").update(
        started_at=NOW - timedelta(days=400)
    )

    assert prune_runs.prune_runs(NOW) == 5
    assert left() == {beginning.pk, *(run.pk for run in needed)}


def test_prune_keeps_only_the_newest_done_run():
    run(300, "huggingface")
    newest = run(200)
    failed = run(150, state="failed")

    prune_runs.prune_runs(NOW)

    assert left() == {newest.pk, failed.pk}


def test_prune_keeps_the_validators_of_a_feed(sources):
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


def test_task_prunes_runs(monkeypatch):
    monkeypatch.setattr(tasks.timezone, "now", lambda: NOW)
    run(91)
    run(1)

    tasks.prune_ingest_runs()

    assert len(left()) == 1


def test_no_row_references_a_run():
    """Or trimming would take it along."""
    assert not IngestRun._meta.related_objects
