"""Reading lists and submissions end to end, through the tasks and in a browser."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Link, User
from digest import tasks
from digest.ingest.sources import arxiv_calendar
from digest.models import Candidate, Edition, Paper, Submission
from digest.ranking import choose, rank_edition
from tests import make
from tests.ingest.fake_sources import Sources, paper

SUBJECTS = ["quantized language models", "robot control", "speech without labels"]


@pytest.fixture
def arxiv(httpserver, settings, monkeypatch, eager):
    """arXiv on loopback, without pauses between requests."""
    monkeypatch.setattr("digest.ingest.sources.throttle.MIN_REQUEST_GAP_S", 0.0)
    return Sources(httpserver, settings)


def today():
    """The last certain announcement day."""
    day = arxiv_calendar.today(timezone.now())
    while arxiv_calendar.expected(day) != arxiv_calendar.Expected.PAPERS:
        day -= timedelta(days=1)
    return day


@pytest.fixture
def edition(db):
    for number in range(12):
        make.paper(f"Study {number} of {SUBJECTS[number % 3]}", announced_on=today())
    return rank_edition.rank_edition(today(), timezone.now())


def test_papers_of_a_reading_list_are_reasons_of_new_picks(ada, edition, arxiv):
    from digest.ingest.reader_requests import reading_lists

    old = paper(1, today() - timedelta(days=700))
    arxiv.papers = [
        type(old)(
            **{
                **vars(old),
                "title_raw": "Fewer Bits for Quantized Language Models",
                "abstract_raw": "Quantized language models, again. Quantized.",
            }
        )
    ]
    reading_lists.follow_reading_list(ada, [old.identifier], timezone.now())

    tasks.fetch_reader_requests()
    assert Paper.objects.get(identifier=old.identifier).vector
    tasks.rank_newest_edition(timezone.now())
    picks = choose.preview_for(Edition.objects.get(), ada, timezone.now())

    candidates = Candidate.objects.in_bulk([pick.candidate for pick in picks])
    reasons = {candidates[p.candidate].card["title"] for p in picks if p.interest}
    assert reasons
    assert all("quantized language models" in title for title in reasons)
    assert not Candidate.objects.filter(paper__identifier=old.identifier).exists()
    assert Paper.objects.get(identifier=old.identifier).announce_type == "added"


def test_added_paper_does_not_change_the_newest_edition(edition):
    make.paper(announce_type="added", announced_on=today() + timedelta(days=1))

    assert tasks.rank_newest_edition(timezone.now()) == edition


@pytest.mark.slow
@pytest.mark.browser
def test_reader_pastes_a_library_and_submits_a_paper_that_is_approved(
    live_server, page, context, ada, edition, arxiv, settings
):
    settings.READER_SUBMISSIONS = True
    old, new = paper(1, today() - timedelta(days=700)), paper(2, today(), "math.GT")
    arxiv.papers = [old, new]
    key = Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now()).key
    preferences = f"{live_server.url}/preferences/{key}"

    paste_library(page, preferences, old)
    submit(page, preferences, new)
    approve(context.new_page(), live_server.url, new)

    page.reload()
    page.get_by_role("status").get_by_text("It can now appear in digests").wait_for()
    assert Candidate.objects.filter(paper__identifier=new.identifier).exists()


def paste_library(page, preferences, old):
    papers = Paper.objects.filter(title__contains="robot control")
    identifiers = papers.values_list("identifier", flat=True)[:2]
    page.goto(f"{preferences}/papers")
    page.get_by_label("Paste arXiv IDs or links").fill(
        f"{identifiers[0]}\nhttps://arxiv.org/abs/{identifiers[1]}v2\n{old.identifier}\nno paper"
    )
    assert_fits_every_width(page)
    page.get_by_role("button", name="Add papers").click()
    status = page.get_by_role("status").inner_text()
    assert "2 papers followed" in status
    assert "1 line without an arXiv ID" in status
    assert_fits_every_width(page)

    page.reload()
    page.get_by_role("link", name=old.title_raw).wait_for()
    page.get_by_role("button", name=f"Remove {old.title_raw}").click()
    page.get_by_text("Removed. Changes apply from your next digest.").wait_for()
    page.get_by_role("heading", name="2 papers").wait_for()
    page.get_by_role("link", name="When and how").click()
    assert page.locator(
        ".reason", has_text="Similar to a paper you liked: Study"
    ).count()


def submit(page, preferences, new):
    page.goto(f"{preferences}/papers")
    page.get_by_role("link", name="Submit a paper to the editors").click()
    page.get_by_label("arXiv ID or link").fill("the paper on floods")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Enter an arXiv ID such as").wait_for()
    page.get_by_label("arXiv ID or link").fill(
        f"https://arxiv.org/abs/{new.identifier}"
    )
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("status").get_by_text("Waiting for review").wait_for()
    assert_fits_every_width(page)


def approve(page, site, new):
    User.objects.create_superuser("edith@example.org", "a long enough password")
    page.goto(f"{site}/admin/")
    page.get_by_label("Email").fill("edith@example.org")
    page.get_by_label("Password").fill("a long enough password")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=re.compile("1 submission to review")).click()
    page.get_by_role("link", name=new.identifier).click()
    page.get_by_text("ada@example.org").wait_for()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Approved: the paper is being fetched").wait_for()
    assert Submission.objects.get().state == "approved"


def assert_fits_every_width(page):
    """The page does not scroll sideways at any width."""
    for width in (320, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
