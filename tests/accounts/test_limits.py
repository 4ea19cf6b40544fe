"""Who counts as one network."""

import pytest
from django.test import RequestFactory

from accounts.limits import network


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
