"""Documents from files and sources, and the ingest command."""

import json
import shutil
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_httpserver import HTTPServer
from werkzeug import Response

from digest.ingest import run_source
from digest.ingest.run_source import (
    ingest_all_sources,
    ingest_attention,
    ingest_documents,
)
from digest.ingest.sources import huggingface
from digest.models import AttentionSample, IngestRun, Paper
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import ATOM, DAY_2025, DAY_2026, QUERY, RSS
from tests.make import NOW

pytestmark = pytest.mark.django_db


def lay(folder, *paths):
    for path in paths:
        shutil.copy(path, folder / f"{path.stem}.document")
    return folder


def test_source_of_a_document_is_detected_by_content(tmp_path):
    folder = lay(tmp_path, ATOM, RSS, DAY_2026, DAY_2025)

    runs = ingest_documents([folder], NOW)

    assert {run.source: run.state for run in runs} == {
        "arxiv": "done",
        "huggingface": "done",
    }
    assert Paper.objects.count() == 7


def test_folders_are_read_recursively_without_hidden_files(tmp_path):
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    shutil.copy(ATOM, tmp_path / "deep" / "deeper")
    (tmp_path / ".hidden").write_text("no document")

    runs = ingest_documents([tmp_path], NOW)

    assert [run.new for run in runs] == [4]


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n \t", b"\xef\xbb\xbf\n"])
def test_byte_order_mark_and_space_before_a_list_are_ignored(tmp_path, before):
    (tmp_path / "day").write_bytes(before + DAY_2026.read_bytes())

    (run,) = ingest_documents([tmp_path / "day"], NOW)

    assert (run.source, run.new, run.error) == ("huggingface", 2, "")


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b""])
def test_byte_order_mark_before_a_feed_is_ignored(tmp_path, before):
    (tmp_path / "feed").write_bytes(before + ATOM.read_bytes())

    (run,) = ingest_documents([tmp_path / "feed"], NOW)

    assert (run.source, run.new, run.error) == ("arxiv", 4, "")


@pytest.mark.parametrize("nothing", [b"", b" \n", b"\xef\xbb\xbf"])
def test_empty_document_is_refused(tmp_path, nothing):
    (tmp_path / "empty").write_bytes(nothing)

    (run,) = ingest_documents([tmp_path / "empty"], NOW)

    assert run.error == "the document is empty: fetch it again"


def test_unreadable_document_is_refused_with_the_reason(tmp_path):
    (run,) = ingest_documents([tmp_path / "missing"], NOW)

    assert run.error == "cannot be read (No such file or directory): check the path"


def test_end_of_a_long_path_is_kept(tmp_path):
    deep = tmp_path.joinpath(*["d" * 200] * 3)
    deep.mkdir(parents=True)
    shutil.copy(ATOM, deep / "feed.xml")

    (run,) = ingest_documents([tmp_path], NOW)

    run.refresh_from_db()
    assert run.origin == str(deep / "feed.xml")[-500:]


def test_run_that_cannot_be_saved_counts_nothing(tmp_path, monkeypatch):
    save, left = IngestRun.save, [OperationalError("the disk is full")]

    def fail_once(run, *args, **named):
        if left:
            raise left.pop()
        save(run, *args, **named)

    monkeypatch.setattr(IngestRun, "save", fail_once)
    (run,) = ingest_documents([ATOM], NOW)

    run.refresh_from_db()
    assert (run.state, run.new) == ("failed", 0)
    assert run.error == "stopped by OperationalError: see the log"
    assert not Paper.objects.exists()


def test_truncated_document_stores_only_its_reason(tmp_path):
    cut = tmp_path / "cut.xml"
    cut.write_bytes(ATOM.read_bytes()[:-300])

    (run,) = ingest_documents([cut], NOW)

    run.refresh_from_db()
    assert run.state == "failed"
    assert run.finished_at > NOW
    assert "fetch it again" in run.error
    assert not Paper.objects.exists()


def test_refused_document_does_not_stop_the_others(tmp_path):
    lay(tmp_path, QUERY, ATOM)
    (tmp_path / "empty").touch()
    (tmp_path / "notes.txt").write_text("these are notes")

    runs = ingest_documents([tmp_path, tmp_path / "absent"], NOW)

    states = [run.state for run in runs]
    assert (states.count("failed"), states.count("done")) == (4, 1)
    assert Paper.objects.count() == 4
    assert IngestRun.objects.count() == 5


def test_unexpected_error_in_a_document_does_not_stop_the_next(monkeypatch, caplog):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(run_source.huggingface, "parse", fail)

    failed, done = ingest_documents([DAY_2026, ATOM], NOW)

    assert (failed.state, done.state) == ("failed", "done")
    assert failed.error == "stopped by MemoryError: see the log"
    assert "ingest stopped" in caplog.text


@pytest.fixture
def sources(httpserver: HTTPServer, settings):
    """Both sources, on this machine."""
    settings.ARXIV_FEED_URL = httpserver.url_for("/atom")
    settings.HUGGINGFACE_URL = httpserver.url_for("")
    settings.ARXIV_CATEGORIES = ["cs.LG", "hep-ex"]
    return httpserver


def test_all_sources_give_announcements_and_two_weeks_of_lists(sources):
    sources.expect_request("/atom/cs.LG+hep-ex").respond_with_data(ATOM.read_bytes())
    sources.expect_request(
        "/api/daily_papers", query_string={"date": "2026-11-20", "limit": "100"}
    ).respond_with_data(DAY_2026.read_bytes())
    sources.expect_request("/api/daily_papers").respond_with_data("[]")

    runs = ingest_all_sources(NOW)

    assert [run.state for run in runs] == ["done"] * 15
    assert (runs[0].new, runs[1].new, runs[1].updated) == (4, 1, 1)
    assert {signal.at for signal in AttentionSample.objects.all()} == {NOW}


def votes_of(day, count):
    """Hugging Face's list with one paper of that day and these votes and stars."""
    rows = json.loads(DAY_2026.read_bytes())[:1]
    paper = rows[0]["paper"]
    paper.update(upvotes=count, githubStars=count * 10)
    paper.update(submittedOnDailyAt=f"{day}T08:00:00.000Z")
    return json.dumps(rows)


def test_votes_are_sampled_for_fourteen_days(sources):
    day = NOW.date()
    query = {"date": day.isoformat(), "limit": "100"}
    votes = {"count": 0}
    list_of_the_day = sources.expect_request("/api/daily_papers", query_string=query)
    list_of_the_day.respond_with_handler(
        lambda _: Response(votes_of(day, votes["count"]))
    )
    sources.expect_request("/api/daily_papers").respond_with_data("[]")

    for later in range(16):
        votes["count"] = 5 + later
        ingest_attention(NOW + timedelta(days=later))

    seen = list(
        AttentionSample.objects.filter(kind="upvotes")
        .order_by("at")
        .values_list("value", "at")
    )
    assert seen == [(5 + back, NOW + timedelta(days=back)) for back in range(14)]
    stars = AttentionSample.objects.filter(kind="stars").order_by("-at").first()
    assert (stars.value, Paper.objects.get().votes) == (180, 18)


def full(first, number):
    """A page with this number of papers."""
    row = json.loads(DAY_2026.read_bytes())[0]
    names = [f"2611.{first + offset:05}" for offset in range(number)]
    return [{**row, "paper": {**row["paper"], "id": name}} for name in names]


def test_list_of_several_pages_is_read_to_the_end(sources):
    pages = {"": full(10000, 100), "1": full(10100, 100), "2": full(10200, 7)}
    sources.expect_request("/api/daily_papers").respond_with_handler(
        lambda request: Response(json.dumps(pages[request.args.get("p", "")]))
    )

    run = run_source.ingest_huggingface_day(NOW.date(), NOW)

    assert (run.state, run.new, Paper.objects.count()) == ("done", 207, 207)


def test_list_with_a_truncated_page_is_refused(sources):
    pages = {"": json.dumps(full(10000, 100)), "1": '[{"paper"'}
    sources.expect_request("/api/daily_papers").respond_with_handler(
        lambda request: Response(pages[request.args.get("p", "")])
    )

    run = run_source.ingest_huggingface_day(NOW.date(), NOW)

    assert (run.state, Paper.objects.count()) == ("failed", 0)


def test_endless_list_is_ended(sources):
    page = json.dumps(full(10000, 100))
    sources.expect_request("/api/daily_papers").respond_with_data(page)

    run = run_source.ingest_huggingface_day(NOW.date(), NOW)

    assert (run.state, run.new, len(sources.log)) == (
        "done",
        100,
        huggingface.MAX_PAGES,
    )


def test_unreachable_source_is_recorded_once(sources):
    sources.expect_request("/atom/cs.LG+hep-ex").respond_with_data(ATOM.read_bytes())
    sources.expect_request("/api/daily_papers").respond_with_data("down", 503)

    runs = ingest_all_sources(NOW)

    assert [(run.source, run.state) for run in runs] == [
        ("arxiv", "done"),
        ("huggingface", "failed"),
    ]
    assert "answered 503" in runs[1].error


def test_wrong_response_for_a_day_does_not_stop_the_other_days(sources):
    sources.expect_request("/atom/cs.LG+hep-ex").respond_with_data("down", 503)
    sources.expect_request(
        "/api/daily_papers", query_string={"date": "2026-11-20", "limit": "100"}
    ).respond_with_data("{}")
    sources.expect_request("/api/daily_papers").respond_with_data(DAY_2026.read_bytes())

    runs = ingest_all_sources(NOW)

    assert [run.state for run in runs] == ["failed", "failed", *["done"] * 13]


def test_command_prints_a_line_per_document_and_the_total(capsys):
    call_command("ingest", "--from", str(ATOM), str(DAY_2026))

    assert capsys.readouterr().out.splitlines() == [
        "announcements.atom.xml: new 4, updated 0, unchanged 0",
        "2026-11-20.json: new 1, updated 1, unchanged 0",
        "2 documents: new 5, updated 1, unchanged 0, attention samples 5",
    ]


def test_command_fails_if_a_document_was_refused(capsys):
    with pytest.raises(CommandError, match="1 of 2 documents refused"):
        call_command("ingest", "--from", str(QUERY), str(ATOM))

    first, second, _ = capsys.readouterr().out.splitlines()
    assert first == (
        "query.atom.xml: refused: arXiv's API answered an error (incorrect id format "
        "for invented) — check the identifier"
    )
    assert second.startswith("announcements.atom.xml: new 4")


@needs_data
def test_complete_recorded_feeds_are_stored_and_truncated_ones_refused():
    runs = ingest_documents([DATA / "feeds" / "rss_atom"], NOW)

    assert [run.new for run in runs if run.state == "done"] == [86, 4]
    assert len(runs) == 7
    assert Paper.objects.count() == 90


@needs_data
def test_truncated_recorded_feed_stores_nothing():
    cut = next((DATA / "feeds" / "rss_atom").glob("*TRUNCATED*"))

    (run,) = ingest_documents([cut], NOW)

    assert run.state == "failed"
    assert not Paper.objects.exists()
