"""Who counts as one network, and who counts when Redis is away."""

import pytest
from django.core.cache import caches
from django.test import RequestFactory
from django.urls import reverse

from accounts.rate_limits import network, used_up


@pytest.mark.parametrize(
    ("number", "seen"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "127.0.0.0/24"),
    ],
)
def test_a_network_is_what_its_owner_cannot_change_at_will(number, seen):
    request = RequestFactory().get("/", REMOTE_ADDR=number)

    assert network(request) == seen


@pytest.mark.parametrize(
    ("behind", "said", "seen"),
    [
        (False, "198.51.100.1", "192.0.2.0/24"),
        (True, "198.51.100.1", "198.51.100.0/24"),
        (True, "203.0.113.9, 198.51.100.1", "198.51.100.0/24"),
        (True, "unknown", "192.0.2.0/24"),
        (True, "", "192.0.2.0/24"),
    ],
)
def test_only_our_own_proxy_is_believed(settings, behind, said, seen):
    settings.BEHIND_PROXY = behind
    request = RequestFactory().get(
        "/", REMOTE_ADDR="192.0.2.7", headers={"X-Forwarded-For": said}
    )

    assert network(request) == seen


@pytest.fixture
def away(settings):
    """No Redis, and nothing counted yet."""
    redis = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:9/0",
    }
    settings.CACHES = settings.CACHES | {"default": redis}
    caches["process"].clear()


def test_without_redis_each_process_counts_for_itself(away, caplog):
    told = [used_up("mails to a mailbox", "ada lovelace@x", "3/h") for _ in range(5)]

    assert told == [False, False, False, True, True]
    assert not used_up("mails to a mailbox", "bob@x", "3/h")
    assert not used_up("mails to a domain", "ada lovelace@x", "3/h")
    assert "redis away, limits by process" in caplog.text


def test_without_redis_an_hour_later_counting_begins_anew(away, time_machine):
    time_machine.move_to("2026-11-20T09:59:00Z", tick=False)
    assert [used_up("a", "b", "1/h") for _ in range(2)] == [False, True]

    time_machine.move_to("2026-11-20T10:01:00Z", tick=False)

    assert not used_up("a", "b", "1/h")


def test_without_redis_an_editor_logs_in_and_who_guesses_is_stopped(
    away, client, settings, edith
):
    def tried(password, network="192.0.2"):
        return client.post(
            reverse("admin:login"),
            {"username": edith.email, "password": password},
            REMOTE_ADDR=f"{network}.7",
        )

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    edith.set_password("a long enough password")
    edith.save()
    for number in range(20):
        assert "Please enter the correct" in tried(f"guess {number}").content.decode()

    late = tried("a long enough password")
    elsewhere = tried("a long enough password", "198.51.100")

    assert "Too many passwords" in late.content.decode()
    assert elsewhere.status_code == 302


def test_without_redis_people_still_ask_and_sign_up(away, visitor, mailoutbox):
    assert visitor.post("/subscribe", {"email": "new@example.org"}).status_code == 200
    assert [mail.to for mail in mailoutbox] == [["new@example.org"]]

    assert visitor.get("/?q=quantization").status_code == 200
