"""Submitting a paper: every answer, the limits, and what readers see of their submissions."""

from datetime import timedelta

import pytest
from django.utils import timezone

from digest.ingest.reader_requests import submissions
from digest.models import Paper, PendingPaper, Submission, SubmissionRequest
from tests import make
from tests.ingest.fake_sources import Sources, paper
from tests.make import DAY, NOW
from tests.site.conftest import HOSTILE, body, status_message

NEW_PAPER = paper(7, DAY, primary="math.GT")
FOOTER_LINK = 'href="/submit">Submit a paper'


@pytest.fixture(autouse=True)
def friday(time_machine):
    time_machine.move_to(NOW + timedelta(hours=3), tick=False)


@pytest.fixture
def enabled(settings):
    settings.READER_SUBMISSIONS = True


@pytest.fixture
def arxiv(httpserver, settings, monkeypatch, eager):
    """arXiv on loopback, without a pause between requests."""
    monkeypatch.setattr("digest.ingest.sources.throttle.MIN_REQUEST_GAP_S", 0.0)
    return Sources(httpserver, settings)


@pytest.fixture
def url(client, key):
    return f"/submit/{key}"


def test_disabled_submissions_have_no_page_and_no_link(client, db, key, ada):
    for path in ("/submit", "/submit/", f"/submit/{key}"):
        assert client.get(path).status_code == 404
        assert client.post(path, {"paper": "2611.95001"}).status_code == 404
    assert not Submission.objects.exists()
    for path in ("/", f"/preferences/{key}"):
        assert "Submit a paper" not in body(client.get(path))


def test_enabled_submissions_are_linked_from_footer_and_preferences(
    client, enabled, key, ada
):
    assert FOOTER_LINK in body(client.get("/"))
    assert f'href="/submit/{key}"' in body(client.get(f"/preferences/{key}/papers"))


def test_intro_offers_a_link_by_mail_and_a_sign_up(client, enabled, db):
    for path in ("/submit", "/submit/"):
        page = body(client.get(path))
        assert 'action="/preferences-link"' in page
        assert 'action="/subscribe"' in page
    assert client.post("/submit").status_code == 405


def test_submission_is_looked_up_and_waits_for_review(client, enabled, arxiv, url, ada):
    arxiv.papers = [NEW_PAPER]

    page = client.post(
        url, {"paper": f"https://arxiv.org/abs/{NEW_PAPER.identifier}v1"}, follow=True
    )

    assert "Waiting for review" in status_message(page)
    assert page.redirect_chain == [(f"{url}?submitted={NEW_PAPER.identifier}", 302)]
    assert NEW_PAPER.title_raw in body(page)
    assert Submission.objects.get().state == "waiting"
    assert not Paper.objects.exists()


def test_submission_is_accepted_while_arxiv_does_not_answer(client, enabled, url, ada):
    page = client.post(url, {"paper": "2611.95001"}, follow=True)

    assert "Thank you. 2611.95001: Being looked up" in status_message(page)
    assert Submission.objects.get().state == "checking"


def test_each_outcome_has_a_message(client, enabled, arxiv, url, ada):
    stored = make.paper(HOSTILE)
    declined = Submission.objects.create(
        identifier="2611.95004", created_at=NOW, state="waiting", announced_on=DAY
    )
    submissions.decline_submission(declined, "Not a <b>paper</b>.", NOW)
    messages = {
        "floods": "Enter an arXiv ID such as",
        stored.identifier: "We already have this paper: <a href=",
        "2401.01234": "older than 14 days",
        "2611.95003": "2611.95003: Declined.",
        "2611.95004": "Declined. Not a &lt;b&gt;paper&lt;/b&gt;.",
    }
    for entered, message in messages.items():
        page = client.post(url, {"paper": entered}, follow=True)
        assert message in status_message(page)
        assert "<img" not in body(page)


def test_invalid_input_is_kept_in_the_field_and_escaped(client, enabled, url, ada):
    page = body(client.post(url, {"paper": '"><script>x</script>'}))

    assert "&lt;script&gt;x" in page
    assert "<script>x" not in page


def test_reader_submits_at_most_five_papers_a_day(client, enabled, url, ada):
    for number in range(5):
        client.post(url, {"paper": f"2611.9500{number}"})

    page = client.post(url, {"paper": "2611.95009"})

    assert "limit of 5 submissions a day" in status_message(page)
    assert Submission.objects.count() == 5


def test_network_submits_at_most_thirty_papers_an_hour(client, enabled, url, ada):
    responses = [client.post(url, {"paper": "x"}) for _ in range(31)]

    assert [r.status_code for r in responses] == [200] * 30 + [429]
    assert 0 < int(responses[-1]["Retry-After"]) <= 3600


def test_get_submits_nothing(client, enabled, url, ada):
    assert client.get(f"{url}?paper=2611.95001").status_code == 200
    assert not Submission.objects.exists()


def test_readers_see_only_their_own_submissions(client, enabled, url, ada):
    dora = make.subscriber("dora@example.org")
    submissions.submit_paper(dora, "2611.95001", timezone.now())
    submissions.submit_paper(ada, "2611.95002", timezone.now())

    page = body(client.get(f"{url}?submitted=2611.95001"))

    assert "2611.95002" in page
    assert "2611.95001" not in page
    assert "dora" not in page


def test_approved_paper_is_linked_once_it_is_stored(client, enabled, arxiv, url, ada):
    arxiv.papers = [NEW_PAPER]
    client.post(url, {"paper": NEW_PAPER.identifier})
    submissions.approve_submission(Submission.objects.get(), timezone.now())

    assert "Approved. Being fetched from arXiv." in body(client.get(url))

    submissions.fetch_approved(timezone.now())
    page = body(client.get(url))
    assert "Approved. It can now appear in digests." in page
    assert f'href="/papers/{NEW_PAPER.identifier}"' in page


def test_export_and_erasure_include_requests(client, enabled, key, ada):
    submissions.submit_paper(ada, "2611.95001", timezone.now())
    PendingPaper.objects.create(subscriber=ada, identifier="2401.00001", at=NOW)

    data = client.get(f"/preferences/{key}/data.json").json()

    assert data["submissions"][0]["submission__identifier"] == "2611.95001"
    assert data["pending_papers"][0]["identifier"] == "2401.00001"

    client.post(f"/preferences/{key}/erase")
    assert not SubmissionRequest.objects.exists()
    assert not PendingPaper.objects.exists()
