"""Leaving always succeeds, and only a press leaves."""

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Link, Subscriber, Suppression
from tests.accounts.conftest import last_path

pytestmark = pytest.mark.django_db


def state_of(reader):
    reader.refresh_from_db()
    return reader.state


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_programs_that_open_the_link_change_nothing(visitor, ada, method):
    answer = getattr(visitor.client, method)(f"/unsubscribe/{ada.unsubscribe_key}")

    assert answer.status_code == 200
    assert state_of(ada) == "active"


@pytest.mark.both
def test_one_click_leaves_without_cookie_token_or_redirect(visitor, ada):
    answer = visitor.post(
        f"/unsubscribe/{ada.unsubscribe_key}",
        "List-Unsubscribe=One-Click",
        content_type="application/x-www-form-urlencoded",
        headers={"Origin": "https://mail.example"},
    )

    assert answer.status_code == 200
    assert not answer.cookies
    assert state_of(ada) == "left"
    assert ada.left_at


def test_the_page_has_one_button_that_leaves(visitor, ada):
    asked = visitor.get(f"/unsubscribe/{ada.unsubscribe_key}")

    answer = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")

    assert f'action="/unsubscribe/{ada.unsubscribe_key}"' in asked.text
    assert ada.email not in asked.text
    assert "not subscribed any more" in answer.text
    assert state_of(ada) == "left"


def test_leaving_twice_keeps_the_first_time(visitor, ada):
    visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")
    ada.refresh_from_db()
    first = ada.left_at

    answer = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")

    ada.refresh_from_db()
    assert answer.status_code == 200
    assert ada.left_at == first


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_key_that_nobody_has_is_answered_politely(visitor, method):
    answer = getattr(visitor, method)("/unsubscribe/nobody")

    assert answer.status_code == 200
    assert "not subscribed" not in answer.text  # they may be, by the whole link
    assert 'action="/preferences-link"' in answer.text


@pytest.mark.parametrize("door", ["unsubscribe", "confirm", "address"])
def test_a_key_that_no_text_can_be_is_a_key_that_nobody_has(visitor, door):
    answer = visitor.post(f"/{door}/a%00b")

    assert answer.status_code in (200, 404)


def test_leaving_needs_no_cache(visitor, ada, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }

    answer = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")

    assert answer.status_code == 200
    assert state_of(ada) == "left"


def test_who_left_is_offered_a_way_back_by_mail_only(visitor, ada):
    left = visitor.post(f"/unsubscribe/{ada.unsubscribe_key}")
    path = f"/unsubscribe/{ada.unsubscribe_key}/preferences-link"
    assert f'action="{path}"' in left.text
    assert "/preferences/" not in left.text

    answer = visitor.post(path)

    assert ada.email not in answer.text
    (letter,) = mail.outbox
    assert letter.to == [ada.email]
    assert "left Paper Round" in letter.body
    assert Link.objects.get_valid(
        "preferences", last_path().split("/")[2], timezone.now()
    )


def test_an_offer_that_is_only_opened_mails_nothing(visitor, ada):
    answer = visitor.get(f"/unsubscribe/{ada.unsubscribe_key}/preferences-link")

    assert answer.status_code == 405
    assert mail.outbox == []


def test_who_signed_up_but_never_confirmed_may_leave_too(visitor, bob):
    visitor.post(f"/unsubscribe/{bob.unsubscribe_key}")

    assert state_of(bob) == "left"


def test_erasing_a_reader_leaves_only_the_hash_that_forbids_mail(visitor, ada):
    Link.issue(ada, "preferences", timezone.now())
    Suppression.add(ada.email, Suppression.Reason.COMPLAINT)

    ada.delete()

    assert not Subscriber.objects.exists()
    assert not Link.objects.exists()
    assert "ada" not in str(Suppression.objects.values().get())
    visitor.post("/subscribe", {"email": "ada@example.org"})
    assert mail.outbox == []
