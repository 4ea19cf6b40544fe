"""Signing up: the same answer for everybody, the right mail for each."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts.forms import address
from accounts.models import CONSENT_TEXT, Link, Subscriber, Suppression
from accounts.signals import confirmed
from tests.accounts.conftest import but_for, last_path

pytestmark = pytest.mark.django_db

WISHES = ["search:post-training quantization", "topic:robots"]


@pytest.fixture
def heard():
    """What `confirmed` told whoever cares."""
    said = []

    def listen(sender, subscriber, requested_interests, **_):
        said.append((subscriber, requested_interests))

    confirmed.connect(listen)
    yield said
    confirmed.disconnect(listen)


def sign_up(visitor, email="new@example.org", **fields):
    return visitor.post("/subscribe", {"email": email, **fields})


@pytest.mark.both
def test_a_sign_up_becomes_a_reader_only_when_the_mailed_button_is_pressed(
    visitor, heard
):
    sign_up(visitor, "New@Example.org ", wish=WISHES, zone="Europe/Berlin")
    reader = Subscriber.objects.get()
    assert (reader.email, reader.state) == ("new@example.org", "pending")
    path = last_path()
    assert "Confirm my address" in visitor.get(path).text
    reader.refresh_from_db()
    assert (reader.state, heard) == ("pending", [])

    answer = visitor.post(path)

    reader.refresh_from_db()
    assert (reader.state, reader.zone) == ("active", "Europe/Berlin")
    assert reader.consent_text == CONSENT_TEXT
    assert reader.consent_how
    assert reader.confirmed_at
    assert heard == [(reader, WISHES)]
    preferences = Link.objects.get(purpose="preferences")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/preferences/{preferences.key}?welcome=1"


def test_every_address_gets_the_same_answer(visitor, ada, bob, cleo):
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)
    known = [reader.email for reader in (ada, bob, cleo)]
    asked = [*known, "dora@example.org", "new@example.org"]

    answers = [sign_up(visitor, email) for email in asked]

    assert {answer.status_code for answer in answers} == {200}
    assert len(set(map(but_for, asked, answers))) == 1
    told = [dict(answer.headers) for answer in answers]
    lengths = [int(headers.pop("Content-Length")) for headers in told]
    assert told.count(told[0]) == len(told)
    assert len({n - len(email) for n, email in zip(lengths, asked, strict=True)}) == 1


def test_the_answer_asks_the_database_nothing(visitor, django_assert_num_queries, ada):
    with django_assert_num_queries(0):
        visitor.client.post("/subscribe", {"email": ada.email})


def test_an_active_reader_is_mailed_their_preferences_instead(visitor, ada):
    sign_up(visitor, ada.email, wish=WISHES)

    (letter,) = mail.outbox
    assert letter.to == [ada.email]
    assert "already gets digests" in letter.body
    assert "What was just asked for is\noffered there" in letter.body
    assert "quantization" not in letter.body
    assert Link.objects.get().payload["requested_interests"] == WISHES
    assert last_path().startswith("/preferences/")
    assert not Link.objects.filter(purpose="confirm").exists()


def test_who_never_confirmed_or_left_is_asked_again(visitor, bob, cleo):
    for reader in (bob, cleo):
        sign_up(visitor, reader.email)

        assert mail.outbox[-1].to == [reader.email]
        assert last_path().startswith("/confirm/")
    assert Subscriber.objects.count() == 2


def test_who_complained_is_never_mailed_again(visitor):
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)

    sign_up(visitor, "dora@example.org")

    assert mail.outbox == []
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize(("days", "mails"), [(29, 0), (31, 1)])
def test_an_address_that_bounced_may_try_again_after_a_month(visitor, days, mails):
    Suppression.add("dora@example.org", Suppression.Reason.BOUNCE)
    Suppression.objects.update(created_at=timezone.now() - timedelta(days=days))

    sign_up(visitor, "dora@example.org")

    assert len(mail.outbox) == mails
    if mails:
        visitor.post(last_path())
        assert Subscriber.objects.get().may_be_mailed(timezone.now())


def test_a_complaint_after_the_confirmation_was_mailed_still_counts(visitor, heard):
    sign_up(visitor)
    Suppression.add("new@example.org", Suppression.Reason.COMPLAINT)

    answer = visitor.post(last_path())

    assert "may not write" in answer.text
    assert Subscriber.objects.get().state == "pending"
    assert heard == []


def test_nothing_that_a_visitor_typed_is_in_the_mail(visitor):
    sign_up(visitor, wish=["search:buy pills at evil.example"], zone="evil.example")

    (letter,) = mail.outbox
    (html, _) = letter.alternatives[0]
    for text in (letter.subject, letter.body, html):
        assert "pills" not in text
        assert "evil" not in text


def test_programs_that_fill_every_field_are_thanked_and_ignored(visitor):
    person = sign_up(visitor, "person@example.org")

    program = sign_up(visitor, "program@example.org", website="https://spam.example")

    assert but_for("program@example.org", program) == but_for(
        "person@example.org", person
    )
    assert [letter.to for letter in mail.outbox] == [["person@example.org"]]


def test_a_wrong_address_is_shown_again_escaped_with_its_wishes(visitor):
    typed = '"><img src=x onerror=alert(1)>'

    answer = sign_up(visitor, typed, wish=[typed + ":"], zone=typed)

    assert answer.status_code == 400
    assert "not an email address" in answer.text
    assert "<img" not in answer.text
    assert answer.text.count("&lt;img") == 3
    assert mail.outbox == []


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "ada@localhost",
        "ada@example",
        "ada@example.org\nBcc: all@example.org",
        "Ada <ada@example.org>",
        "ada@example.org, bob@example.org",
        "ä@example.org",
        "a" * 250 + "@example.org",
        "ada@exa\0mple.org",
    ],
)
def test_what_is_no_address_is_refused(visitor, typed):
    answer = sign_up(visitor, typed)

    assert answer.status_code == 400
    assert not Subscriber.objects.exists()


def test_a_domain_beyond_ascii_is_stored_as_mail_programs_write_it():
    assert address(" Ada@MÜNCHEN.example ") == "ada@xn--mnchen-3ya.example"


def test_wishes_are_bounded(visitor):
    good = [f"keyword:{number}" for number in range(40)]

    sign_up(visitor, wish=["keyword:" + "x" * 300, "no kind", "search:\0", *good])

    assert Link.objects.get().payload["requested_interests"] == good[:30]


def test_an_unknown_zone_is_utc(visitor):
    sign_up(visitor, zone="Mars/Olympus")
    visitor.post(last_path())

    assert Subscriber.objects.get().zone == "UTC"


def test_coming_back_keeps_the_zone_one_chose(visitor, cleo):
    Subscriber.objects.update(zone="Asia/Tokyo")
    sign_up(visitor, cleo.email, zone="Europe/Berlin")

    visitor.post(last_path())

    cleo.refresh_from_db()
    assert (cleo.state, cleo.zone, cleo.left_at) == ("active", "Asia/Tokyo", None)


def test_a_mailbox_is_mailed_three_times_an_hour_and_the_answer_stays(visitor):
    asked = [f"ada+{n}@example.org" for n in range(4)]

    answers = [sign_up(visitor, email) for email in asked]

    assert len(mail.outbox) == 3
    assert len(set(map(but_for, asked, answers))) == 1


def test_a_network_that_sends_too_many_forms_is_told(visitor):
    codes = [sign_up(visitor, f"r{n}@d{n}.example").status_code for n in range(21)]
    near = visitor.post(
        "/preferences-link", {"email": "x@y.example"}, REMOTE_ADDR="192.0.2.9"
    )
    far = visitor.post("/subscribe", {"email": "x@y.example"}, REMOTE_ADDR="192.0.3.7")

    assert codes == [200] * 20 + [429]
    assert near.status_code == 429
    assert far.status_code == 200


def test_a_domain_is_not_flooded_from_many_networks(visitor, monkeypatch):
    monkeypatch.setattr("accounts.rate_limits.DOMAIN_RATE", "5/h")

    for n in range(7):
        sign_up(visitor, f"reader{n}@firm.example")
        sign_up(visitor, f"reader{n}@gmail.com")

    assert [letter.to[0].split("@")[1] for letter in mail.outbox].count(
        "firm.example"
    ) == 5
    assert len(mail.outbox) == 12


def test_a_link_is_used_once_and_then_says_so(visitor, heard):
    sign_up(visitor, wish=WISHES)
    path = last_path()
    visitor.post(path)

    again = [visitor.post(path), visitor.get(path)]

    for answer in again:
        assert answer.status_code == 200
        assert "Already confirmed" in answer.text
        assert 'action="/preferences-link"' in answer.text
    assert len(heard) == 1


def test_a_late_link_offers_another_with_the_same_wishes(visitor):
    sign_up(visitor, wish=['search:<b>"quoted"</b>'])
    path = last_path()
    Link.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    answer = visitor.post(path)

    assert "has closed" in answer.text
    assert 'value="new@example.org"' in answer.text
    assert "search:&lt;b&gt;&#34;quoted&#34;&lt;/b&gt;" in answer.text
    assert Subscriber.objects.get().state == "pending"


def test_who_left_after_confirming_may_come_back_by_the_old_link(visitor, cleo):
    link = Link.issue(cleo, "confirm", timezone.now())
    link.redeem(timezone.now())

    answer = visitor.get(f"/confirm/{link.key}")

    assert "Mail me another link" in answer.text


@pytest.mark.parametrize("door", ["confirm", "address"])
def test_an_unknown_key_opens_nothing(visitor, door):
    assert visitor.get(f"/{door}/nothing").status_code == 404
    assert visitor.post(f"/{door}/nothing").status_code == 404


def test_a_link_opens_only_the_door_it_was_made_for(visitor, bob):
    link = Link.issue(bob, "preferences", timezone.now())

    assert visitor.post(f"/confirm/{link.key}").status_code == 404
    bob.refresh_from_db()
    assert bob.state == "pending"


def test_a_listener_that_fails_does_not_spoil_the_confirmation(visitor, caplog):
    def fail(**_):
        raise RuntimeError("the broker is down")

    confirmed.connect(fail)
    sign_up(visitor)

    answer = visitor.post(last_path())

    confirmed.disconnect(fail)
    assert answer.status_code == 302
    assert "the broker is down" in caplog.text
