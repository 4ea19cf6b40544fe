"""The admin pages of ingest runs: alarms, repeating a run, submitting a paper."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.urls import reverse

from accounts.models import User
from digest.admin import run_summaries
from digest.models import IngestRun, Paper
from tests import make
from tests.ingest.fake_sources import Sources, batch, paper
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db
RUN_LIST = "admin:digest_ingestrun_changelist"
SUBMIT = "admin:digest_ingestrun_submit"


@pytest.fixture
def editor(client, edith):
    client.force_login(edith)
    return client


@pytest.fixture
def sources(httpserver, settings):
    return Sources(httpserver, settings)


@pytest.fixture
def guest(client, db):
    """On the staff, and allowed nothing."""
    client.force_login(User.objects.create_user("guest@example.org", is_staff=True))
    return client


def test_a_day_without_papers_is_shown_first(editor, time_machine):
    time_machine.move_to(datetime(2026, 11, 20, 16, 0, tzinfo=UTC))
    make.paper(announced_on=date(2026, 11, 19))

    page = editor.get(reverse("admin:index")).content.decode()

    assert "No papers of Friday, 20 November" in page


def test_no_alarm_is_shown_where_there_is_none(editor, time_machine):
    time_machine.move_to(datetime(2026, 11, 20, 16, 0, tzinfo=UTC))
    make.paper()

    assert "No papers of" not in editor.get(reverse("admin:index")).content.decode()


def test_run_again_repeats_a_feed_whose_address_has_changed(editor, sources, eager):
    sources.announced = batch(DAY)
    failed = IngestRun.objects.create(
        kind="feed",
        source="arxiv",
        origin="https://old.example/atom/cs.LG",
        state="failed",
        started_at=NOW,
    )

    editor.post(
        reverse(RUN_LIST), {"action": "run_again", "_selected_action": failed.pk}
    )

    assert IngestRun.objects.exclude(pk=failed.pk).get().new == 8


def test_run_list_shows_the_window_of_a_harvest(editor):
    IngestRun.objects.create(
        kind="harvest",
        source="arxiv",
        origin="x",
        set_spec="cs",
        window_from=date(2026, 11, 9),
        window_until=date(2026, 11, 15),
        note="as expected",
        started_at=NOW,
    )

    page = editor.get(reverse(RUN_LIST)).content.decode()

    assert "Harvest of cs from 9 Nov to 15 Nov" in page
    assert "as expected" in page


def reading(ago, **fields):
    """A run that began `minutes` before NOW."""
    at = NOW - timedelta(minutes=ago)
    given = {
        "kind": "document",
        "source": "arxiv",
        "origin": "x",
        "state": "done",
        **fields,
    }
    return IngestRun.objects.create(started_at=at, finished_at=at, **given)


def lists(ago, **fields):
    """A round of Hugging Face's lists."""
    for back in range(14):
        day = DAY - timedelta(days=back)
        reading(ago, kind="huggingface", window_from=day, window_until=day, **fields)


def test_a_round_of_lists_is_one_line_of_the_first_page():
    lists(5, new=1, samples=3)
    reading(10, source="unknown", origin="/folder/late.xml", note="as expected")

    lines = run_summaries.recent_summaries(NOW, 8)

    assert [(line.title, line.text) for line in lines] == [
        ("Hugging Face, 14 days", "14 new, 42 samples"),
        ("late.xml", "nothing new: as expected"),
    ]


def test_a_list_that_failed_is_named_for_its_round():
    lists(5)
    IngestRun.objects.filter(window_from=DAY).update(state="failed", error="cut")

    (line,) = run_summaries.recent_summaries(NOW, 8)

    assert (line.state, line.text) == (
        "failed",
        "Hugging Face, 20 Nov: cut",
    )
    assert line.next == "Repeated within two hours."


def test_what_failed_comes_first_unless_it_was_made_good():
    feed = {"kind": "feed"}
    check = {"kind": "daily_check", "set_spec": "cs", "window_from": DAY}
    reading(50, **feed, state="failed", error="busy")
    reading(40, **check, state="failed", error="cut")
    reading(30, **feed, new=8)
    reading(20, kind="paper", paper_identifier="2611.20007", state="running")
    reading(10, origin="/folder/late.xml")

    lines = run_summaries.recent_summaries(NOW, 8)

    assert [line.title for line in lines] == [
        "Daily check of cs, since 20 Nov",
        "Paper 2611.20007",
        "late.xml",
        "arXiv feed",
    ]
    assert [line.state for line in lines] == ["failed", "running", "done", "done"]


def test_an_old_failure_does_not_stand_first_for_ever():
    reading(60 * 24 * 3, origin="/folder/early.xml", state="failed", error="cut")
    reading(10, origin="/folder/late.xml")

    assert [summary.title for summary in run_summaries.recent_summaries(NOW, 8)] == [
        "late.xml",
        "early.xml",
    ]


def test_first_page_reports_what_the_checks_found(editor, time_machine):
    time_machine.move_to(NOW)
    check = {"kind": "daily_check", "set_spec": "cs", "window_from": DAY}
    reading(60 * 24, **check, missed=2, corrected=1)
    reading(10, **check, missed=1, unconfirmed=4)
    reading(60 * 24 * 8, **check, missed=70)

    page = editor.get(reverse("admin:index")).content.decode()

    assert "Last 7 days: 3 missed and 1 corrected paper." in page
    assert "4 papers not yet in OAI-PMH" in page


def test_first_page_reports_checks_without_differences(editor, time_machine):
    time_machine.move_to(NOW)
    reading(10, kind="daily_check", set_spec="cs", window_from=DAY)

    page = editor.get(reverse("admin:index")).content.decode()

    assert "Last 7 days: feeds and OAI-PMH agree." in page


def test_failed_run_states_what_happens_next(editor):
    failed = IngestRun.objects.create(
        kind="harvest",
        source="arxiv",
        origin="x",
        set_spec="cs",
        window_from=DAY,
        state="failed",
        error="answered 503",
        started_at=NOW,
    )

    row = editor.get(reverse(RUN_LIST)).content.decode()
    page = editor.get(reverse("admin:digest_ingestrun_change", args=[failed.pk]))

    for html in (row, page.content.decode()):
        assert "answered 503" in html
        assert "Resumed three times a day while days are missing" in html


def test_a_submitted_paper_is_fetched(editor, sources, eager):
    sources.papers = [paper(7, DAY)]

    answer = editor.post(reverse(SUBMIT), {"paper": "arXiv:2611.20007"}, follow=True)

    assert "Fetching 2611.20007" in answer.content.decode()
    assert Paper.objects.get().identifier == "2611.20007"


def test_words_are_sent_back_with_a_reason(editor):
    page = editor.post(reverse(SUBMIT), {"paper": "<b>floods</b>"}).content.decode()

    assert "is not an arXiv identifier" in page
    assert "<b>floods" not in page
    assert not IngestRun.objects.exists()


def test_the_form_opens(editor):
    assert "Fetch paper" in editor.get(reverse(SUBMIT)).content.decode()


def test_whoever_may_not_add_runs_may_not_have_sources_read(guest):
    assert guest.get(reverse(SUBMIT)).status_code == 403
    assert guest.post(reverse(SUBMIT), {"paper": "2611.20007"}).status_code == 403
    assert not IngestRun.objects.exists()
