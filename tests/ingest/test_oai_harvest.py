"""Harvests of OAI-PMH: pages, tokens, leases, backfill and missing days."""

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from digest import tasks
from digest.ingest import oai_harvest
from digest.ingest.oai_harvest import backfill, fill_gaps
from digest.ingest.sources import arxiv_calendar, arxiv_oai, http
from digest.models import IngestRun, Paper, Recall
from tests import make, processes
from tests.ingest.fake_sources import (
    Record,
    Response,
    batch,
    busy,
    cut,
    oai_error,
    paper,
)
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]
MONDAY = date(2026, 11, 16)


def announce(sources, *days, size=8):
    """Records of these days, as OAI-PMH would have them that night."""
    for day in days:
        sources.records += [Record(listing, day) for listing in batch(day, size)]


def test_window_is_harvested_page_by_page(sources):
    announce(sources, DAY)

    (run,) = backfill(DAY, NOW)

    run.refresh_from_db()
    assert (run.state, run.token, run.pages, run.records) == ("done", "", 3, 8)
    assert (run.new, run.expected_records, run.set_spec) == (8, 8, "cs")
    assert run.started_at < run.finished_at
    assert set(Paper.objects.values_list("announced_on", "announce_type")) == {
        (DAY, "new")
    }


def test_window_without_records_is_done(sources):
    (run,) = backfill(DAY, NOW)

    assert (run.state, run.records) == ("done", 0)


def test_harvest_stores_selected_categories_and_cross_lists(sources):
    guest = paper(50, DAY, "cs.CV")
    guest = type(guest)(**{**guest.__dict__, "categories": ("cs.CV", "cs.AI")})
    sources.records = [Record(paper(51, DAY, "cs.CV"), DAY), Record(guest, DAY)]

    backfill(DAY, NOW)

    assert Paper.objects.get().announce_type == "cross"


def test_stored_paper_keeps_its_day_and_takes_the_newer_text(sources):
    old = make.paper("Old title", identifier="2611.20001", announced_on=MONDAY)
    sources.records = [Record(paper(1, DAY, version=2), DAY)]

    (run,) = backfill(DAY, NOW)

    old.refresh_from_db()
    assert (run.new, run.updated) == (0, 1)
    assert (old.announced_on, old.version) == (MONDAY, 2)
    assert old.title.startswith("Invented Paper 1")


def test_deleted_and_withdrawn_papers_are_recalled_once(sources):
    gone = make.paper(identifier="2611.20001")
    back = paper(2, DAY)
    back = type(back)(**{**back.__dict__, "comments": "Withdrawn by the authors"})
    sources.records = [
        Record(paper(1, DAY), DAY, deleted=True),
        Record(back, DAY),
        Record(paper(3, DAY), DAY, deleted=True),  # never stored
    ]

    first, second = backfill(DAY, NOW), backfill(DAY, NOW, again=True)

    assert [run.withdrawn for run in (*first, *second)] == [2, 0]
    recalled = set(Recall.objects.values_list("paper__identifier", flat=True))
    assert recalled == {gone.identifier, "2611.20002"}


def test_truncated_page_keeps_the_pages_before_it(sources):
    announce(sources, DAY)
    sources.faults["oai"] = [lambda answer: answer, cut]

    (run,) = backfill(DAY, NOW)

    run.refresh_from_db()
    assert (run.state, run.pages, run.new) == ("failed", 1, 3)
    assert "cut or broken" in run.error
    assert run.token.endswith("|3")
    assert Paper.objects.count() == 3


def test_backfill_resumes_at_the_failed_page(sources):
    announce(sources, DAY)
    sources.faults["oai"] = [lambda answer: answer, cut]
    (failed,) = backfill(DAY, NOW)
    sources.requests.clear()

    (run,) = backfill(DAY, NOW)

    assert run.pk == failed.pk
    assert (run.state, run.pages, run.new, run.error) == ("done", 3, 8, "")
    assert len(sources.requests["oai"]) == 2
    assert "resumptionToken" in sources.requests["oai"][0].args


def test_done_window_is_skipped_unless_again(sources):
    announce(sources, DAY)
    backfill(DAY, NOW)

    assert backfill(DAY, NOW) == []
    (again,) = backfill(DAY, NOW, again=True)
    assert (again.new, again.unchanged) == (0, 8)
    assert set(IngestRun.objects.values_list("state", "error")) == {("done", "")}


def test_window_of_another_oai_url_is_not_resumed(sources):
    announce(sources, DAY)
    sources.faults["oai"] = [lambda answer: answer, cut]
    (elsewhere,) = backfill(DAY, NOW)
    IngestRun.objects.update(origin="https://export.arxiv.org/oai2")

    (run,) = backfill(DAY, NOW)

    assert (run.pk != elsewhere.pk, run.state, run.records) == (True, "done", 8)


def test_each_page_renews_the_lease_and_is_reported(sources):
    announce(sources, DAY)
    seen = []

    def report(run):
        stored = IngestRun.objects.get()
        seen.append((stored.pages, stored.records, stored.heartbeat_at))

    backfill(DAY, NOW, report=report)

    pages, records, moments = zip(*seen, strict=True)
    assert (pages, records) == ((1, 2, 3), (3, 6, 8))
    assert len(set(moments)) == 3
    assert list(moments) == sorted(moments)


def test_interrupted_window_is_resumed(sources):
    announce(sources, DAY)

    def interrupt(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill(DAY, NOW, report=interrupt)
    stopped = IngestRun.objects.get()
    sources.requests.clear()
    (run,) = backfill(DAY, NOW)

    assert (stopped.state, stopped.pages, stopped.new) == ("failed", 1, 3)
    assert stopped.error == "interrupted: run it again to continue here"
    assert (run.pk, run.state, run.new) == (stopped.pk, "done", 8)
    assert len(sources.requests["oai"]) == 2


def test_unexpected_error_stops_only_its_window(sources, monkeypatch, caplog):
    announce(sources, date(2026, 11, 10), DAY)
    save, left = IngestRun.save, [OperationalError("the disk is full")]

    def fail_once(run, *args, **named):
        if run.pages and left:
            raise left.pop()
        save(run, *args, **named)

    monkeypatch.setattr(IngestRun, "save", fail_once)
    failed, done = backfill(date(2026, 11, 9), NOW)

    assert failed.error == "stopped by OperationalError: see the log"
    assert (failed.state, failed.pages, done.new) == ("failed", 0, 8)
    assert "harvest stopped" in caplog.text
    assert Paper.objects.count() == 8


@pytest.mark.parametrize("versions", [(1, 2), (2, 1)])
def test_version_change_between_pages_keeps_one_paper(sources, versions):
    first, second = (
        replace(paper(1, DAY, version=number), title_raw=f"Title {number}")
        for number in versions
    )
    others = batch(DAY, 4, first=2)
    sources.records = [Record(listing, DAY) for listing in (first, *others, second)]

    (run,) = backfill(DAY, NOW)

    assert (run.new, Paper.objects.count(), run.records) == (5, 5, 6)
    stored = Paper.objects.get(identifier=first.identifier)
    assert (stored.version, stored.title, stored.announced_on) == (2, "Title 2", DAY)


def test_total_of_an_earlier_page_is_kept(sources):
    announce(sources, DAY)
    total = re.compile(rb'completeListSize="8"')
    sources.faults["oai"] = [
        lambda answer: answer,
        lambda answer: Response(total.sub(b"", answer.get_data())),
        cut,
    ]

    (run,) = backfill(DAY, NOW)

    run.refresh_from_db()
    assert (run.pages, run.expected_records) == (2, 8)


def test_expired_token_restarts_the_window_once(sources):
    announce(sources, DAY)
    expired = Response(oai_error("badResumptionToken"))
    sources.faults["oai"] = [lambda answer: answer, expired]

    (run,) = backfill(DAY, NOW)

    assert (run.state, run.records, Paper.objects.count()) == ("done", 8, 8)
    tokens = [
        request.args.get("resumptionToken", "")[-2:]
        for request in sources.requests["oai"]
    ]
    assert tokens == ["", "|3", "", "|3", "|6"]


def test_token_that_always_expires_is_given_up(sources):
    announce(sources, DAY)
    expired = Response(oai_error("badResumptionToken"))
    sources.faults["oai"] = [lambda answer: answer, expired] * 5

    (run,) = backfill(DAY, NOW)

    assert run.state == "failed"
    assert "badResumptionToken" in run.error
    assert len(sources.requests["oai"]) == 4


def test_repeated_page_ends_the_harvest(sources):
    announce(sources, DAY)
    first = f"{DAY}|{DAY}|cs|3"
    again = Response(
        oai_error("x").replace(
            '<error code="x">message</error>',
            f"<ListRecords><resumptionToken>{first}</resumptionToken></ListRecords>",
        )
    )
    sources.faults["oai"] = [lambda answer: answer, again, again]

    (run,) = backfill(DAY, NOW)

    assert (run.state, run.pages) == ("failed", 1)
    assert "repeats its pages without end" in run.error


def turned_back(answer):
    """The third page names the second again."""
    return Response(answer.get_data().replace(b"|9<", b"|3<"))


def test_circular_tokens_end_the_harvest(sources):
    announce(sources, DAY, size=12)
    sources.faults["oai"] = [lambda answer: answer] * 2 + [turned_back]

    (run,) = backfill(DAY, NOW)

    assert (run.state, run.pages, run.new) == ("failed", 2, 6)
    assert "page 3 leads back to page 2" in run.error
    assert len(sources.requests["oai"]) == 3


def test_window_restarts_after_circular_tokens(sources):
    announce(sources, DAY, size=12)
    sources.faults["oai"] = [lambda answer: answer] * 2 + [turned_back]
    backfill(DAY, NOW)
    sources.requests.clear()

    (run,) = backfill(DAY, NOW + timedelta(hours=1))

    assert (run.state, run.pages, run.records, run.new) == ("done", 4, 12, 12)
    assert run.token_hashes == []
    assert "resumptionToken" not in sources.requests["oai"][0].args


def test_circular_tokens_are_detected_across_restarts(sources):
    announce(sources, DAY, size=12)
    sources.faults["oai"] = [lambda answer: answer] * 2 + [cut]
    (cut_off,) = backfill(DAY, NOW)
    sources.faults["oai"] = [turned_back]

    (run,) = backfill(DAY, NOW)

    assert run.pk == cut_off.pk
    assert "page 3 leads back to page 2" in run.error


def test_harvest_beyond_twice_its_total_is_ended(sources, monkeypatch):
    monkeypatch.setattr(oai_harvest, "MAX_EXCESS_RECORDS", 3)
    announce(sources, DAY, size=60)
    few = re.compile(rb'completeListSize="60"')
    sources.faults["oai"] = [
        lambda answer: Response(few.sub(b'completeListSize="4"', answer.get_data()))
    ] * 9

    (run,) = backfill(DAY, NOW)

    assert (run.state, run.pages) == ("failed", 3)
    assert "12 records on 4 pages without an end, where 4 were expected" in run.error


def test_harvest_without_total_is_ended_after_many_pages(sources, monkeypatch):
    monkeypatch.setattr(oai_harvest, "MAX_UNCOUNTED_PAGES", 5)
    announce(sources, DAY, size=60)
    sources.faults["oai"] = [
        lambda answer: Response(
            re.sub(rb'completeListSize="60"', b"", answer.get_data())
        )
    ] * 9

    (run,) = backfill(DAY, NOW)

    assert "15 records on 5 pages without an end" in run.error


def test_failed_window_does_not_stop_the_next(sources):
    announce(sources, date(2026, 11, 10), DAY)
    sources.faults["oai"] = [cut]

    failed, done = backfill(date(2026, 11, 9), NOW)

    assert (failed.state, done.state, done.new) == ("failed", "done", 8)


def test_unreachable_source_ends_the_backfill(sources):
    sources.faults["oai"] = [busy()] * 10

    (run,) = backfill(date(2026, 11, 2), NOW)

    assert (run.state, run.failure) == ("failed", "unreachable")
    assert len(sources.requests["oai"]) == http.MAX_ATTEMPTS


def test_window_of_another_worker_is_left_to_it(sources, settings):
    announce(sources, DAY)
    existing = IngestRun.objects.create(
        kind="harvest",
        source="arxiv",
        origin=settings.ARXIV_OAI_URL,
        set_spec="cs",
        window_from=DAY,
        window_until=DAY,
        started_at=NOW,
        heartbeat_at=timezone.now(),
    )

    (run,) = backfill(DAY, NOW)

    assert (run.pk, run.state) == (existing.pk, "running")
    assert not sources.requests["oai"]


def create_run_of(name, settings):
    return IngestRun.objects.create(
        kind="harvest",
        source="arxiv",
        origin=settings.ARXIV_OAI_URL,
        set_spec="cs",
        window_from=DAY,
        window_until=DAY,
        started_at=NOW,
        heartbeat_at=timezone.now(),
        worker_id=name,
    )


def test_window_of_a_dead_worker_is_resumed_at_once(sources, settings):
    announce(sources, DAY)
    with subprocess.Popen([sys.executable, "-c", ""]) as program:
        program.wait()
    existing = create_run_of(
        oai_harvest.worker_id().replace(f":{os.getpid()}", f":{program.pid}"), settings
    )

    (run,) = backfill(DAY, NOW)

    assert (run.pk, run.state, run.worker_id) == (
        existing.pk,
        "done",
        oai_harvest.worker_id(),
    )


@pytest.mark.parametrize("place", ["another machine", ""])
def test_worker_of_another_machine_may_be_alive(sources, settings, place):
    with subprocess.Popen([sys.executable, "-c", ""]) as program:
        program.wait()
    create_run_of(f"{place}:{program.pid}", settings)

    (run,) = backfill(DAY, NOW)

    assert run.state == "running"
    assert not sources.requests["oai"]


def test_running_worker_is_not_dead():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as program:
        assert not oai_harvest.is_worker_dead(
            f"{oai_harvest.worker_id().rpartition(':')[0]}:{program.pid}"
        )
        program.communicate(b"\n")
    assert not oai_harvest.is_worker_dead(oai_harvest.worker_id())
    assert not oai_harvest.is_worker_dead(
        f"{oai_harvest.worker_id().rpartition(':')[0]}:1"
    )


def test_windows_are_weeks_of_each_archive():
    windows = list(oai_harvest.week_windows(date(2026, 11, 2), DAY))

    assert [(week.first.day, week.last.day, week.set_spec) for week in windows] == [
        (2, 8, "cs"),
        (9, 15, "cs"),
        (16, 20, "cs"),
    ]
    assert all(isinstance(week, arxiv_oai.Window) for week in windows)


# Gaps


def test_missing_day_is_filled(sources):
    for day in (MONDAY, date(2026, 11, 17)):
        make.paper(announced_on=day)
    announce(sources, date(2026, 11, 18), date(2026, 11, 19), DAY)

    runs = fill_gaps(datetime(2026, 11, 20, 15, 50, tzinfo=UTC))

    assert [(run.window_from.day, run.window_until) for run in runs] == [(18, None)]
    days = set(Paper.objects.values_list("announced_on", flat=True))
    assert {day.day for day in days} == {16, 17, 18, 19, 20}
    assert fill_gaps(datetime(2026, 11, 20, 20, 50, tzinfo=UTC)) == []


def test_lagging_category_is_filled(sources):
    for back in range(1, 5):
        for primary in ("cs.AI", "cs.LG"):
            for _ in range(6):
                make.paper(announced_on=DAY - timedelta(days=back), primary=primary)
    for _ in range(6):
        make.paper(primary="cs.LG")
    sources.records = [Record(listing, DAY) for listing in batch(DAY, 6, "cs.AI")]

    (run,) = fill_gaps(NOW)

    assert run.new == 6
    assert fill_gaps(NOW + timedelta(hours=5)) == []


def test_abandoned_window_is_closed_by_the_next_run(sources, settings):
    announce(sources, DAY)
    abandoned = IngestRun.objects.create(
        kind="harvest",
        source="arxiv",
        origin=settings.ARXIV_OAI_URL,
        set_spec="cs",
        window_from=DAY,
        window_until=DAY,
        started_at=NOW - timedelta(days=2),
        heartbeat_at=NOW - timedelta(days=2),
    )

    (run,) = backfill(DAY, NOW)

    abandoned.refresh_from_db()
    assert (abandoned.state, run.state) == ("failed", "done")
    assert oai_harvest.WORKER_DIED in abandoned.error


def test_task_ranks_after_filling_a_day(sources, monkeypatch):
    monkeypatch.setattr(tasks.timezone, "now", lambda: NOW + timedelta(hours=8))
    make.paper(announced_on=date(2026, 11, 18))
    announce(sources, date(2026, 11, 19), DAY)

    tasks.fill_missing_days()

    assert Paper.objects.filter(candidacies__edition__day=DAY).count() == 17


# By hand


def arxivs_today():
    """For hours of each night this is UTC's yesterday."""
    return arxiv_calendar.today(timezone.now())


def test_command_prints_the_result_of_each_window(sources, capsys):
    today = arxivs_today()
    sources.records = [Record(paper(1, DAY), today)]

    call_command("backfill", "--since", f"{today - timedelta(days=1)}")

    out = capsys.readouterr().out.splitlines()
    assert out[-1].endswith("1 records, 1 new papers")
    assert "new 1, updated 0, unchanged 0" in out[0] + out[-2]


def test_command_fails_if_a_window_failed(sources, capsys):
    sources.faults["oai"] = [cut, cut]
    announce(sources, arxivs_today())

    with pytest.raises(CommandError, match="windows are not done"):
        call_command("backfill", "--since", f"{arxivs_today()}")

    assert "stopped after 0 pages" in capsys.readouterr().out


def test_interrupted_command_says_how_to_continue(sources, monkeypatch):
    today = arxivs_today()
    sources.records = [Record(listing, today) for listing in batch(DAY, 8)]
    ask, left = arxiv_oai.fetch, [None]

    def interrupt_second(*arguments):
        if arguments[2] and left:
            left.pop()
            raise KeyboardInterrupt
        return ask(*arguments)

    monkeypatch.setattr(arxiv_oai, "fetch", interrupt_second)
    by_hand = ("backfill", "--since", f"{today}")
    with pytest.raises(CommandError, match="stopped: run the same command to continue"):
        call_command(*by_hand)
    call_command(*by_hand)

    run = IngestRun.objects.get()
    assert (run.state, run.records, Paper.objects.count()) == ("done", 8, 8)


def test_command_refuses_a_future_day(sources):
    with pytest.raises(CommandError, match="is in the future"):
        call_command("backfill", "--since", "2999-01-01")


SWEEP = ("shell", "-c", "from digest import tasks; tasks.resume_abandoned_runs()")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("next_one", ["backfill", "sweep"])
def test_killed_harvest_loses_and_repeats_nothing(
    next_one, sources, tmp_path, settings
):
    """The next one, the same command or the worker's task, does not wait for the dead."""
    today = arxivs_today()
    sources.page_size = 5
    sources.records = [Record(listing, today) for listing in batch(DAY, 60)]
    killed = threading.Event()
    unchanged, late = (lambda page: page), lambda page: killed.wait(60) and page
    sources.faults["oai"] = [*[unchanged] * 4, late]
    log = tmp_path / "log"
    own = {
        "ARXIV_OAI_URL": settings.ARXIV_OAI_URL,
        "ARXIV_CATEGORIES": "cs.AI,cs.LG",
        "VAR_DIR": tmp_path,
        "REDIS_URL": "",
    }
    by_hand = ("backfill", "--since", f"{today}")

    with processes.run_program(
        "tests.manage_without_pause", *by_hand, log=log, **own
    ) as program:
        processes.wait_until(lambda: Paper.objects.count() == 20, log)
        program.kill()
        program.wait()
    killed.set()
    before = IngestRun.objects.get()
    sources.requests.clear()
    then = {"backfill": by_hand, "sweep": SWEEP}[next_one]
    with processes.run_program(
        "tests.manage_without_pause", *then, log=log, **own
    ) as program:
        assert program.wait(60) == 0, log.read_text()

    run = IngestRun.objects.get()
    assert (before.state, run.state) == ("running", "done")
    assert (before.records, before.pages) == (20, 4)
    assert (run.records, run.new, run.pages) == (60, 60, 12)
    assert Paper.objects.count() == 60
    assert len(sources.requests["oai"]) == 12 - before.pages
