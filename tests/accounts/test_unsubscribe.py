"""Unsubscribing always succeeds, and only a POST unsubscribes."""

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Link, Subscriber, Suppression
from tests.accounts.conftest import last_link_path

pytestmark = pytest.mark.django_db


def state_of(reader):
    reader.refresh_from_db()
    return reader.state


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_safe_methods_do_not_unsubscribe(visitor, ada, method):
    response = getattr(visitor.client, method)(f"/unsubscribe/{ada.unsubscribe_key}")

    assert response.status_code == 200
    assert state_of(ada) == "active"


@pytest.mark.both
def test_one_click_post_needs_no_cookie_token_or_redirect(visitor, ada):
    response = visitor.post(
        f"/unsubscribe/{ada.unsubscribe_key}",
        "List-Unsubscribe=One-Click",
        content_type="application/x-www-form-urlencoded",
        headers={"Origin": "https://mail.example"},
    )

    assert response.status_code == 200
    assert not response.cookies
    assert state_of(ada) == "left"
    assert ada.left_at


def test_page_has_a_button_that_unsubscribes(visitor, ada):
    page = visitor.get(f"/unsubscribe/{ada.unsubscribe_key}")

    response = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")

    assert f'action="/unsubscribe/{ada.unsubscribe_key}"' in page.text
    assert ada.email not in page.text
    assert "re unsubscribed" in response.text
    assert state_of(ada) == "left"


def test_unsubscribing_twice_keeps_the_first_time(visitor, ada):
    visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")
    ada.refresh_from_db()
    first = ada.left_at

    response = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")

    ada.refresh_from_db()
    assert response.status_code == 200
    assert ada.left_at == first


@pytest.mark.parametrize("method", ["get", "post"])
def test_unknown_key_offers_a_preferences_link(visitor, method):
    response = getattr(visitor, method)("/unsubscribe/unknown")

    assert response.status_code == 200
    assert "unsubscribed" not in response.text
    assert 'action="/preferences-link"' in response.text


@pytest.mark.parametrize("page", ["unsubscribe", "confirm", "address"])
def test_key_with_nul_is_unknown(visitor, page):
    response = visitor.post(f"/{page}/a%00b")

    assert response.status_code in (200, 404)


def test_unsubscribing_works_without_the_cache(visitor, ada, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }

    response = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")

    assert response.status_code == 200
    assert state_of(ada) == "left"


def test_unsubscribed_page_offers_a_mailed_preferences_link(visitor, ada):
    page = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")
    path = f"/unsubscribe/{ada.unsubscribe_key}/preferences-link"
    assert f'action="{path}"' in page.text
    assert "/preferences/" not in page.text

    response = visitor.post(path)

    assert ada.email not in response.text
    (message,) = mail.outbox
    assert message.to == [ada.email]
    assert "unsubscribed from Paper Round" in message.body
    assert Link.objects.get_valid(
        "preferences", last_link_path().split("/")[2], timezone.now()
    )


def test_preferences_link_is_mailed_by_post_only(visitor, ada):
    response = visitor.get(f"/unsubscribe/{ada.unsubscribe_key}/preferences-link")

    assert response.status_code == 405
    assert mail.outbox == []


def test_pending_reader_can_unsubscribe(visitor, bob):
    visitor.post(f"/unsubscribe/{bob.unsubscribe_key}")

    assert state_of(bob) == "left"


def test_erased_reader_leaves_only_the_suppression_hash(visitor, ada):
    Link.issue(ada, "preferences", timezone.now())
    Suppression.add(ada.email, Suppression.Reason.COMPLAINT)

    ada.delete()

    assert not Subscriber.objects.exists()
    assert not Link.objects.exists()
    assert "ada@" not in str(Suppression.objects.values().get())
    visitor.post("/subscribe", {"email": "ada@example.org"})
    assert mail.outbox == []
