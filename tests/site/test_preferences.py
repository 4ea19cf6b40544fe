"""Preferences: whose they are, what each form changes, and that opening changes nothing."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Link, Subscriber, Suppression
from digest import follows
from digest.feedback import paper_feedback
from digest.models import Digest, Interest, Paper
from tests import make
from tests.site.conftest import HOSTILE, text


@pytest.fixture
def door(client, key):
    return f"/preferences/{key}"


def stances(reader):
    rows = reader.follows.values_list("interest__kind", "interest__value", "weight")
    return set(rows)


def test_a_link_of_another_purpose_or_age_opens_nothing(client, ada):
    now = timezone.now()
    wrong = Link.issue(ada, Link.Purpose.CONFIRM, now).key
    old = Link.issue(ada, Link.Purpose.PREFERENCES, now - timedelta(days=30)).key

    for key in (wrong, old, "unknown", ada.unsubscribe_key):
        response = client.get(f"/preferences/{key}")
        assert response.status_code == 404
        assert 'action="/preferences-link"' in text(response)
        assert "ada@" not in text(response)


def test_a_digest_s_key_opens_preferences_for_thirty_days(client, hers, ada):
    assert "ada@example.org" in text(client.get(f"/preferences/{hers.key}"))

    Digest.objects.update(created_at=timezone.now() - timedelta(days=30))

    assert client.get(f"/preferences/{hers.key}").status_code == 404


@pytest.mark.parametrize("path", ["", "/erase", "/data.json"])
def test_an_expired_key_neither_shows_nor_changes(client, ada, path):
    old = Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now() - timedelta(days=31))

    client.post(f"/preferences/{old.key}{path}", {"do": "pause", "weeks": "1"})

    ada.refresh_from_db()
    assert ada.paused_until is None


def test_what_is_followed_muted_and_said_is_shown(client, door, ada, hers):
    follows.follow(ada, "topic", "robots")
    follows.follow(ada, "keyword", HOSTILE)
    follows.follow(ada, "author", "Bruno Lindqvist", -1)
    paper_feedback.say(hers, 2, "less")

    shown = text(client.get(door))

    assert 'value="robots" checked' in shown
    assert "&lt;img src=x" in shown
    assert "<img" not in shown
    assert "Remove Bruno Lindqvist" in shown.partition("<h2>Mute</h2>")[2]
    disliked = shown.partition("<h3>Less</h3>")[2].partition("</section>")[0]
    assert "Study" in disliked


def test_the_next_digest_is_shown_and_holds_nothing_sent_before(client, door, hers):
    sent = [pick.candidate for pick in hers.picks]
    titles = [c.card["title"] for c in hers.edition.candidates.filter(pk__in=sent)]

    preview = text(client.get(door)).partition("Your next digest")[2]

    assert preview.count("<article") == 9
    assert not any(title in preview for title in titles)


def test_topics_become_exactly_the_ticked_ones(client, door, ada, world):
    make.topic("Gone", is_listed=False)
    for slug in ("robots", "gone"):
        follows.follow(ada, "topic", slug)
    follows.follow(ada, "keyword", "int4")

    response = client.post(
        door, {"do": "topics", "topic": ["quantization", "gone", "invented"]}
    )

    assert response["Location"] == f"{door}?said=saved"
    assert stances(ada) == {
        ("topic", "quantization", 1.0),
        ("topic", "gone", 1.0),
        ("keyword", "int4", 1.0),
    }


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            {"do": "follow", "kind": "keyword", "value": "INT4,  sparse   attention,"},
            {("keyword", "int4", 1.0), ("keyword", "sparse attention", 1.0)},
        ),
        (
            {"do": "follow", "kind": "author", "value": "Okafor, Ada"},
            {("author", "Okafor, Ada", 1.0)},
        ),
        (
            {"do": "mute", "kind": "category", "value": "cs.CR"},
            {("category", "cs.CR", -1.0)},
        ),
        (
            {"do": "follow", "kind": "search", "value": "maps, and territory"},
            {("search", "maps, and territory", 1.0)},
        ),
        ({"do": "follow", "kind": "category", "value": "nonsense category"}, set()),
        ({"do": "follow", "kind": "paper", "value": "2611.00001"}, set()),
        ({"do": "follow", "kind": "keyword", "value": " , "}, set()),
        ({"do": "mute", "kind": "keyword", "value": "x" * 81}, set()),
        ({"do": "follow"}, set()),
        ({"do": "explode"}, set()),
        ({}, set()),
    ],
)
def test_what_is_typed_is_followed_or_refused_with_a_word(
    client, door, ada, form, expected
):
    response = client.post(door, form, follow=True)

    assert stances(ada) == expected
    assert ('class="success"' if expected else 'class="error"') in text(response)


@pytest.mark.parametrize(
    ("place", "form"),
    [
        ("words", {"do": "follow", "kind": "keyword", "value": "int4"}),
        ("mutes", {"do": "mute", "kind": "category", "value": "nonsense category"}),
        ("topics", {"do": "topics", "topic": ["robots"]}),
        ("fill", {"do": "fill", "fill_mode": "followed_only"}),
        ("times", {"do": "schedule"}),
        ("address", {"do": "address", "email": "dora@example.org"}),
    ],
)
def test_a_press_is_answered_where_it_was_made(client, door, world, place, form):
    response = client.post(door, form | {"at": place})

    assert response["Location"].endswith(f"&at={place}#{place}")
    page = text(client.get(response["Location"]))
    part = page.partition(f'id="{place}"')[2].partition("</section>")[0]
    assert part.count('role="status"') == page.count('role="status"') == 1
    assert f'name="at" value="{place}"' in part


def test_what_is_answered_at_the_top_forgets_where_the_last_press_was(
    client, door, ada
):
    ada.paused_until = timezone.now() + timedelta(days=7)
    ada.save()

    page = text(client.get(f"{door}?said=saved&at=times"))

    forms = re.findall(r'<form method="post".*?</form>', page, re.S)
    inherit = [form for form in forms if "action=" not in form]
    assert any('value="resume"' in form for form in forms)
    assert all('name="at"' in form for form in inherit)


def test_time_zones_are_places_and_the_one_that_a_reader_has(client, door, ada):
    page = text(client.get(door))

    for zone in ("UTC", "Asia/Kolkata", "America/Argentina/Ushuaia"):
        assert f">{zone}</option>" in page
    for zone in ("localtime", "Factory", "Zulu", "US/Pacific", "Etc/GMT+3"):
        assert f">{zone}</option>" not in page
    Subscriber.objects.update(zone="US/Pacific")
    assert "<option selected>US/Pacific</option>" in text(client.get(door))


def test_the_last_example_that_is_removed_is_answered_too(client, door, ada, world):
    mine = follows.follow(ada, "paper", Paper.objects.first().identifier)
    form = {"do": "unfollow", "interest": mine.interest_id, "at": "liked"}

    page = text(client.post(door, form, follow=True))

    assert "Saved." in page.partition('id="liked"')[2].partition("</section>")[0]


@pytest.mark.parametrize("place", ["", "nowhere", "//evil.example", "x\r\ny"])
def test_a_press_from_no_known_place_is_answered_at_the_top(client, door, ada, place):
    form = {"do": "follow", "kind": "keyword", "value": "int4", "at": place}

    response = client.post(door, form)

    assert response["Location"] == f"{door}?said=saved"
    page = text(client.get(f"{door}?said=saved&at=nowhere"))
    assert "Saved." in page.partition("<section")[0]


def test_a_category_that_is_none_is_told_how_they_are_written(client, door, ada):
    form = {"do": "follow", "kind": "category", "value": "cs.LG, natural language"}

    page = text(client.post(door, form, follow=True))

    assert "or not all of it: arXiv&#39;s categories are written like cs.LG" in page
    assert stances(ada) == {("category", "cs.LG", 1.0)}


def test_papers_and_topics_are_not_typed(client, door, ada, world):
    known = Paper.objects.first().identifier

    for kind, value in (("paper", known), ("topic", "robots")):
        response = client.post(door, {"do": "mute", "kind": kind, "value": value})
        assert response["Location"].endswith("said=wrong")
    assert stances(ada) == set()


def test_sixty_interests_are_enough(client, door, ada):
    for number in range(follows.MAX_INTERESTS):
        follows.follow(ada, "keyword", f"word {number}")

    response = client.post(door, {"do": "follow", "kind": "keyword", "value": "more"})

    assert response["Location"].endswith("said=refused")
    assert ada.follows.count() == follows.MAX_INTERESTS


def test_one_interest_is_removed_and_nobody_else_s(client, door, ada):
    mine = follows.follow(ada, "keyword", "int4")
    follows.follow(make.subscriber("dora@example.org"), "keyword", "int4")

    client.post(door, {"do": "unfollow", "interest": mine.interest_id})

    assert [row.subscriber.email for row in Interest.objects.get().follows.all()] == [
        "dora@example.org"
    ]


@pytest.mark.parametrize("interest", ["", "x", "-1", "²", "9" * 40])
def test_a_nonsense_interest_is_not_understood(client, door, interest):
    response = client.post(door, {"do": "unfollow", "interest": interest})

    assert response["Location"].endswith("said=wrong")


SCHEDULE = {
    "do": "schedule",
    "length": "5",
    "frequency": "weekly",
    "weekday": "6",
    "hour": "21",
    "zone": "Asia/Kathmandu",
}


def test_times_are_saved(client, door, ada):
    client.post(door, SCHEDULE)

    ada.refresh_from_db()
    kept = (ada.length, ada.frequency, ada.weekday, ada.hour, ada.zone)
    assert kept == (5, "weekly", 6, 21, "Asia/Kathmandu")
    shown = text(client.get(door))
    assert "<option selected>Asia/Kathmandu</option>" in shown
    assert '<option value="21" selected>21:00</option>' in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"hour": "24"},
        {"length": "31"},
        {"length": "0"},
        {"zone": "Mars/Olympus"},
        {"frequency": "hourly"},
        {"weekday": "7"},
        {"hour": ""},
    ],
)
def test_a_wrong_time_changes_nothing(client, door, ada, wrong):
    before = Subscriber.objects.values().get(pk=ada.pk)

    response = client.post(door, SCHEDULE | wrong)

    assert response["Location"].endswith("said=wrong")
    assert Subscriber.objects.values().get(pk=ada.pk) == before


def test_what_fills_the_mail_is_saved_and_shown(client, door, ada):
    fresh = text(client.get(door))
    assert (
        'value="followed_first" aria-describedby="about-followed_first" checked'
        in fresh
    )

    said = client.post(
        door, {"do": "fill", "fill_mode": "followed_only", "note_when_empty": "on"}
    )

    ada.refresh_from_db()
    assert said["Location"].endswith("said=saved")
    assert (ada.fill_mode, ada.note_when_empty, ada.learns_from_clicks) == (
        "followed_only",
        True,
        False,
    )
    shown = text(client.get(door))
    assert (
        'value="followed_only" aria-describedby="about-followed_only" checked' in shown
    )
    assert shown.count('name="fill_mode"') == 3
    assert re.search('name="note_when_empty" [^>]* checked>', shown)
    assert not re.search('name="learns_from_clicks" [^>]* checked>', shown)


def test_what_was_learned_is_listed_apart_and_forgotten_with_the_box(client, door, ada):
    old = make.paper("Storks of the delta")
    seen = make.interest("paper", old.identifier)
    ada.follows.create(interest=seen, weight=0.25, source="opened")
    ada.follows.create(interest=make.interest("keyword", "int4"))
    before = text(client.get(door))

    client.post(
        door, {"do": "fill", "fill_mode": "followed_first", "learns_from_clicks": "on"}
    )
    kept = ada.follows.count()
    client.post(door, {"do": "fill", "fill_mode": "followed_first"})

    assert "Storks of the delta" in before.partition("Learned from")[2]
    assert kept == 2
    assert [row.interest.value for row in ada.follows.all()] == ["int4"]
    assert "Learned from" not in text(client.get(door))


@pytest.mark.parametrize("fill_mode", ["", "all", "OWN"])
def test_a_fill_mode_that_is_none_changes_nothing(client, door, ada, fill_mode):
    said = client.post(door, {"do": "fill", "fill_mode": fill_mode})

    assert said["Location"].endswith("said=wrong")
    ada.refresh_from_db()
    assert (ada.fill_mode, ada.learns_from_clicks) == ("followed_first", True)


@pytest.mark.parametrize(
    ("fill_mode", "ticked", "noted"),
    [
        ("followed_only", True, True),
        ("followed_only", False, False),
        ("followed_first", True, False),
    ],
)
def test_only_who_gets_nothing_but_their_own_is_promised_a_note(
    client, door, ada, fill_mode, ticked, noted
):
    Subscriber.objects.update(fill_mode=fill_mode, note_when_empty=ticked)

    preview = text(client.get(door)).partition("Your next digest")[2]

    assert ("Such a day brings a short note." in preview) is noted


def test_who_follows_nothing_is_told_what_comes_meanwhile(client, door, ada, world):
    Subscriber.objects.update(fill_mode="followed_only")
    before = text(client.get(door))
    follows.follow(ada, "keyword", "nothing that any paper says")

    after = text(client.get(door))

    assert "You follow nothing yet." in before
    assert before.partition("Your next digest")[2].count("<article") == 10
    assert "You follow nothing yet." not in after
    assert "both new to you and close to what you follow" in after


def test_the_preview_follows_the_balance(client, door, ada, world):
    follows.follow(ada, "keyword", "quantization")

    def shown():
        return text(client.get(door)).partition("Your next digest")[2]

    first = shown().count("<article")
    client.post(door, {"do": "fill", "fill_mode": "followed_only"})
    own = shown()

    assert (first, own.count("<article")) == (10, 1)
    assert "Trending" not in own


def test_where_clicks_are_not_counted_nothing_is_said_to_be_learned(
    client, door, settings
):
    settings.CLICK_REDIRECT = False

    assert "Not at work here" in text(client.get(door))


def test_a_form_cannot_touch_what_is_not_in_it(client, door, ada):
    client.post(door, SCHEDULE | {"email": "x@example.org", "state": "left"})

    ada.refresh_from_db()
    assert (ada.email, ada.state) == ("ada@example.org", "active")


def test_a_pause_lasts_its_weeks_and_can_be_ended(client, door, ada):
    client.post(door, {"do": "pause", "weeks": "2"})

    ada.refresh_from_db()
    assert timedelta(days=13) < ada.paused_until - timezone.now() <= timedelta(days=14)
    assert "Resume now" in text(client.get(door))

    client.post(door, {"do": "resume"})

    ada.refresh_from_db()
    assert ada.paused_until is None


@pytest.mark.parametrize("weeks", ["0", "5", "-1", "x", ""])
def test_a_pause_is_one_to_four_weeks(client, door, ada, weeks):
    client.post(door, {"do": "pause", "weeks": weeks})

    ada.refresh_from_db()
    assert ada.paused_until is None


def test_who_left_may_come_back_but_never_after_a_complaint(client, cleo):
    key = Link.issue(cleo, Link.Purpose.PREFERENCES, timezone.now()).key
    Suppression.add(cleo.email, "complaint")
    assert "You get no mail: you left" in text(client.get(f"/preferences/{key}"))

    response = client.post(f"/preferences/{key}", {"do": "return"}, follow=True)

    cleo.refresh_from_db()
    assert cleo.state == "left"
    assert "may not mail it" in text(response)

    Suppression.objects.all().delete()
    client.post(f"/preferences/{key}", {"do": "return"})

    cleo.refresh_from_db()
    assert cleo.is_active
    assert cleo.consent_how == "preferences page"


def test_erasing_asks_and_then_leaves_only_the_hash(client, door, ada, hers):
    Suppression.add(ada.email, "bounce")
    asked = text(client.get(f"{door}/erase"))
    assert "For ada@example.org." in asked
    assert Subscriber.objects.filter(pk=ada.pk).exists()

    response = client.post(f"{door}/erase")

    assert "Everything is erased" in text(response)
    assert "ada@" not in text(response)
    assert not Subscriber.objects.filter(pk=ada.pk).exists()
    assert not Digest.objects.exists()
    assert Suppression.objects.count() == 1


def test_the_export_holds_what_we_keep_and_nothing_of_others(client, door, ada, hers):
    make.subscriber("dora@example.org")

    response = client.get(f"{door}/data.json")

    told = response.json()
    assert told["reader"]["email"] == "ada@example.org"
    assert told["reader"]["fill_mode"] == "followed_first"
    assert told["reader"]["learns_from_clicks"] is True
    assert told["interests"][0]["interest__value"] == "quantization"
    assert told["digests"][0]["edition__day"] == "2026-11-20"
    first = hers.edition.candidates.get(pk=hers.picks[0].candidate)
    assert told["digests"][0]["papers"][0] == first.paper.identifier
    assert len(told["digests"][0]["papers"]) == 3
    assert told["links"][0]["purpose"] == "preferences"
    assert hers.key not in text(response)
    assert door.rpartition("/")[2] not in text(response)
    assert "dora" not in text(response)
    assert "attachment" in response["Content-Disposition"]
    assert ada.unsubscribe_key not in text(response)


def test_a_forwarded_digest_neither_erases_exports_nor_moves_its_reader(
    client, ada, hers, django_capture_on_commit_callbacks
):
    door = f"/preferences/{hers.key}"
    with django_capture_on_commit_callbacks() as mailed:
        answers = [client.get(f"{door}/data.json"), client.post(f"{door}/erase")]
        moved = client.post(door, {"do": "address", "email": "eve@example.org"})

    assert [answer.status_code for answer in answers] == [404, 404]
    assert moved["Location"].endswith("said=wrong")
    assert not mailed
    assert Subscriber.objects.filter(pk=ada.pk).exists()
    shown = text(client.get(door))
    assert f'action="/unsubscribe/{ada.unsubscribe_key}/preferences-link"' in shown
    assert f"{door}/erase" not in shown


def test_a_forwarded_digest_does_not_subscribe_its_reader_again(client, ada, hers):
    ada.unsubscribe(timezone.now())

    response = client.post(f"/preferences/{hers.key}", {"do": "return"}, follow=True)

    ada.refresh_from_db()
    assert ada.state == "left"
    assert "Mail me a link to come back" in text(response)


def test_a_digest_in_an_inbox_that_its_reader_left_opens_nothing(client, ada, hers):
    move = Link.issue(ada, Link.Purpose.ADDRESS, timezone.now(), email="a@new.example")
    assert client.get(f"/preferences/{hers.key}").status_code == 200

    move.redeem(timezone.now())

    assert client.get(f"/preferences/{hers.key}").status_code == 404
    assert client.get(f"/digests/{hers.key}").status_code == 404


def test_what_a_second_sign_up_asked_for_is_offered_and_followed_when_pressed(
    client, ada, world
):
    asked = ["topic:robots", f"keyword:{HOSTILE}", "keyword:int4", "nonsense"]
    follows.follow(ada, "keyword", "int4")
    link = Link.issue(
        ada, Link.Purpose.PREFERENCES, timezone.now(), requested_interests=asked
    )
    door = f"/preferences/{link.key}"

    shown = text(client.get(door))
    assert "asking for: Robots; &lt;img" in shown
    assert ada.follows.count() == 1

    after = text(client.post(door, {"do": "requested_interests"}, follow=True))

    assert ("topic", "robots", 1.0) in stances(ada)
    assert ada.follows.count() == 3
    assert "Saved." in after
    assert "signed up again" not in after


def test_wishes_are_taken_from_the_link_never_from_the_form(client, door, ada, world):
    said = client.post(
        door, {"do": "requested_interests", "requested_interests": ["topic:robots"]}
    )

    assert said["Location"].endswith("said=wrong")
    assert stances(ada) == set()


def test_an_address_that_may_not_be_mailed_is_told_why_nothing_comes(
    client, door, ada, hers
):
    assert "You get no mail" not in text(client.get(door))

    Suppression.add(ada.email, "bounce")

    assert 'href="#address">Move to another address' in text(client.get(door))
    by_digest = text(client.get(f"/preferences/{hers.key}"))
    assert "You get no mail" in by_digest
    assert 'href="/subscribe">Subscribe with another address' in by_digest


def test_a_welcome_promises_no_digest_that_is_not_on_its_way(client, door, world):
    early = text(client.get(f"{door}?welcome=1"))
    make.frozen(world)
    late = text(client.get(f"{door}?welcome=1"))

    assert "when the next edition closes" in early
    assert "is on its way" in late


def test_forms_of_other_sites_are_refused(door, ada):
    strict = Client(enforce_csrf_checks=True)

    assert strict.post(door, {"do": "pause", "weeks": "1"}).status_code == 403
    assert strict.post(f"{door}/erase").status_code == 403
    assert Subscriber.objects.filter(pk=ada.pk, paused_until=None).exists()


@pytest.mark.parametrize(
    "path", ["/preferences/{0}", "/preferences/{0}/erase", "/digests/{0}"]
)
def test_pages_with_a_key_are_neither_indexed_nor_cached_nor_told_to_others(
    client, key, path
):
    response = client.get(path.format(key))

    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Cache-Control"] == "private, no-store"
    # Not no-referrer: browsers would then send "Origin: null" with the forms.
    assert response["Referrer-Policy"] == "same-origin"


def test_the_page_needs_a_bounded_number_of_queries(
    client, door, ada, hers, django_assert_max_num_queries
):
    for number in range(30):
        follows.follow(ada, "keyword", f"word {number}")
    for paper in Paper.objects.all()[:10]:
        follows.follow(ada, "paper", paper.identifier, 0.5)
    client.get(door)

    with django_assert_max_num_queries(30):
        client.get(door)


def test_a_topic_can_be_swapped_for_another_at_the_limit(client, door, ada, world):
    follows.follow(ada, "topic", "robots")
    for number in range(follows.MAX_INTERESTS - 1):
        follows.follow(ada, "keyword", f"word {number}")

    said = client.post(door, {"do": "topics", "topic": ["quantization"]}, follow=True)

    assert "Saved." in text(said)
    assert ada.follows.get(interest__kind="topic").interest.value == "quantization"
