"""Preferences links and changes of address."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts import links
from accounts.models import AccessKey, Link, Subscriber, Suppression
from tests import make
from tests.accounts.conftest import last_link_path, text_without_address

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_change(django_capture_on_commit_callbacks):
    def request(reader, email):
        with django_capture_on_commit_callbacks(execute=True):
            return links.request_address_change(reader, email)

    return request


def test_preferences_link_is_mailed_to_registered_addresses_only(visitor, ada, cleo):
    emails = [ada.email, cleo.email, "unknown@example.org"]

    responses = [
        visitor.post("/preferences-link", {"email": email}) for email in emails
    ]

    assert {response.status_code for response in responses} == {200}
    assert len(set(map(text_without_address, emails, responses))) == 1
    assert [message.to for message in mail.outbox] == [[ada.email], [cleo.email]]
    assert set(Link.objects.values_list("purpose", flat=True)) == {"preferences"}


@pytest.mark.parametrize("email", ["ada@example.org", "unknown@example.org"])
def test_requesting_a_preferences_link_takes_one_insert_for_every_address(
    visitor, ada, django_assert_num_queries, email
):
    with django_assert_num_queries(1):
        visitor.client.post("/preferences-link", {"email": email})


def test_mailbox_limit_does_not_show_in_the_response(visitor, ada):
    responses = [
        visitor.post("/preferences-link", {"email": ada.email}) for _ in range(5)
    ]

    assert len(mail.outbox) == 3
    assert len({response.content for response in responses}) == 1


def test_mailbox_page_is_linked_only_in_the_demo(visitor, settings):
    settings.DEMO = True
    demo = visitor.post("/preferences-link", {"email": "ada@example.org"})
    settings.DEMO = False
    service = visitor.post("/preferences-link", {"email": "ada@example.org"})

    assert 'href="/mailbox"' in demo.text
    assert 'href="/mailbox"' not in service.text


def test_pending_reader_gets_the_confirmation_with_its_payload_again(visitor, bob):
    Link.issue(
        bob, "confirm", timezone.now(), requested_interests=["topic:robots"], zone="UTC"
    )

    visitor.post("/preferences-link", {"email": bob.email})

    link = Link.objects.latest("pk")
    assert (link.purpose, link.payload["requested_interests"]) == (
        "confirm",
        ["topic:robots"],
    )
    assert last_link_path() == f"/confirm/{link.key}"


def test_complaint_blocks_preferences_links(visitor, ada):
    Suppression.add(ada.email, Suppression.Reason.COMPLAINT)

    visitor.post("/preferences-link", {"email": ada.email})

    assert mail.outbox == []


def test_invalid_address_is_shown_again_escaped(visitor):
    response = visitor.post("/preferences-link", {"email": "<b>ada"})

    assert response.status_code == 400
    assert 'value="&lt;b&gt;ada"' in response.text
    assert visitor.get("/preferences-link").status_code == 200


@pytest.mark.both
def test_confirming_the_new_address_changes_it(visitor, ada, request_change):
    assert request_change(ada, " Ada@New.example")
    path, (message,) = last_link_path(), mail.outbox
    visitor.get(path)
    ada.refresh_from_db()
    assert (message.to, ada.email) == (["ada@new.example"], "ada@example.org")

    response = visitor.post(path)

    moved = Subscriber.objects.get(pk=ada.pk)
    assert "Address changed" in response.text
    assert (moved.email, moved.state) == ("ada@new.example", "active")
    assert moved.address_hash != ada.address_hash
    assert "Address already changed" in visitor.post(path).text


@pytest.mark.both
def test_old_address_is_notified_and_its_links_stop_working(
    visitor, ada, request_change
):
    for purpose in (Link.Purpose.PREFERENCES, Link.Purpose.CONFIRM):
        Link.issue(ada, purpose, timezone.now())
    request_change(ada, "ada@new.example")

    visitor.post(last_link_path())

    notice = mail.outbox[-1]
    assert notice.to == ["ada@example.org"]
    assert notice.subject == "Your Paper Round address was changed"
    for body in (notice.body, notice.alternatives[0][0]):
        assert "http://testserver/subscribe" in body
        assert "new.example" not in body
    assert [link.purpose for link in Link.objects.all()] == ["address"]


def test_suppressed_old_address_is_not_notified(visitor, ada, request_change):
    Suppression.add(ada.email, Suppression.Reason.BOUNCE)
    request_change(ada, "ada@new.example")

    visitor.post(last_link_path())

    assert Subscriber.objects.get().email == "ada@new.example"
    assert [message.to for message in mail.outbox] == [["ada@new.example"]]


def test_change_of_address_keeps_follows(visitor, ada, request_change):
    quantization = make.interest("keyword", "quantization")
    ada.follows.create(interest=quantization)
    request_change(ada, "ada@new.example")

    visitor.post(last_link_path())

    moved = Subscriber.objects.get(email="ada@new.example")
    assert [follow.interest for follow in moved.follows.all()] == [quantization]


@pytest.mark.parametrize("email", ["cleo@example.org", "other@example.org"])
def test_registered_address_is_refused(visitor, ada, cleo, request_change, email):
    make.subscriber("other@example.org")
    assert request_change(ada, email)

    response = visitor.post(last_link_path())

    ada.refresh_from_db()
    assert "Address not changed" in response.text
    assert ada.email == "ada@example.org"
    assert Subscriber.objects.filter(email=email).exists()


def test_pending_sign_up_of_the_new_address_is_discarded(
    visitor, ada, bob, request_change
):
    request_change(ada, bob.email)

    visitor.post(last_link_path())

    assert Subscriber.objects.get().pk == ada.pk
    assert Subscriber.objects.get().email == bob.email


def test_suppressed_new_address_gets_no_mail_and_the_result_is_the_same(
    ada, request_change
):
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)

    assert request_change(ada, "dora@example.org")
    assert mail.outbox == []


def test_complaint_before_the_change_is_confirmed_blocks_it(
    visitor, ada, request_change
):
    request_change(ada, "dora@example.org")
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)

    response = visitor.post(last_link_path())

    ada.refresh_from_db()
    assert "Address not changed" in response.text
    assert ada.email == "ada@example.org"


def test_invalid_new_address_is_refused(ada, request_change):
    assert not request_change(ada, "nowhere")
    assert mail.outbox == []


def test_address_changes_are_limited_per_reader(ada, request_change):
    for number in range(5):
        assert request_change(ada, f"stranger{number}@d{number}.example")

    assert len(mail.outbox) == 3


def test_expired_link_changes_no_address(visitor, ada, request_change):
    request_change(ada, "ada@new.example")
    Link.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    response = visitor.post(last_link_path())

    ada.refresh_from_db()
    assert "This link has expired" in response.text
    assert ada.email == "ada@example.org"


def test_pages_with_a_key_are_neither_cached_nor_indexed(visitor, ada):
    response = visitor.get(f"/unsubscribe/{ada.unsubscribe_key}")

    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["X-Robots-Tag"] == "noindex"


def test_access_key_opens_its_kind_until_it_is_replaced_or_revoked(ada):
    first = AccessKey.issue(ada, AccessKey.Kind.API, make.NOW)
    assert AccessKey.objects.find("api", first.key).subscriber == ada
    assert AccessKey.objects.find("feed", first.key) is None

    second = AccessKey.issue(ada, AccessKey.Kind.API, make.NOW)
    assert AccessKey.objects.find("api", first.key) is None
    assert AccessKey.objects.find("api", second.key).subscriber == ada

    second.delete()
    assert AccessKey.objects.find("api", second.key) is None


def test_access_key_of_a_former_reader_opens_nothing(cleo):
    key = AccessKey.issue(cleo, AccessKey.Kind.API, make.NOW).key

    assert AccessKey.objects.find("api", key) is None
