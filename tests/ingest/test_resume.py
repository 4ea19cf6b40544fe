"""Abandoned runs are resumed, and each run says what happens next."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from digest import tasks
from digest.ingest import oai_harvest, rerun, run_source
from digest.ingest.reader_requests import pending_papers
from digest.ingest.sources import arxiv_calendar
from digest.models import IngestRun, Paper
from tests import make
from tests.ingest.fake_sources import Record, batch, busy, paper
from tests.make import DAY

pytestmark = [pytest.mark.django_db, pytest.mark.both]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now():
    """The true time: leases are kept by the clock of the machine."""
    return timezone.now()


def create_run(settings, now, ago=6 * MINUTE, **fields):
    return IngestRun.objects.create(
        source="arxiv",
        **{"kind": "harvest", **fields},
        origin=settings.ARXIV_OAI_URL,
        set_spec="cs",
        window_from=DAY,
        started_at=now - ago,
    )


def dead_worker_id():
    """The name of a program that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as program:
        program.wait()
    return oai_harvest.worker_id().replace(f":{os.getpid()}", f":{program.pid}")


def test_paper_of_a_lost_task_is_fetched(sources, now):
    sources.papers = [paper(7, DAY)]
    waiting = run_source.create_paper_run("2611.20007", now - 11 * MINUTE)

    (run,) = rerun.resume_abandoned(now)

    assert (run.pk, run.state, run.new) == (waiting.pk, "done", 1)
    assert Paper.objects.get().identifier == "2611.20007"
    assert rerun.resume_abandoned(now) == []


def test_recently_submitted_paper_is_left_to_its_task(sources, now):
    run = run_source.create_paper_run("2611.20007", now - 2 * MINUTE)

    assert rerun.resume_abandoned(now) == []
    assert rerun.next_step(run, now) == "Waiting for a worker."


def test_paper_claimed_by_another_worker_is_left_to_it(sources, now):
    run_source.create_paper_run("2611.20007", now - 11 * MINUTE)
    IngestRun.objects.update(heartbeat_at=now)

    assert rerun.resume_abandoned(now) == []
    assert not sources.requests["api"]


def test_two_workers_do_not_fetch_the_same_paper(sources, now):
    sources.papers = [paper(7, DAY)]
    run = run_source.create_paper_run("2611.20007", now - 11 * MINUTE)
    seen_by_another = IngestRun.objects.get(pk=run.pk)

    rerun._resume_run(run, now)
    rerun._resume_run(seen_by_another, now)

    assert len(sources.requests["api"]) == 1


def test_harvest_of_a_dead_worker_is_resumed_at_its_page(sources, settings, now):
    sources.records = [Record(listing, DAY) for listing in batch(DAY, 8)]
    run_left = create_run(
        settings,
        now,
        MINUTE,
        heartbeat_at=now,
        worker_id=dead_worker_id(),
        token=f"{DAY}||cs|3",
    )

    (run,) = rerun.resume_abandoned(now)

    assert (run.pk, run.state, run.records) == (run_left.pk, "done", 5)


def test_harvest_of_an_unknown_worker_is_resumed_after_its_lease(
    sources, settings, now
):
    sources.records = [Record(listing, DAY) for listing in batch(DAY, 8)]
    create_run(
        settings, now, 30 * MINUTE, heartbeat_at=now - 9 * MINUTE, worker_id="else:1"
    )
    assert rerun.resume_abandoned(now) == []

    (run,) = rerun.resume_abandoned(now + 2 * MINUTE)

    assert (run.state, run.new) == ("done", 8)


def test_harvest_abandoned_for_a_day_is_closed_as_failed(sources, settings, now):
    run_left = create_run(
        settings, now, timedelta(days=1), heartbeat_at=now - timedelta(days=1)
    )

    rerun.resume_abandoned(now)

    run_left.refresh_from_db()
    assert (run_left.state, run_left.finished_at >= now) == ("failed", True)
    assert oai_harvest.WORKER_DIED in run_left.error
    assert not sources.requests["oai"]


def test_abandoned_runs_are_resumed_a_few_at_a_time(sources, now, monkeypatch):
    monkeypatch.setattr(rerun, "MAX_RESUMED_RUNS", 2)
    sources.papers = batch(DAY, 3)
    for listing in sources.papers:
        run_source.create_paper_run(listing.identifier, now - 11 * MINUTE)

    assert [len(rerun.resume_abandoned(now)) for _ in range(3)] == [2, 1, 0]


def test_task_resumes_and_ranks(sources, now):
    sources.papers = [paper(7, DAY)]
    run_source.create_paper_run(sources.papers[0].identifier, now - 11 * MINUTE)

    tasks.resume_abandoned_runs()

    assert Paper.objects.filter(candidacies__isnull=False).count() == 1


def test_waiting_paper_is_fetched_by_its_own_run(sources, now):
    sources.papers = [paper(7, DAY)]
    waiting = run_source.create_paper_run("2611.20007", now)

    (run,) = rerun.run_again(waiting, now)

    assert (run.pk, run.state) == (waiting.pk, "done")


# What comes next, in words


def test_abandoned_run_says_that_it_is_resumed(settings, now):
    run = create_run(
        settings, now, MINUTE, heartbeat_at=now, worker_id=dead_worker_id()
    )

    assert "resumed within ten minutes" in rerun.next_step(run, now)


def test_running_harvest_says_its_progress(settings, now):
    run = create_run(
        settings, now, heartbeat_at=now, records=3000, expected_records=8200
    )

    assert rerun.next_step(run, now) == "Running: 3,000 of 8,200 records so far."


def lists_of_readers(now):
    """A reader wants a paper that we do not know."""
    pending_papers.request_papers(make.subscriber(), ["2611.20007"], now)
    return pending_papers.fetch_pending(now)


def test_pending_papers_run_can_be_repeated(sources, now):
    sources.faults["api"] = [busy(404)]
    (failed,) = lists_of_readers(now)
    sources.papers = [paper(7, DAY)]

    (run,) = rerun.run_again(failed, now)

    assert (failed.state, run.state, run.new) == ("failed", "done", 1)


@pytest.mark.parametrize(
    ("kind", "today", "later"),
    [
        ("feed", "every 20 minutes", "Later runs"),
        ("list", "within two hours", "Later runs"),
        ("check", "within the hour", "next daily check"),
        ("gap", "three times a day", "three times a day"),
        ("window", "The same backfill", "The same backfill"),
        ("paper", "Run again", "Run again"),
        ("wanted", "within two hours", "within two hours"),
        ("document", "Run again", "Run again"),
    ],
)
def test_failed_run_says_what_happens_next(
    kind, today, later, sources, settings, now, tmp_path
):
    settings.ARXIV_OAI_URL = f"{settings.ARXIV_OAI_URL}/nowhere"
    sources.faults.update(feed=[busy(404)], daily=[busy(404)], api=[busy(404)])
    run = {
        "feed": lambda: run_source.ingest_feed(now)[0],
        "list": lambda: run_source.ingest_huggingface_day(now.date(), now),
        "check": lambda: create_run(
            settings, now, MINUTE, kind="daily_check", state="failed"
        ),
        "gap": lambda: create_run(settings, now, state="failed"),
        "window": lambda: oai_harvest.backfill(arxiv_calendar.today(now), now)[0],
        "paper": lambda: run_source.fetch_paper(
            run_source.create_paper_run("2611.20007", now), now
        ),
        "wanted": lambda: lists_of_readers(now)[0],
        "document": lambda: run_source.ingest_documents([tmp_path / "none.xml"], now)[
            0
        ],
    }[kind]()

    assert run.state == "failed"
    assert today in rerun.next_step(run, now)
    assert later in rerun.next_step(run, now + timedelta(days=2))


def test_done_run_has_no_next_step(sources, now):
    (run,) = run_source.ingest_feed(now)

    assert rerun.next_step(run, now) == ""
