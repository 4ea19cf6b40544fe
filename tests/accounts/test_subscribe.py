"""Sign-up: the same response for every address, and the mail that its state requires."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts.addresses import parse_address
from accounts.models import CONSENT_TEXT, Link, Subscriber, Suppression
from accounts.signals import confirmed
from tests.accounts.conftest import last_link_path, text_without_address

pytestmark = pytest.mark.django_db

REQUESTED = ["search:post-training quantization", "topic:robots"]


@pytest.fixture
def confirmations():
    """The arguments of every `confirmed` signal."""
    received = []

    def record(sender, subscriber, requested_interests, **_):
        received.append((subscriber, requested_interests))

    confirmed.connect(record)
    yield received
    confirmed.disconnect(record)


def sign_up(visitor, email="new@example.org", **fields):
    return visitor.post("/subscribe", {"email": email, **fields})


@pytest.mark.both
def test_posting_the_confirmation_activates_the_reader(visitor, confirmations):
    sign_up(
        visitor, "New@Example.org ", requested_interests=REQUESTED, zone="Europe/Berlin"
    )
    reader = Subscriber.objects.get()
    assert (reader.email, reader.state) == ("new@example.org", "pending")
    path = last_link_path()
    assert "Confirm my address" in visitor.get(path).text
    reader.refresh_from_db()
    assert (reader.state, confirmations) == ("pending", [])

    response = visitor.post(path)

    reader.refresh_from_db()
    assert (reader.state, reader.zone) == ("active", "Europe/Berlin")
    assert reader.consent_text == CONSENT_TEXT
    assert reader.consent_how
    assert reader.confirmed_at
    assert confirmations == [(reader, REQUESTED)]
    preferences = Link.objects.get(purpose="preferences")
    assert response.status_code == 302
    assert response.headers["Location"] == f"/preferences/{preferences.key}?welcome=1"


def test_response_is_the_same_for_every_address(visitor, ada, bob, cleo):
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)
    registered = [reader.email for reader in (ada, bob, cleo)]
    emails = [*registered, "dora@example.org", "new@example.org"]

    responses = [sign_up(visitor, email) for email in emails]

    assert {response.status_code for response in responses} == {200}
    assert len(set(map(text_without_address, emails, responses))) == 1
    headers = [dict(response.headers) for response in responses]
    lengths = [int(fields.pop("Content-Length")) for fields in headers]
    assert headers.count(headers[0]) == len(headers)
    assert len({n - len(email) for n, email in zip(lengths, emails, strict=True)}) == 1


@pytest.mark.parametrize("email", ["ada@example.org", "unknown@example.org"])
def test_response_takes_one_insert_for_every_address(
    visitor, django_assert_num_queries, ada, email
):
    with django_assert_num_queries(1):
        visitor.client.post("/subscribe", {"email": email})


def test_active_reader_is_mailed_a_preferences_link(visitor, ada):
    sign_up(visitor, ada.email, requested_interests=REQUESTED)

    (message,) = mail.outbox
    assert message.to == [ada.email]
    assert "You're subscribed to Paper Round" in message.body
    assert "interests from\nthe latest sign-up" in message.body
    assert "quantization" not in message.body
    assert Link.objects.get().payload["requested_interests"] == REQUESTED
    assert last_link_path().startswith("/preferences/")
    assert not Link.objects.filter(purpose="confirm").exists()


def test_pending_and_unsubscribed_readers_get_a_confirmation(visitor, bob, cleo):
    for reader in (bob, cleo):
        sign_up(visitor, reader.email)

        assert mail.outbox[-1].to == [reader.email]
        assert last_link_path().startswith("/confirm/")
    assert Subscriber.objects.count() == 2


def test_complaint_blocks_every_mail(visitor):
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)

    sign_up(visitor, "dora@example.org")

    assert mail.outbox == []
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize(("days", "mails"), [(29, 0), (31, 1)])
def test_bounce_is_cleared_by_an_opt_in_after_a_month(visitor, days, mails):
    Suppression.add("dora@example.org", Suppression.Reason.BOUNCE)
    Suppression.objects.update(created_at=timezone.now() - timedelta(days=days))

    sign_up(visitor, "dora@example.org")

    assert len(mail.outbox) == mails
    if mails:
        visitor.post(last_link_path())
        assert Subscriber.objects.get().may_be_mailed(timezone.now())


def test_complaint_before_the_confirmation_is_posted_blocks_it(visitor, confirmations):
    sign_up(visitor)
    Suppression.add("new@example.org", Suppression.Reason.COMPLAINT)

    response = visitor.post(last_link_path())

    assert "email this address" in response.text
    assert Subscriber.objects.get().state == "pending"
    assert confirmations == []


def test_mail_contains_nothing_that_the_visitor_typed(visitor):
    sign_up(
        visitor,
        requested_interests=["search:buy pills at evil.example"],
        zone="evil.example",
    )

    (message,) = mail.outbox
    (html, _) = message.alternatives[0]
    for text in (message.subject, message.body, html):
        assert "pills" not in text
        assert "evil" not in text


def test_honeypot_field_suppresses_the_mail_but_not_the_response(visitor):
    without = sign_up(visitor, "person@example.org")

    filled = sign_up(visitor, "program@example.org", website="https://spam.example")

    assert text_without_address("program@example.org", filled) == text_without_address(
        "person@example.org", without
    )
    assert [message.to for message in mail.outbox] == [["person@example.org"]]


def test_invalid_address_is_shown_again_escaped_with_its_interests(visitor):
    typed = '"><img src=x onerror=alert(1)>'

    response = sign_up(visitor, typed, requested_interests=[typed + ":"], zone=typed)

    assert response.status_code == 400
    assert "Enter a valid email address." in response.text
    assert "<img" not in response.text
    assert response.text.count("&lt;img") == 3
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
def test_invalid_address_is_refused(visitor, typed):
    response = sign_up(visitor, typed)

    assert response.status_code == 400
    assert not Subscriber.objects.exists()


def test_international_domain_is_stored_as_punycode():
    assert parse_address(" Ada@MÜNCHEN.example ") == "ada@xn--mnchen-3ya.example"


def test_requested_interests_are_validated_and_bounded(visitor):
    valid = [f"keyword:{number}" for number in range(70)]

    sign_up(
        visitor,
        requested_interests=["keyword:" + "x" * 300, "no kind", "search:\0", *valid],
    )

    assert Link.objects.get().payload["requested_interests"] == valid[:60]


def test_unknown_time_zone_becomes_utc(visitor):
    sign_up(visitor, zone="Mars/Olympus")
    visitor.post(last_link_path())

    assert Subscriber.objects.get().zone == "UTC"


def test_returning_reader_keeps_their_time_zone(visitor, cleo):
    Subscriber.objects.update(zone="Asia/Tokyo")
    sign_up(visitor, cleo.email, zone="Europe/Berlin")

    visitor.post(last_link_path())

    cleo.refresh_from_db()
    assert (cleo.state, cleo.zone, cleo.left_at) == ("active", "Asia/Tokyo", None)


def test_mailbox_limit_includes_subaddresses_and_does_not_show(visitor):
    emails = [f"ada+{n}@example.org" for n in range(4)]

    responses = [sign_up(visitor, email) for email in emails]

    assert len(mail.outbox) == 3
    assert len(set(map(text_without_address, emails, responses))) == 1


def test_network_limit_answers_429(visitor):
    codes = [sign_up(visitor, f"r{n}@d{n}.example").status_code for n in range(21)]
    same_network = visitor.post(
        "/preferences-link", {"email": "x@y.example"}, REMOTE_ADDR="192.0.2.9"
    )
    other_network = visitor.post(
        "/subscribe", {"email": "x@y.example"}, REMOTE_ADDR="192.0.3.7"
    )

    assert codes == [200] * 20 + [429]
    assert same_network.status_code == 429
    assert other_network.status_code == 200


def test_rate_limited_response_says_when_to_retry(visitor, time_machine):
    time_machine.move_to("2026-11-20T09:50:00Z", tick=False)

    responses = [sign_up(visitor, f"r{n}@d{n}.example") for n in range(21)]

    assert responses[-1].headers["Retry-After"] == "600"
    assert "Retry-After" not in responses[0].headers


def test_mailbox_limit_by_day(visitor, time_machine):
    for hour in range(5):
        time_machine.move_to(f"2026-11-20T{hour:02}:30:00Z", tick=False)
        for spelling in ("ada@gmail.com", "a.da@gmail.com", "ad.a+x@googlemail.com"):
            sign_up(visitor, spelling)

    assert len(mail.outbox) == 6


@pytest.mark.parametrize("address", ["2001:db8:{0:x}::1", "198.51.{0}.7"])
def test_one_provider_cannot_use_up_a_domain(visitor, monkeypatch, address):
    monkeypatch.setattr("accounts.rate_limits.MAILS_PER_DOMAIN", "8/h")
    monkeypatch.setattr(
        "accounts.rate_limits.MAILS_PER_DOMAIN_FROM_ONE_PROVIDER", "2/h"
    )
    for n in range(12):
        email = {"email": f"reader{n}@firm.example"}
        visitor.post("/subscribe", email, REMOTE_ADDR=address.format(n))

    sign_up(visitor, "ada@firm.example")

    assert len(mail.outbox) == 3
    assert mail.outbox[-1].to == ["ada@firm.example"]


def test_domain_limit_applies_to_all_mailboxes_of_a_domain(visitor, monkeypatch):
    monkeypatch.setattr("accounts.rate_limits.MAILS_PER_DOMAIN", "5/h")

    for n in range(7):
        sign_up(visitor, f"reader{n}@firm.example")
        sign_up(visitor, f"reader{n}@gmail.com")

    assert [message.to[0].split("@")[1] for message in mail.outbox].count(
        "firm.example"
    ) == 5
    assert len(mail.outbox) == 12


def test_redeemed_confirmation_link_says_so(visitor, confirmations):
    sign_up(visitor, requested_interests=REQUESTED)
    path = last_link_path()
    visitor.post(path)

    again = [visitor.post(path), visitor.get(path)]

    for response in again:
        assert response.status_code == 200
        assert "Already confirmed" in response.text
        assert 'action="/preferences-link"' in response.text
    assert len(confirmations) == 1


def test_expired_confirmation_link_offers_another_with_the_same_interests(visitor):
    sign_up(visitor, requested_interests=['search:<b>"quoted"</b>'])
    path = last_link_path()
    Link.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    response = visitor.post(path)

    assert "This link has expired" in response.text
    assert 'value="new@example.org"' in response.text
    assert "search:&lt;b&gt;&#34;quoted&#34;&lt;/b&gt;" in response.text
    assert Subscriber.objects.get().state == "pending"


def test_redeemed_link_of_an_unsubscribed_reader_offers_another(visitor, cleo):
    link = Link.issue(cleo, "confirm", timezone.now())
    link.redeem(timezone.now())

    response = visitor.get(f"/confirm/{link.key}")

    assert "Email me a new link" in response.text


@pytest.mark.parametrize("page", ["confirm", "address"])
def test_unknown_key_is_not_found(visitor, page):
    assert visitor.get(f"/{page}/nothing").status_code == 404
    assert visitor.post(f"/{page}/nothing").status_code == 404


def test_link_works_only_for_its_purpose(visitor, bob):
    link = Link.issue(bob, "preferences", timezone.now())

    assert visitor.post(f"/confirm/{link.key}").status_code == 404
    bob.refresh_from_db()
    assert bob.state == "pending"


def test_failing_signal_receiver_does_not_fail_the_confirmation(visitor, caplog):
    def fail(**_):
        raise RuntimeError("the broker is down")

    confirmed.connect(fail)
    sign_up(visitor)

    response = visitor.post(last_link_path())

    confirmed.disconnect(fail)
    assert response.status_code == 302
    assert "the broker is down" in caplog.text
