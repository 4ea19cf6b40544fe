"""Submitting a paper: open where the operator lets it, answered in words, decided by editors."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Link
from digest.ingest.reader_requests import submissions
from digest.models import Paper, PendingPaper, Submission, SubmissionRequest
from tests import make
from tests.ingest.fake_sources import Sources, paper
from tests.make import DAY, NOW
from tests.site.conftest import HOSTILE, text

YOUNG = paper(7, DAY, primary="math.GT")
FOOT = 'href="/submit">Submit a paper'


@pytest.fixture(autouse=True)
def friday(time_machine):
    time_machine.move_to(NOW + timedelta(hours=3), tick=False)


@pytest.fixture
def allowed(settings):
    settings.READER_SUBMISSIONS = True


@pytest.fixture
def arxiv(httpserver, settings, monkeypatch, eager):
    """arXiv on loopback, asked at once."""
    monkeypatch.setattr("digest.ingest.sources.throttle.MIN_REQUEST_GAP_S", 0.0)
    return Sources(httpserver, settings)


@pytest.fixture
def door(client, key):
    return f"/submit/{key}"


def said(response):
    return text(response).partition('role="status">')[2].partition("</div>")[0]


def test_where_readers_may_not_submit_there_is_no_page_and_no_sign_of_one(
    client, db, key, ada
):
    for path in ("/submit", "/submit/", f"/submit/{key}"):
        assert client.get(path).status_code == 404
        assert client.post(path, {"paper": "2611.95001"}).status_code == 404
    assert not Submission.objects.exists()
    for path in ("/", f"/preferences/{key}"):
        assert "Submit a paper" not in text(client.get(path))


def test_where_they_may_the_pages_say_so(client, allowed, key, ada):
    assert FOOT in text(client.get("/"))
    assert f'href="/submit/{key}"' in text(client.get(f"/preferences/{key}"))


def test_a_visitor_without_a_key_is_told_how_to_get_one(client, allowed, db):
    for path in ("/submit", "/submit/"):
        page = text(client.get(path))
        assert 'action="/preferences-link"' in page
        assert 'action="/subscribe"' in page
    assert client.post("/submit").status_code == 405


def test_a_submission_is_looked_up_and_waits_and_says_so(
    client, allowed, arxiv, door, ada
):
    arxiv.known = [YOUNG]

    page = client.post(
        door, {"paper": f"https://arxiv.org/abs/{YOUNG.identifier}v1"}, follow=True
    )

    assert "Waits for an editor" in said(page)
    assert page.redirect_chain == [(f"{door}?asked={YOUNG.identifier}", 302)]
    assert YOUNG.title_raw in text(page)
    assert Submission.objects.get().state == "waiting"
    assert not Paper.objects.exists()


def test_while_arxiv_is_silent_the_answer_is_thanks(client, allowed, door, ada):
    page = client.post(door, {"paper": "2611.95001"}, follow=True)

    assert "Thank you. 2611.95001: Being looked up" in said(page)
    assert Submission.objects.get().state == "checking"


def test_every_answer_is_in_words(client, allowed, arxiv, door, ada):
    have = make.paper(HOSTILE)
    old = Submission.objects.create(
        identifier="2611.95004", created_at=NOW, state="waiting", announced_on=DAY
    )
    submissions.decline(old, "Not a <b>paper</b>.", NOW)
    answers = {
        "floods": "names no paper",
        have.identifier: "We have it: <a href=",
        "2401.01234": "older than 14 days",
        "2611.95003": "2611.95003: Declined. arXiv knows no such paper.",
        "2611.95004": "Declined. Not a &lt;b&gt;paper&lt;/b&gt;.",
    }
    for typed, words in answers.items():
        page = client.post(door, {"paper": typed}, follow=True)
        assert words in said(page)
        assert "<img" not in text(page)


def test_the_answer_s_address_tells_of_nobody_else_s_submissions(
    client, allowed, door, ada
):
    submissions.ask(make.subscriber(), "2611.95001", timezone.now())

    assert "2611.95001" not in text(client.get(f"{door}?asked=2611.95001"))


def test_what_was_mistyped_is_there_to_be_mended_and_nothing_else(
    client, allowed, door, ada
):
    page = text(client.post(door, {"paper": '"><script>x</script>'}))

    assert "&lt;script&gt;x" in page
    assert "<script>x" not in page


def test_five_a_day_are_enough(client, allowed, door, ada):
    for number in range(5):
        client.post(door, {"paper": f"2611.9500{number}"})

    assert "5 papers a day are the most" in said(
        client.post(door, {"paper": "2611.95009"})
    )
    assert Submission.objects.count() == 5


def test_one_network_submits_a_bounded_number_an_hour(client, allowed, door, ada):
    statuses = [client.post(door, {"paper": "x"}).status_code for _ in range(31)]

    assert statuses == [200] * 30 + [429]


def test_an_old_key_submits_nothing(client, allowed, ada):
    old = Link.issue(ada, Link.Purpose.PREFERENCES, NOW - timedelta(days=31))

    assert client.post(f"/submit/{old.key}", {"paper": "2611.95001"}).status_code == 404
    assert not Submission.objects.exists()


def test_opening_the_page_submits_nothing_and_other_sites_cannot(allowed, key, ada):
    strict = Client(enforce_csrf_checks=True)
    door = f"/submit/{key}"

    assert strict.get(f"{door}?paper=2611.95001").status_code == 200
    assert strict.post(door, {"paper": "2611.95001"}).status_code == 403
    assert not Submission.objects.exists()


def test_readers_see_their_own_submissions_and_nobody_else_s(
    client, allowed, door, ada
):
    dora = make.subscriber("dora@example.org")
    submissions.ask(dora, "2611.95001", timezone.now())
    submissions.ask(ada, "2611.95002", timezone.now())

    page = text(client.get(door))

    assert "2611.95002" in page
    assert "2611.95001" not in page
    assert "dora" not in page


def test_an_approved_paper_is_linked_once_it_is_here(client, allowed, arxiv, door, ada):
    arxiv.known = [YOUNG]
    client.post(door, {"paper": YOUNG.identifier})
    submissions.approve(Submission.objects.get(), timezone.now())

    assert "Approved, and being fetched." in text(client.get(door))

    submissions.fetch_approved(timezone.now())
    page = text(client.get(door))
    assert "Approved: it is among the papers" in page
    assert f'href="/papers/{YOUNG.identifier}"' in page


def test_export_and_erasure_hold_what_a_reader_brought(client, allowed, key, ada):
    submissions.ask(ada, "2611.95001", timezone.now())
    PendingPaper.objects.create(subscriber=ada, identifier="2401.00001", at=NOW)

    kept = client.get(f"/preferences/{key}/data.json").json()

    assert kept["submissions"][0]["submission__identifier"] == "2611.95001"
    assert kept["wanted"][0]["identifier"] == "2401.00001"

    client.post(f"/preferences/{key}/erase")
    assert not SubmissionRequest.objects.exists()
    assert not PendingPaper.objects.exists()
