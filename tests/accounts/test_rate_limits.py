"""Rate limits: the visitor's network, the windows, and counting without Redis."""

import pytest
from django.core.cache import caches
from django.test import RequestFactory
from django.urls import reverse

from accounts.rate_limits import clear, client_ip, client_network, hit


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("64:ff9b::cb00:7109", "203.0.113.0/24"),
        ("2002:cb00:7109::1", "203.0.113.0/24"),
        ("2001:0:4136:e378:8000:63bf:34ff:8ef6", "203.0.113.0/24"),
        ("", "127.0.0.0/24"),
        ("not an address", "127.0.0.0/24"),
    ],
)
def test_network_is_a_prefix_of_the_visitors_address(address, network):
    request = RequestFactory().get("/", REMOTE_ADDR=address)

    assert client_network(request) == network


@pytest.mark.parametrize(
    ("proxies", "forwarded", "ip"),
    [
        (0, "198.51.100.1", "192.0.2.7"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (2, "198.51.100.1", "198.51.100.1"),
        (1, "198.51.100.1:52044", "198.51.100.1"),
        (1, "[2001:db8::1]:52044", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, '"[2001:db8::1]:443"', "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "[::ffff:203.0.113.9]:80", "203.0.113.9"),
        (1, "unknown", "192.0.2.7"),
        (1, "198.51.100.1, ", "192.0.2.7"),
        (1, "", "192.0.2.7"),
    ],
)
def test_client_ip_is_the_entry_before_the_trusted_proxies(
    settings, proxies, forwarded, ip
):
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get(
        "/", REMOTE_ADDR="192.0.2.7", headers={"X-Forwarded-For": forwarded}
    )

    assert str(client_ip(request)) == ip


@pytest.fixture(params=["memory", "redis is down"])
def any_cache(request, settings):
    """Run the test with a working cache, and with a Redis that refuses connections."""
    caches["process"].clear()
    if request.param == "redis is down":
        use_dead_redis(settings)


@pytest.fixture
def dead_redis(settings):
    caches["process"].clear()
    use_dead_redis(settings)


def use_dead_redis(settings):
    redis = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:9/0",
    }
    settings.CACHES = settings.CACHES | {"default": redis}


@pytest.mark.parametrize(
    ("limit", "seconds"), [("3/s", 1), ("3/m", 60), ("3/h", 3600), ("3/d", 86_400)]
)
def test_limit_counts_by_group_and_value_until_the_window_ends(
    any_cache, time_machine, limit, seconds
):
    time_machine.move_to("2026-11-20T00:00:00Z", tick=False)

    hits = [hit("mails", "ada lovelace@x", limit) for _ in range(5)]

    assert hits == [0, 0, 0, seconds, seconds]
    assert not hit("mails", "bob@x", limit)
    assert not hit("forms", "ada lovelace@x", limit)
    time_machine.shift(seconds)
    assert not hit("mails", "ada lovelace@x", limit)


def test_retry_time_is_the_rest_of_the_window(any_cache, time_machine):
    time_machine.move_to("2026-11-20T09:59:10Z", tick=False)

    assert [hit("a", "b", "1/h") for _ in range(2)] == [0, 50]


def test_counting_per_process_is_logged(dead_redis, caplog):
    hit("a", "b", "1/h")

    assert "redis is down, rate limits count per process" in caplog.text


def test_login_is_limited_without_redis(dead_redis, client, settings, edith):
    def sign_in(password):
        fields = {"username": edith.email, "password": password}
        return client.post(reverse("admin:login"), fields)

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    edith.set_password("a long enough password")
    edith.save()
    for number in range(9):
        assert "Please enter the correct" in sign_in(f"guess {number}").text

    assert sign_in("a long enough password").status_code == 302
    for number in range(10):
        sign_in(f"guess {number}")
    assert "Too many failed sign-in attempts" in sign_in("a long enough password").text


def test_cleared_limit_counts_from_zero(any_cache):
    assert [bool(hit("a", "b", "1/h")) for _ in range(2)] == [False, True]

    clear("a", "b", "1/h")

    assert not hit("a", "b", "1/h")


def test_sign_up_and_search_work_without_redis(dead_redis, visitor, mailoutbox):
    assert visitor.post("/subscribe", {"email": "new@example.org"}).status_code == 200
    assert [message.to for message in mailoutbox] == [["new@example.org"]]

    assert visitor.get("/?q=quantization").status_code == 200
