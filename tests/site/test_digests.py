"""A digest in the browser, the links of its mail, feedback, and the archive."""

from datetime import timedelta

import pytest
from django.utils import timezone

from digest import follows
from digest.mailer import compose
from digest.models import Digest, Event, Follow
from tests import make
from tests.site.conftest import body


def cards(digest):
    candidates = digest.edition.candidates.in_bulk()
    return [candidates[pick.candidate].card for pick in digest.picks]


def test_digest_page_shows_the_mail(client, digest):
    response = client.get(f"/d/{digest.key}")

    for card in cards(digest):
        assert card["title"] in body(response)
    policy = response["Content-Security-Policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "script-src 'none'" in policy


@pytest.mark.parametrize("papers", [0, 1])
def test_digest_page_does_not_link_to_itself(client, digest, papers):
    digest.picks = digest.picks[:papers]
    digest.save()

    page = body(client.get(f"/d/{digest.key}"))

    assert "View in browser" in compose.compose_digest(digest).html
    assert "View in browser" not in page
    assert f'/d/{digest.key}"' not in page


@pytest.mark.parametrize("verb", ["arxiv", "pdf", "code", "project"])
def test_link_redirects_to_the_stored_url_and_counts_one_click(client, digest, verb):
    candidate = digest.edition.candidates.get(pk=digest.picks[1].candidate)
    card = candidate.card | {
        "code_url": "https://example.org/c",
        "project_url": "http://example.org/p",
    }
    type(candidate).objects.filter(pk=candidate.pk).update(card=card)

    responses = [client.get(f"/d/{digest.key}/2/{verb}") for _ in range(2)]

    assert {r["Location"] for r in responses} == {card[f"{verb}_url"]}
    assert responses[0].status_code == 302
    event = Event.objects.get()
    assert (event.source, event.digest) == ("click", digest)
    assert event.payload["verb"] == verb


def test_paper_link_redirects_to_the_paper_page(client, digest):
    response = client.get(f"/d/{digest.key}/1/paper")

    assert response["Location"] == f"/papers/{cards(digest)[0]['identifier']}"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example", "", "data:text/html,x"]
)
def test_link_never_redirects_to_other_schemes(client, digest, url):
    candidate = digest.edition.candidates.get(pk=digest.picks[0].candidate)
    type(candidate).objects.filter(pk=candidate.pk).update(
        card=candidate.card | {"code_url": url}
    )

    response = client.get(f"/d/{digest.key}/1/code")

    assert response.status_code == 404
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "rest",
    ["0/arxiv", "4/arxiv", "99999999999999999999/arxiv", "1/explode", "1/arxiv_url"],
)
def test_link_without_a_pick_or_verb_is_not_found(client, digest, rest):
    assert client.get(f"/d/{digest.key}/{rest}").status_code == 404


def test_head_and_post_requests_count_no_click(client, digest):
    assert client.head(f"/d/{digest.key}/1/arxiv").status_code == 302
    assert client.post(f"/d/{digest.key}/1/arxiv").status_code == 404
    assert not Event.objects.exists()


@pytest.mark.parametrize(("verb", "weight"), [("more", 0.5), ("less", -1.0)])
def test_feedback_is_confirmed_stored_and_undone(client, digest, verb, weight):
    url = f"/d/{digest.key}/2/{verb}"
    question = f"{verb.capitalize()} like this?"
    assert question in body(client.get(url))
    assert not Follow.objects.filter(interest__kind="paper").exists()

    stored = client.post(url, follow=True)

    follow = Follow.objects.get(interest__kind="paper")
    assert (follow.weight, follow.source) == (weight, "feedback")
    assert follow.interest.value == cards(digest)[1]["identifier"]
    assert "Saved." in body(stored)
    assert "Undo" in body(stored)

    undone = client.post(url, {"undo": "1"}, follow=True)

    assert not Follow.objects.filter(interest__kind="paper").exists()
    assert question in body(undone)


def test_feedback_on_a_paper_of_the_reading_list_changes_nothing(client, digest, ada):
    interest = make.interest("paper", cards(digest)[1]["identifier"])
    ada.follows.create(interest=interest)

    response = client.post(f"/d/{digest.key}/2/more", follow=True)

    assert "already in your list" in body(response)
    assert "Undo" not in body(response)
    assert ada.follows.get(interest=interest).weight == 1.0
    assert "Less like this?" in body(client.get(f"/d/{digest.key}/2/less"))


def test_opened_paper_has_no_feedback(client, digest, ada):
    interest = make.interest("paper", cards(digest)[1]["identifier"])
    ada.follows.create(interest=interest, weight=0.25, source="opened")

    assert "More like this?" in body(client.get(f"/d/{digest.key}/2/more"))


def test_feedback_over_the_paper_limit_is_not_stored(client, digest, ada):
    for number in range(follows.MAX_EXAMPLE_PAPERS):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))

    response = client.post(f"/d/{digest.key}/2/more", follow=True)

    assert not Follow.objects.filter(source="feedback").exists()
    assert "Saved." not in body(response)
    assert "Not saved: you already have 300 papers" in body(response)


def test_archive_lists_the_reader_s_own_digests(client, digest, key):
    other = make.subscriber("dora@example.org")
    make.digest(digest.batch, other, [(digest.picks[2].candidate, 0)])

    page = body(client.get(f"/digests/{key}"))

    assert page.count('<a href="/digests/') == 1
    assert f'<a href="/digests/{key}/2026-11-20">Friday, 20 November 2026' in page
    assert f"{cards(digest)[0]['title']}, and 2 more" in page
    assert cards(digest)[2]["title"] not in page


@pytest.mark.parametrize(("day", "status"), [("2026-11-20", 200), ("2026-11-19", 404)])
def test_archive_opens_digests_whose_own_key_has_expired(
    client, digest, key, day, status
):
    Digest.objects.update(created_at=timezone.now() - timedelta(days=31))

    response = client.get(f"/digests/{key}/{day}")

    assert response.status_code == status
    assert (cards(digest)[0]["title"] in body(response)) is (status == 200)


def test_empty_digest_has_a_page_and_an_archive_entry(client, digest, key):
    Digest.objects.update(packed_picks=b"")

    archive = body(client.get(f"/digests/{key}"))
    page = body(client.get(f"/d/{digest.key}"))

    assert f'href="/digests/{key}/2026-11-20"' in archive
    assert "No matches" in archive
    assert "No matches today" in page
    assert client.get(f"/d/{digest.key}/1/arxiv").status_code == 404


def test_empty_archive_says_when_the_first_digest_arrives(client, key):
    assert "No digests yet" in body(client.get(f"/digests/{key}"))


@pytest.mark.parametrize(
    ("setting", "text"), [(0, ""), (5, "for 30 days"), (400, "for 400 days")]
)
def test_archive_says_how_long_digests_are_kept(client, key, settings, setting, text):
    settings.DIGESTS_KEPT = setting

    page = body(client.get(f"/digests/{key}"))

    assert text in page
    assert ("Digests are kept" in page) is bool(text)
