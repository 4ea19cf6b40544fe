"""An editor asks why a reader gets a paper, or not, and can add up the numbers."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from digest.admin import score_lines
from digest.models import AttentionSample, Edition, Recall
from digest.ranking import choose, rank_edition
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db

HOSTILE = '<img src=x onerror=alert(1)> & "A'


@pytest.fixture
def editor(client, db):
    user = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(user)
    return client


@pytest.fixture
def edition(db):
    """Two papers on storks, the first with votes, and others."""
    for number in range(16):
        subject = "Storks over wetlands" if number < 2 else f"Subject{number} alone"
        paper = make.paper(
            f"{subject}, part {number}",
            abstract=" ".join(f"word{number}{letter}" for letter in "abcdefgh"),
            authors=[f"Author {number}"],
            announced_on=DAY - timedelta(days=number % 2),
        )
        if number == 0:
            for hours, votes in ((20, 4), (1, 12)):
                at = NOW - make.hours(hours)
                AttentionSample.objects.create(
                    paper=paper,
                    source="huggingface",
                    kind="upvotes",
                    value=votes,
                    at=at,
                )
    return rank_edition.rank_edition(DAY, NOW)


def page(editor, reader, **asked):
    address = reverse("admin:accounts_subscriber_explain", args=[reader.pk])
    response = editor.get(address, asked)
    assert response.status_code == 200
    return response.content.decode()


def words(html):
    """What an editor reads of a page."""
    shown = re.sub(r"<style.*?</style>|<[^>]*>", " ", html, flags=re.S)
    return " ".join(unescape(shown).split())


def named(edition, title):
    return edition.candidates.get(paper__title__startswith=title)


def follow(reader, kind, value, weight=1.0):
    return reader.follows.create(interest=make.interest(kind, value), weight=weight)


def test_every_pick_of_a_preview_leads_to_its_numbers(editor, edition, ada):
    follow(ada, "keyword", "storks")
    preview = reverse("admin:accounts_subscriber_preview", args=[ada.pk])

    html = editor.get(preview).content.decode()

    links = re.findall(r'href="([^"]*/explain/[^"]*)"', html)
    assert len(links) == 10
    for place, link in enumerate(links, 1):
        page_text = words(editor.get(unescape(link)).content.decode())
        assert f"Number {place} of the digest" in page_text


def test_a_paper_that_an_interest_claims_adds_up(editor, edition, ada):
    follow(ada, "keyword", "storks", 0.5)
    follow(ada, "author", "Nobody Of Them")
    paper = named(edition, "Storks over wetlands, part 0").paper

    page_text = words(
        page(editor, ada, paper=f"https://arxiv.org/abs/{paper.identifier}v2")
    )

    assert "Reason in the mail: Matches your keyword “storks”" in page_text
    assert "keyword or phrase: may be claimed 0.5000 1.0000 0.5000" in page_text
    assert "1 other interest unrelated to this paper." in page_text
    trend = named(edition, "Storks over wetlands, part 0").trend
    assert (
        f"best match 0.5000 weight · relevance of storks trend {0.15 * trend:.4f}"
        in page_text
    )
    assert f"score {0.5 + 0.15 * trend:.4f}" in page_text
    assert "votes 2.5649 1 · ln(1 + 12)" in page_text


@pytest.mark.parametrize("title", ["Storks over wetlands, part 0", "Subject3 alone"])
def test_the_lines_of_a_trend_add_up_to_it(edition, title):
    candidate = named(edition, title)

    lines = score_lines.trend_lines(candidate)

    number = {line.name: line.number for line in lines}
    sums = [i for i, line in enumerate(lines) if line.is_sum]
    attention = sum(line.number for line in lines[: sums[0]])
    assert number["attention"] == pytest.approx(attention)
    assert number["compared by"] == pytest.approx(
        attention * number["age, a factor"], abs=2e-4
    )
    p, g, n = number["in cs.LG"], number["in the edition"], 16
    assert number["trend"] == pytest.approx((n * p + 20 * g) / (n + 20), abs=1e-3)
    assert lines[-1].name == "trend"


def test_what_is_expected_of_a_paper_is_said_not_to_be_votes():
    parts = {
        "upvotes": 0.0,
        "comments": 0.0,
        "stars": 0.0,
        "clicks": 0.3466,
        "growth": 0.0,
        "expected": 0.41,
        "recency": 0.5,
        "age_hours": 0.0,
        "raw": 1.2566,
        "category": 0.9,
        "overall": 0.8,
        "papers": 40.0,
    }
    candidate = type("Candidate", (), {"breakdown": parts, "trend": 0.87, "card": {}})()

    lines = {line.name: line for line in score_lines.trend_lines(candidate)}

    assert "no vote yet" in lines["expected"].words
    assert lines["clicks of our readers"].words == "0.5 · ln(1 + 1)"
    assert lines["attention"].number == pytest.approx(parts["raw"], abs=1e-4)


def test_a_trend_without_parts_is_shown_as_it_is(db):
    candidate = make.candidate(make.edition(papers=0), trend=0.25)

    assert [line.number for line in score_lines.trend_lines(candidate)] == [0.25]


def test_the_page_of_a_candidate_shows_its_trend_in_words(editor, edition):
    candidate = named(edition, "Storks over wetlands, part 0")

    html = editor.get(reverse("admin:digest_candidate_change", args=[candidate.pk]))

    assert "1 · ln(1 + 12)" in words(html.content.decode())
    assert "announced 0 days before" in words(html.content.decode())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda ada, candidate: follow(ada, "keyword", "storks", -1.0),
            "The reader mutes storks.",
        ),
        (
            lambda ada, candidate: follow(
                ada, "paper", candidate.paper.identifier, -1.0
            ),
            "The reader asked for less like this very paper.",
        ),
        (
            lambda ada, candidate: follow(ada, "paper", candidate.paper.identifier),
            "one of the reader's own example papers",
        ),
        (
            lambda ada, candidate: make.digest(
                make.batch(candidate.edition, [ada]), ada, [(candidate.pk, 0)]
            ),
            "Already sent",
        ),
        (
            lambda ada, candidate: Recall.objects.create(
                paper=candidate.paper, reason="wrong"
            ),
            "It was recalled.",
        ),
        (
            lambda ada, candidate: (
                type(candidate).objects.filter(pk=candidate.pk).update(is_hidden=True)
            ),
            "An editor hid it.",
        ),
    ],
)
def test_absent_paper_is_explained(editor, edition, ada, change, sentence):
    candidate = named(edition, "Storks over wetlands, part 0")
    change(ada, candidate)

    page_text = words(page(editor, ada, paper=candidate.paper.identifier))

    assert sentence in page_text
    assert "of the digest as it would be chosen" not in page_text


def test_unclaimed_paper_is_explained_to_readers_of_follows_only(editor, edition, ada):
    type(ada).objects.filter(pk=ada.pk).update(fill_mode="followed_only")
    follow(ada, "keyword", "storks")
    candidate = named(edition, "Subject3 alone")

    page_text = words(page(editor, ada, paper=candidate.paper.identifier))

    assert (
        "No interest matches, and the reader wants only what they follow." in page_text
    )


def test_a_paper_that_others_keep_out_says_how_many(editor, edition, ada):
    picks = {pick.candidate for pick in choose.preview_for(edition, ada, NOW)}
    candidate = edition.candidates.exclude(pk__in=picks).first()

    page_text = words(page(editor, ada, paper=candidate.paper.identifier))

    assert re.search(r"\d+ of 16 available papers score better", page_text)


def test_a_weekly_readers_trend_is_that_of_their_week(editor, edition, ada):
    follow(ada, "keyword", "subject1")
    old = named(edition, "Subject11 alone")
    daily = words(page(editor, ada, paper=old.paper.identifier))
    type(ada).objects.filter(pk=ada.pk).update(frequency="weekly")

    weekly = words(page(editor, ada, paper=old.paper.identifier))

    assert "compared within the week" in weekly
    assert "compared within the week" not in daily


def test_papers_that_are_no_candidates_and_unknown_ones_say_so(editor, edition, ada):
    old = make.paper("Storks of old", announced_on=DAY - timedelta(days=40))

    assert "holds papers from" in words(page(editor, ada, paper=old.identifier))
    assert "No paper found for “2401.99999”." in words(
        page(editor, ada, paper="2401.99999")
    )
    assert "No paper found" in words(page(editor, ada, paper=HOSTILE))
    assert HOSTILE not in page(editor, ada, paper=HOSTILE)


def test_another_edition_can_be_asked_about(editor, edition, ada):
    later = make.edition(DAY + timedelta(days=3), papers=1)
    candidate = named(edition, "Subject3 alone")

    newest = words(page(editor, ada, paper=candidate.paper.identifier))
    older = words(
        page(editor, ada, paper=candidate.paper.identifier, edition=edition.pk)
    )
    odd = words(page(editor, ada, paper=candidate.paper.identifier, edition="9" * 30))

    assert "arrived after the last ranking" in newest
    assert "Trend" in older
    assert newest == odd
    assert Edition.objects.first() == later


def test_before_the_first_edition_there_is_nothing_to_explain(editor, ada):
    assert "No edition yet" in words(page(editor, ada, paper="2401.00001"))


def test_an_interest_with_a_hostile_name_is_shown_as_text(editor, edition, ada):
    follow(ada, "search", f"storks {HOSTILE}")
    candidate = named(edition, "Storks over wetlands, part 0")

    html = page(editor, ada, paper=candidate.paper.identifier)

    assert HOSTILE not in html
    assert HOSTILE in words(html)


def test_who_may_not_see_readers_may_not_ask(client, edition, ada):
    clerk = User.objects.create_user("clerk@example.org", "a long passphrase")
    clerk.is_staff = True
    clerk.save()
    clerk.user_permissions.add(Permission.objects.get(codename="view_edition"))
    client.force_login(clerk)
    address = reverse("admin:accounts_subscriber_explain", args=[ada.pk])

    assert client.get(address, {"paper": "2401.00001"}).status_code == 403
    client.logout()
    assert client.get(address).status_code == 302


def test_of_an_edition_that_is_forgotten_nobody_claims_to_know(editor, ada, settings):
    settings.DIGESTS_KEPT = 100
    old = timezone.now() - timedelta(days=101)
    edition = make.frozen(make.edition(papers=1), at=old)

    html = page(editor, ada, edition=edition.pk, paper=make.paper().identifier)

    assert "This edition is older than 100 days" in words(html)
