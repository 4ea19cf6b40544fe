"""The preferences page: what it shows and what each of its forms changes."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Link, Subscriber, Suppression
from digest import follows
from digest.feedback import clicks, paper_feedback
from digest.models import Digest, Interest, Paper, SendingPause
from tests import make
from tests.site.conftest import HOSTILE, body


@pytest.fixture
def url(client, key):
    return f"/preferences/{key}"


def stored(reader):
    rows = reader.follows.values_list("interest__kind", "interest__value", "weight")
    return set(rows)


def preview(page):
    return page.partition("Preview of your next digest")[2]


def test_follows_mutes_and_feedback_are_listed(client, url, ada, digest):
    follows.follow(ada, "topic", "robots")
    follows.follow(ada, "keyword", HOSTILE)
    follows.follow(ada, "author", "Bruno Lindqvist", -1)
    paper_feedback.store_opinion(digest, 2, "less")

    page = body(client.get(url))

    assert 'value="robots" checked' in page
    assert "&lt;img src=x" in page
    assert "<img" not in page
    assert "Remove Bruno Lindqvist" in page.partition("<h2>Muted</h2>")[2]
    papers = body(client.get(f"{url}/papers"))
    disliked = papers.partition("Less like these")[2].partition("</section>")[0]
    assert "Study" in disliked


def test_preview_leaves_out_papers_of_earlier_digests(client, url, digest):
    sent = [pick.candidate for pick in digest.picks]
    titles = [c.card["title"] for c in digest.edition.candidates.filter(pk__in=sent)]

    section = preview(body(client.get(f"{url}/delivery")))

    assert section.count("<article") == 9
    assert not any(title in section for title in titles)


def test_topics_become_exactly_the_ticked_ones(client, url, ada, edition):
    make.topic("Gone", is_listed=False)
    for slug in ("robots", "gone"):
        follows.follow(ada, "topic", slug)
    follows.follow(ada, "keyword", "int4")

    response = client.post(
        url,
        {
            "action": "save_follows",
            "topic": ["quantization", "gone", "invented"],
            "shown_topic": ["robots", "gone"],
        },
    )

    assert response["Location"] == f"{url}?message=saved"
    assert stored(ada) == {
        ("topic", "quantization", 1.0),
        ("topic", "gone", 1.0),
        ("keyword", "int4", 1.0),
    }


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            {"action": "save_follows", "follow_keyword": "INT4,  sparse   maps,"},
            {("keyword", "INT4", 1.0), ("keyword", "sparse maps", 1.0)},
        ),
        (
            {"action": "save_follows", "follow_author": "Okafor, Ada"},
            {("author", "Okafor, Ada", 1.0)},
        ),
        (
            {"action": "save_follows", "mute_category": "cs.CR"},
            {("category", "cs.CR", -1.0)},
        ),
        (
            {"action": "save_follows", "follow_search": "maps, and territory"},
            {("search", "maps, and territory", 1.0)},
        ),
        ({"action": "save_follows", "follow_category": "nonsense category"}, set()),
        ({"action": "save_follows", "mute_keyword": "x" * 81}, set()),
        ({"action": "explode"}, set()),
        ({}, set()),
    ],
)
def test_entries_are_stored_or_refused_with_a_message(client, url, ada, form, expected):
    response = client.post(url, form, follow=True)

    assert stored(ada) == expected
    css_class = "success" if expected else "error"
    assert f'class="{css_class}" role="status"' in body(response)


@pytest.mark.parametrize(
    ("kind", "followed", "entered"),
    [
        ("keyword", "int4", "  INT4, blockchain"),
        ("author", "Ada Okafor", "Ada Okafor"),
        ("category", "cs.CR", "cs.cr"),
    ],
)
def test_muting_a_followed_interest_asks_first(
    client, url, ada, kind, followed, entered
):
    follows.follow(ada, kind, followed)
    form = {"action": "save_follows", f"mute_{kind}": entered}

    page = body(client.post(url, form))

    assert (kind, followed, 1.0) in stored(ada)
    alert = page.partition('role="alert"')[2].partition("</div>")[0]
    assert f"You follow “{followed}”" in alert
    assert f'name="mute_{kind}" value="{followed}"' in alert

    client.post(
        url,
        {"action": "save_follows", "confirmed": "1", f"mute_{kind}": followed},
    )

    assert {weight for _, _, weight in stored(ada)} == {-1.0}
    assert len(stored(ada)) == len(entered.split(","))


def test_invalid_category_message_shows_the_format(client, url, ada):
    form = {"action": "save_follows", "follow_category": "cs.LG, natural language"}

    page = body(client.post(url, form, follow=True))

    assert "Enter arXiv categories, such as cs.LG or stat.ML" in page
    assert stored(ada) == {("category", "cs.LG", 1.0)}


def test_reader_has_at_most_sixty_interests(client, url, ada):
    for number in range(follows.MAX_INTERESTS):
        follows.follow(ada, "keyword", f"word {number}")

    form = {"action": "save_follows", "follow_keyword": "more"}
    response = client.post(url, form)

    assert "you already have 60 interests" in body(response)
    assert 'name="follow_keyword" value="more"' in body(response)
    assert ada.follows.count() == follows.MAX_INTERESTS


def test_topic_can_be_swapped_at_the_limit(client, url, ada, edition):
    follows.follow(ada, "topic", "robots")
    for number in range(follows.MAX_INTERESTS - 1):
        follows.follow(ada, "keyword", f"word {number}")

    form = {
        "action": "save_follows",
        "topic": ["quantization"],
        "shown_topic": ["robots"],
    }
    page = body(client.post(url, form, follow=True))

    assert "Saved." in page
    assert ada.follows.get(interest__kind="topic").interest.value == "quantization"


def test_keyword_is_not_called_by_the_name_of_a_topic(client, url, ada, edition):
    follows.follow(ada, "topic", "quantization")
    follows.follow(ada, "keyword", "quantization")

    assert 'aria-label="Remove quantization"' in body(client.get(url))
    assert "“Quantization”" not in preview(body(client.get(f"{url}/delivery")))


def test_unknown_category_is_not_followed(client, url, ada):
    form = {"action": "save_follows", "follow_category": "cs.XX"}

    page = body(client.post(url, form, follow=True))

    assert "Enter arXiv categories, such as cs.LG" in page
    assert stored(ada) == set()


def test_removing_an_interest_keeps_those_of_other_readers(client, url, ada):
    follow = follows.follow(ada, "keyword", "int4")
    follows.follow(make.subscriber("dora@example.org"), "keyword", "int4")

    client.post(url, {"action": "remove", "interest": follow.interest_id})

    readers = [row.subscriber.email for row in Interest.objects.get().follows.all()]
    assert readers == ["dora@example.org"]


@pytest.mark.parametrize("interest", ["", "x", "-1", "²", "9" * 40])
def test_invalid_interest_id_is_refused(client, url, interest):
    response = client.post(url, {"action": "remove", "interest": interest})

    assert response["Location"].endswith("message=invalid")


SCHEDULE = {
    "action": "save_delivery",
    "length": "5",
    "frequency": "weekly",
    "weekday": "6",
    "hour": "21",
    "zone": "Asia/Kathmandu",
    "fill_mode": "followed_only",
    "short_mails": "on",
    "note_when_empty": "on",
    "saved_on_friday": "on",
}


def shown_values(page):
    """What a page sends unless its reader changes something."""
    return dict(re.findall(r'name="(was_\w+)" value="([^"]*)"', page))


def test_delivery_is_saved_and_shown(client, url, ada):
    shown = shown_values(body(client.get(f"{url}/delivery")))

    response = client.post(f"{url}/delivery", SCHEDULE | shown)

    ada.refresh_from_db()
    saved = {name: getattr(ada, name) for name in SCHEDULE if name != "action"}
    assert saved == {
        **{"length": 5, "frequency": "weekly", "weekday": 6, "hour": 21},
        **{"zone": "Asia/Kathmandu", "fill_mode": "followed_only"},
        **dict.fromkeys(["short_mails", "note_when_empty", "saved_on_friday"], True),
    }
    assert not ada.learns_from_clicks
    page = body(client.get(response["Location"]))
    assert "Saved." in page
    assert 'value="Asia/Kathmandu"' in page
    assert '<option value="21" selected>21:00</option>' in page
    assert re.search('name="note_when_empty" [^>]* checked>', page)
    assert shown_values(page)["was_hour"] == "21"


def test_a_stale_tab_undoes_nothing(client, url, ada, edition):
    follows.follow(ada, "topic", "robots")
    delivery = shown_values(body(client.get(f"{url}/delivery")))
    same = {name.removeprefix("was_"): value for name, value in delivery.items()}
    Subscriber.objects.update(hour=5, short_mails=True)
    follows.follow(ada, "topic", "quantization")

    form = same | delivery | {"action": "save_delivery", "length": "3"}
    client.post(f"{url}/delivery", form)
    shown = {"topic": ["robots"], "shown_topic": ["robots"]}
    client.post(url, {"action": "save_follows", "follow_keyword": "int4", **shown})

    ada.refresh_from_db()
    assert (ada.hour, ada.short_mails, ada.length) == (5, True, 3)
    assert {value for _, value, _ in stored(ada)} == {"robots", "quantization", "int4"}


def test_one_form_saves_every_field_and_a_removal(client, url, ada, edition):
    old = follows.follow(ada, "keyword", "old words")
    form = {
        "action": "save_follows",
        "topic": ["robots"],
        "follow_search": "maps",
        "follow_author": "Ada Okafor",
        "mute_category": "cs.CR",
        "remove": old.interest_id,
    }

    client.post(url, form)

    assert stored(ada) == {
        *{("topic", "robots", 1.0), ("search", "maps", 1.0)},
        *{("author", "Ada Okafor", 1.0), ("category", "cs.CR", -1.0)},
    }


def test_each_follow_says_what_it_matches(client, url, ada, edition, settings):
    settings.ARXIV_CATEGORIES = ["cs"]
    rows = [
        ("keyword", "quantization"),
        ("keyword", "glaciers"),
        ("author", "Ada Okafor"),
    ]
    for kind, value in [
        *rows,
        ("category", "math.AG"),
        ("search", "studdy"),
        ("topic", "robots"),
    ]:
        follows.follow(ada, kind, value)

    page = body(client.get(url))

    effects = dict(re.findall(r"<div>([^<]+)<br><span class=\"small\">([^<]+)", page))
    assert effects == {
        "quantization": "2 papers in the last two weeks",
        "glaciers": "None yet",
        "Ada Okafor": "12 papers in the last two weeks",
        "math.AG": "Not read here",
        "studdy": "None yet: did you mean “study”?",
    }
    assert "<li>Robots: 2 papers in the last two weeks</li>" in page


@pytest.mark.parametrize(
    "invalid",
    [
        *({"hour": "24"}, {"length": "31"}, {"length": "0"}, {"zone": "Mars/Olympus"}),
        *(
            {"frequency": "hourly"},
            {"weekday": "7"},
            {"hour": ""},
            {"fill_mode": "all"},
        ),
    ],
)
def test_an_invalid_value_changes_nothing(client, url, ada, invalid):
    before = Subscriber.objects.values().get(pk=ada.pk)
    was = {f"was_{name}": "" if value else "x" for name, value in invalid.items()}
    good = {"was_note_when_empty": "", "note_when_empty": "on"}

    response = client.post(
        f"{url}/delivery", {"action": "save_delivery", **good, **was, **invalid}
    )

    message = "zone" if "zone" in invalid else "invalid"
    assert response["Location"].endswith(f"/delivery?message={message}")
    assert Subscriber.objects.values().get(pk=ada.pk) == before


def test_a_form_changes_only_fields_of_its_page(client, url, ada):
    form = {"email": "x@example.org", "was_email": "", "state": "left", "was_state": ""}

    client.post(f"{url}/delivery", {"action": "save_delivery", **form})

    ada.refresh_from_db()
    assert (ada.email, ada.state) == ("ada@example.org", "active")


def test_address_of_the_preview_leads_to_its_form(client, url):
    assert client.get(f"{url}/preview")["Location"] == f"{url}/delivery"


def test_preview_answers_to_a_form_that_is_not_saved(client, url, ada, edition):
    follows.follow(ada, "keyword", "quantization")
    form = {"fill_mode": "followed_only", "was_fill_mode": "followed_first"}

    page = body(client.post(f"{url}/preview", form))

    assert page.count("<article") == 1
    ada.refresh_from_db()
    assert ada.fill_mode == "followed_first"
    wrong = {"length": "x", "was_length": "10"}
    assert body(client.post(f"{url}/preview", wrong)).count("<article") == 10


def test_turning_off_learning_deletes_what_was_learned(client, url, ada):
    paper = make.paper("Storks of the delta")
    interest = make.interest("paper", paper.identifier)
    ada.follows.create(interest=interest, weight=0.25, source="opened")
    ada.follows.create(interest=make.interest("keyword", "int4"))
    before = body(client.get(f"{url}/papers"))

    client.post(
        f"{url}/delivery", {"action": "save_delivery", "was_learns_from_clicks": "on"}
    )

    assert "Storks of the delta" in before.partition("Learned from")[2]
    assert [row.interest.value for row in ada.follows.all()] == ["int4"]
    assert "Learned from" not in body(client.get(f"{url}/papers"))


def test_time_zones_are_places_and_the_reader_s_own(client, url, ada):
    page = body(client.get(f"{url}/delivery"))

    assert ">Every day with new papers</option>" in page
    for zone in ("UTC", "Asia/Kolkata", "America/Argentina/Ushuaia"):
        assert f'<option value="{zone}">' in page
    for zone in ("localtime", "Factory", "Zulu", "US/Pacific", "Etc/GMT+3"):
        assert f'<option value="{zone}">' not in page
    Subscriber.objects.update(zone="US/Pacific")
    assert '<option value="US/Pacific">' in body(client.get(f"{url}/delivery"))


def test_private_addresses_are_created_replaced_and_revoked(client, url, ada):
    def send(action, kind):
        return client.post(f"{url}/data", {"action": action, "kind": kind}, follow=True)

    page = body(send("create_key", "list"))
    first = ada.access_keys.get().key
    assert f"http://testserver/saved/{first}" in page
    assert client.get(f"/saved/{first}").status_code == 200

    send("create_key", "list")
    second = ada.access_keys.get().key
    assert client.get(f"/saved/{first}").status_code == 404
    assert "New address created" in body(send("create_key", "feed"))
    assert "Revoked" in body(send("revoke_key", "list"))
    assert client.get(f"/saved/{second}").status_code == 404
    assert "incomplete" in body(send("create_key", "everything"))


@pytest.mark.parametrize(
    ("fill_mode", "note_when_empty", "text"),
    [
        ("followed_only", True, "You would get a short note."),
        ("followed_only", False, "You would get no email."),
        ("followed_first", True, "You would get no email."),
    ],
)
def test_empty_preview_says_whether_a_note_is_sent(
    client, url, ada, fill_mode, note_when_empty, text
):
    Subscriber.objects.update(fill_mode=fill_mode, note_when_empty=note_when_empty)

    assert text in preview(body(client.get(f"{url}/delivery")))


def test_reader_who_follows_nothing_gets_trending_papers(client, url, ada, edition):
    Subscriber.objects.update(fill_mode="followed_only")
    before = body(client.get(f"{url}/delivery"))
    follows.follow(ada, "keyword", "nothing that any paper says")

    after = body(client.get(f"{url}/delivery"))

    assert "t follow anything yet." in before
    assert preview(before).count("<article") == 10
    assert "t follow anything yet." not in after
    assert "No new papers match what you follow" in after


def test_preview_respects_the_fill_mode(client, url, ada, edition):
    follows.follow(ada, "keyword", "quantization")
    before = preview(body(client.get(f"{url}/delivery")))

    client.post(
        f"{url}/delivery",
        {"action": "save_delivery", "fill_mode": "followed_only", "was_fill_mode": ""},
    )
    after = preview(body(client.get(f"{url}/delivery")))

    assert (before.count("<article"), after.count("<article")) == (10, 1)
    assert "Trending" not in after


def test_learning_without_recorded_clicks_is_explained(client, url, settings):
    settings.CLICK_REDIRECT = False

    assert "does not record which papers you open" in body(
        client.get(f"{url}/delivery")
    )


def test_pause_lasts_the_chosen_weeks_and_can_be_ended(client, url, ada):
    client.post(url, {"action": "pause", "weeks": "2"})

    ada.refresh_from_db()
    assert timedelta(days=13) < ada.paused_until - timezone.now() <= timedelta(days=14)
    assert "Resume now" in body(client.get(url))

    client.post(url, {"action": "resume"})

    ada.refresh_from_db()
    assert ada.paused_until is None


@pytest.mark.parametrize("weeks", ["0", "5", "-1", "x", ""])
def test_pause_is_one_to_four_weeks(client, url, ada, weeks):
    client.post(url, {"action": "pause", "weeks": weeks})

    ada.refresh_from_db()
    assert ada.paused_until is None


def test_resubscribing_needs_an_address_without_complaint(client, cleo):
    key = Link.issue(cleo, Link.Purpose.PREFERENCES, timezone.now()).key
    Suppression.add(cleo.email, "complaint")
    assert "You unsubscribed, so you get no digests." in (
        body(client.get(f"/preferences/{key}"))
    )

    response = client.post(
        f"/preferences/{key}", {"action": "resubscribe"}, follow=True
    )

    cleo.refresh_from_db()
    assert cleo.state == "left"
    assert "send email to this address" in body(response)

    Suppression.objects.all().delete()
    client.post(f"/preferences/{key}", {"action": "resubscribe"})

    cleo.refresh_from_db()
    assert cleo.is_active
    assert cleo.consent_how == "preferences page"


def test_suppressed_address_is_reported(client, url, ada):
    assert "send email to this address" not in body(client.get(url))

    Suppression.add(ada.email, "bounce")

    assert '/data#address">Use a different address' in body(client.get(url))


def test_erasing_asks_first_and_keeps_only_the_suppression(client, url, ada, digest):
    Suppression.add(ada.email, "bounce")
    page = body(client.get(f"{url}/erase"))
    assert "For ada@example.org." in page
    assert Subscriber.objects.filter(pk=ada.pk).exists()

    response = client.post(f"{url}/erase")

    assert "Your data was deleted" in body(response)
    assert "ada@" not in body(response)
    assert not Subscriber.objects.filter(pk=ada.pk).exists()
    assert not Digest.objects.exists()
    assert Suppression.objects.count() == 1


def test_export_holds_the_reader_s_data_without_keys(client, url, ada, digest):
    make.subscriber("dora@example.org")
    clicks.record_click(digest, 1, "pdf", timezone.now())

    response = client.get(f"{url}/data.json")

    data = response.json()
    assert data["reader"]["email"] == "ada@example.org"
    assert data["reader"]["fill_mode"] == "followed_first"
    assert data["reader"]["learns_from_clicks"] is True
    assert data["interests"][0]["interest__value"] == "quantization"
    assert data["digests"][0]["edition__day"] == "2026-11-20"
    first = digest.edition.candidates.get(pk=digest.picks[0].candidate)
    assert data["digests"][0]["papers"][0] == {
        "identifier": first.paper.identifier,
        "reason": "Close to your search “quantization”",
    }
    click = {"paper": first.paper.identifier, "verb": "pdf"}
    assert {
        event["events__kind"]: event["events__payload"] for event in data["events"]
    } == {"click": click}
    assert len(data["digests"][0]["papers"]) == 3
    assert data["links"][0]["purpose"] == "preferences"
    assert "attachment" in response["Content-Disposition"]
    for secret in (digest.key, url.rpartition("/")[2], "dora", ada.unsubscribe_key):
        assert secret not in body(response)


def test_interests_of_a_second_sign_up_are_offered_and_followed(client, ada, edition):
    requested = ["topic:robots", f"keyword:{HOSTILE}", "keyword:int4", "nonsense"]
    follows.follow(ada, "keyword", "int4")
    link = Link.issue(
        ada, Link.Purpose.PREFERENCES, timezone.now(), requested_interests=requested
    )
    url = f"/preferences/{link.key}"

    page = body(client.get(url))
    assert "asked for: Robots; &lt;img" in page
    assert ada.follows.count() == 1

    after = body(client.post(url, {"action": "follow_requested"}, follow=True))

    assert ("topic", "robots", 1.0) in stored(ada)
    assert ada.follows.count() == 3
    assert "Saved." in after
    assert "signed up again" not in after


def test_requested_interests_are_read_from_the_link_only(client, url, ada, edition):
    form = {"action": "follow_requested", "requested_interests": ["topic:robots"]}

    response = client.post(url, form)

    assert response["Location"].endswith("message=invalid")
    assert stored(ada) == set()


WELCOMES = {
    "due": "is on its way",
    "sent": "was sent",
    "not frozen": "arrives when",
    "sending paused": "arrives when",
    "already skipped": "arrives when",
    "failed": "arrives when",
    "no match": "arrives when",
    "suppressed": "arrives when",
}


@pytest.mark.parametrize(("case", "text"), WELCOMES.items())
def test_welcome_says_that_a_digest_is_sent_only_where_it_is(
    client, url, ada, edition, case, text
):
    if case != "not frozen":
        make.frozen(edition)
    match case:
        case "sent":
            make.digest(make.batch(edition, [ada]), ada, outcome="accepted")
        case "failed":
            make.digest(make.batch(edition, [ada]), ada, outcome="failed")
        case "already skipped":
            make.digest(make.batch(edition, [ada]), ada, outcome="skipped")
        case "sending paused":
            SendingPause.objects.trigger("test", timezone.now())
        case "no match":
            Subscriber.objects.update(fill_mode="followed_only")
            follows.follow(ada, "keyword", "nothing that any paper says")
        case "suppressed":
            Suppression.add(ada.email, "complaint")

    page = body(client.get(f"{url}?welcome=1"))

    assert f"Your first digest {text}" in page


def test_page_needs_thirty_queries_however_many_follows(
    client, url, ada, digest, django_assert_max_num_queries
):
    for number in range(30):
        follows.follow(ada, "keyword", f"word {number}")
    for paper in Paper.objects.all()[:10]:
        follows.follow(ada, "paper", paper.identifier, 0.5)
    client.get(url)

    with django_assert_max_num_queries(30):
        client.get(url)


def test_refused_category_stays_in_its_field_and_the_rest_is_saved(client, key, ada):
    values = {
        "action": "save_follows",
        "follow_category": "cs.LG, cs.LLM",
        "follow_author": "Bo",
    }
    page = body(client.post(f"/preferences/{key}", values))

    assert re.findall(r'name="follow_category" value="(.*?)"', page) == ["cs.LLM"]
    assert 'name="follow_author" value=""' in page
    assert "Enter arXiv categories" in page
    stored = set(ada.follows.values_list("interest__value", flat=True))
    assert stored == {"cs.LG", "Bo"}
