"""One click stops all mail to an address that someone else signed up."""

import pytest
from django.core import mail
from django.utils import timezone

from accounts import links
from accounts.models import Link, Subscriber, Suppression

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def block_path(message):
    """The path behind "never email me again", which both bodies and the header name."""
    header = message.extra_headers["List-Unsubscribe"]
    url = header.removeprefix("<").removesuffix(">")
    assert message.body.count(url) == 1
    assert message.alternatives[0][0].count(f'href="{url}"') == 1
    assert message.extra_headers["List-Unsubscribe-Post"] == (
        "List-Unsubscribe=One-Click"
    )
    return url.removeprefix("http://testserver")


def sign_up(visitor, email="new@example.org"):
    visitor.post("/subscribe", {"email": email})
    return mail.outbox[-1]


def test_one_click_post_suppresses_an_address_that_was_signed_up(visitor):
    path = block_path(sign_up(visitor))

    response = visitor.post(
        path,
        "List-Unsubscribe=One-Click",
        content_type="application/x-www-form-urlencoded",
        headers={"Origin": "https://mail.example"},
    )

    assert response.status_code == 200
    assert Suppression.objects.get().reason == Suppression.Reason.REQUESTED
    sign_up(visitor)
    assert len(mail.outbox) == 1
    assert visitor.post(path).status_code == 200


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_safe_methods_block_nothing(visitor, method):
    path = block_path(sign_up(visitor))

    response = getattr(visitor.client, method)(path)

    assert response.status_code == 200
    assert not Suppression.objects.exists()


def test_blocking_unsubscribes_a_reader_who_had_confirmed(visitor):
    message = sign_up(visitor)
    reader = Subscriber.objects.get()
    reader.confirm(timezone.now(), "test")

    visitor.post(block_path(message))

    reader.refresh_from_db()
    assert reader.state == Subscriber.State.LEFT


def test_blocking_a_change_of_address_affects_the_new_address_only(
    visitor, ada, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        links.request_address_change(ada, "stranger@example.org")

    visitor.post(block_path(mail.outbox[-1]))

    ada.refresh_from_db()
    assert ada.is_active
    assert Suppression.objects.blocks("stranger@example.org", timezone.now())
    assert not Suppression.objects.blocks(ada.email, timezone.now())


def test_block_key_works_after_its_link_has_expired(visitor):
    path = block_path(sign_up(visitor))
    Link.objects.update(expires_at=timezone.now())

    visitor.post(path)

    assert Suppression.objects.exists()


def test_preferences_key_does_not_block(visitor, ada):
    link = Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now())

    assert visitor.post(f"/block/{link.key}").status_code == 404
    assert not Suppression.objects.exists()


def test_preferences_mail_has_no_block_link(visitor, ada):
    visitor.post("/preferences-link", {"email": ada.email})

    assert "List-Unsubscribe" not in mail.outbox[-1].extra_headers
