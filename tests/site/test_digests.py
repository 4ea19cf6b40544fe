"""A digest in the browser, its links, the archive."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Link
from digest import follows
from digest.models import Digest, Event, Follow
from tests import make
from tests.site.conftest import text


def cards(digest):
    found = digest.edition.candidates.in_bulk()
    return [found[pick.candidate].card for pick in digest.picks]


def test_a_digest_opens_in_the_browser_as_it_was_sent(client, hers):
    response = client.get(f"/d/{hers.key}")

    for card in cards(hers):
        assert card["title"] in text(response)
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Referrer-Policy"] == "no-referrer"
    policy = response["Content-Security-Policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "script-src 'none'" in policy


@pytest.mark.parametrize(
    "path",
    ["/d/unknown", "/d/unknown/1/arxiv", "/digests/unknown", "/d/unknown/1/more"],
)
def test_an_unknown_key_gets_a_page_that_helps(client, db, path):
    response = client.get(path)

    assert response.status_code == 404
    assert 'action="/preferences-link"' in text(response)


@pytest.mark.parametrize(
    ("setting", "said"), [(0, ""), (5, "kept for 30 days"), (400, "kept for 400 days")]
)
def test_an_unknown_key_s_page_says_how_long_digests_are_kept(
    client, db, settings, setting, said
):
    settings.DIGESTS_KEPT = setting

    page = text(client.get("/d/unknown"))

    assert said in page
    assert ("What a digest held" in page) is bool(said)


def test_a_digest_that_was_not_sent_has_no_page(client, hers):
    Digest.objects.update(outcome="skipped", reason="left", packed_picks=b"")

    assert client.get(f"/d/{hers.key}").status_code == 404


@pytest.mark.parametrize("verb", ["arxiv", "pdf", "code", "project"])
def test_a_link_leads_where_the_row_says_and_is_counted_once(client, hers, verb):
    second = hers.edition.candidates.get(pk=hers.picks[1].candidate)
    card = second.card | {
        "code_url": "https://example.org/c",
        "project_url": "http://example.org/p",
    }
    type(second).objects.filter(pk=second.pk).update(card=card)

    responses = [client.get(f"/d/{hers.key}/2/{verb}") for _ in range(2)]

    assert {r["Location"] for r in responses} == {card[f"{verb}_url"]}
    assert responses[0].status_code == 302
    event = Event.objects.get()
    assert (event.source, event.digest, event.payload["verb"]) == ("click", hers, verb)


def test_a_link_to_the_paper_s_page_stays_here(client, hers):
    response = client.get(f"/d/{hers.key}/1/paper")

    assert response["Location"] == f"/papers/{cards(hers)[0]['identifier']}"


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "//evil.example", "", "data:text/html,x"]
)
def test_no_link_leads_to_what_is_not_of_the_web(client, hers, address):
    first = hers.edition.candidates.get(pk=hers.picks[0].candidate)
    type(first).objects.filter(pk=first.pk).update(
        card=first.card | {"code_url": address}
    )

    response = client.get(f"/d/{hers.key}/1/code")

    assert response.status_code == 404
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "rest",
    ["0/arxiv", "4/arxiv", "99999999999999999999/arxiv", "1/explode", "1/arxiv_url"],
)
def test_a_link_that_the_mail_has_not_is_not_found(client, hers, rest):
    assert client.get(f"/d/{hers.key}/{rest}").status_code == 404


def test_a_look_without_opening_is_no_click(client, hers):
    response = client.head(f"/d/{hers.key}/1/arxiv")

    assert response.status_code == 302
    assert not Event.objects.exists()


@pytest.mark.parametrize(("verb", "weight"), [("more", 0.5), ("less", -1.0)])
def test_an_opinion_is_asked_then_kept_then_can_be_taken_back(
    client, hers, verb, weight
):
    page = f"/d/{hers.key}/2/{verb}"
    assert f"{verb.capitalize()} like this?" in text(client.get(page))
    assert Follow.objects.filter(interest__kind="paper").count() == 0

    said = client.post(page, follow=True)

    follow = Follow.objects.get(interest__kind="paper")
    assert (follow.weight, follow.source) == (weight, "feedback")
    assert follow.interest.value == cards(hers)[1]["identifier"]
    assert "Noted." in text(said)
    assert "Undo" in text(said)

    taken_back = client.post(page, {"undo": "1"}, follow=True)

    assert Follow.objects.filter(interest__kind="paper").count() == 0
    assert f"{verb.capitalize()} like this?" in text(taken_back)


def test_no_undo_is_offered_for_what_the_reader_chose_elsewhere(client, hers, ada):
    mine = make.interest("paper", cards(hers)[1]["identifier"])
    ada.follows.create(interest=mine)
    page = f"/d/{hers.key}/2/more"

    said = client.post(page, follow=True)

    assert "You chose this paper" in text(said)
    assert "Undo" not in text(said)
    assert ada.follows.get(interest=mine).weight == 1.0
    assert "Less like this?" in text(client.get(f"/d/{hers.key}/2/less"))


def test_to_have_opened_a_paper_is_no_opinion_of_it(client, hers, ada):
    seen = make.interest("paper", cards(hers)[1]["identifier"])
    ada.follows.create(interest=seen, weight=0.25, source="opened")

    assert "More like this?" in text(client.get(f"/d/{hers.key}/2/more"))


def test_the_inbox_that_a_reader_left_has_no_opinion_for_them(client, hers, ada):
    move = Link.issue(ada, Link.Purpose.ADDRESS, timezone.now(), email="a@new.example")
    move.redeem(timezone.now())

    answer = client.post(f"/d/{hers.key}/2/less")

    assert answer.status_code == 404
    assert not Follow.objects.filter(interest__kind="paper").exists()
    assert client.get(f"/d/{hers.key}/2/arxiv").status_code == 302


@pytest.mark.parametrize(("days", "status"), [(89, 200), (91, 404)])
def test_an_opinion_is_taken_for_ninety_days_and_papers_open_after_them(
    client, hers, days, status
):
    then = timezone.now() - timedelta(days=days)
    Digest.objects.update(created_at=then)

    answers = [
        client.get(f"/d/{hers.key}/2/less"),
        client.post(f"/d/{hers.key}/2/less"),
    ]

    assert answers[0].status_code == status
    assert Follow.objects.filter(interest__kind="paper").exists() is (status == 200)
    assert client.get(f"/d/{hers.key}/2/arxiv").status_code == 302


def test_an_opinion_that_finds_no_room_says_so(client, hers, ada):
    for number in range(follows.MAX_EXAMPLE_PAPERS):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))

    said = client.post(f"/d/{hers.key}/2/more", follow=True)

    assert not Follow.objects.filter(source="feedback").exists()
    assert "Noted." not in text(said)
    assert "not kept: you have 300 papers" in text(said)
    assert f'href="/preferences/{hers.key}"' in text(said)


def test_an_opinion_sent_by_another_site_is_refused(hers):
    strict = Client(enforce_csrf_checks=True)

    assert strict.post(f"/d/{hers.key}/1/less").status_code == 403
    assert strict.post(f"/d/{hers.key}/1/arxiv").status_code == 403


def test_a_target_cannot_be_posted(client, hers):
    assert client.post(f"/d/{hers.key}/1/arxiv").status_code == 404
    assert not Event.objects.exists()


def test_the_archive_lists_a_reader_s_own_digests(client, hers, key):
    other = make.subscriber("dora@example.org")
    theirs = make.digest(hers.batch, other, [(hers.picks[0].candidate, 0)])

    page = text(client.get(f"/digests/{key}"))

    assert f'href="/d/{hers.key}"' in page
    assert "Friday, 20 November 2026" in page
    assert f"{cards(hers)[0]['title']}, and 2 more" in page
    assert theirs.key not in page


def test_a_note_about_an_empty_day_has_its_page_and_its_line(client, hers, key):
    Digest.objects.update(packed_picks=b"")

    archive = text(client.get(f"/digests/{key}"))
    page = text(client.get(f"/d/{hers.key}"))

    assert f'href="/d/{hers.key}"' in archive
    assert "Nothing for you that day" in archive
    assert "No matches today" in page
    assert f'href="http://testserver/preferences/{hers.key}"' in page
    assert client.get(f"/d/{hers.key}/1/arxiv").status_code == 404


def test_an_empty_archive_says_when_to_expect_one(client, key):
    assert "None yet" in text(client.get(f"/digests/{key}"))
