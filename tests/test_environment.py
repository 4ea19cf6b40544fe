"""The ground holds: loopback only, a Redis of one's own, rows in a file on SQLite."""

import os
import socket

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection

from tests import environment

# The Failed of pytest: a BaseException, so that no "except Exception" can swallow it.
Refused = pytest.fail.Exception


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "example.org"])
def test_a_test_that_reaches_for_the_network_fails(address):
    with pytest.raises(Refused, match="loopback only"):
        socket.create_connection((address, 80), timeout=1)


def test_a_look_up_of_a_strangers_name_fails_before_it_leaves():
    with pytest.raises(Refused, match="loopback only"):
        socket.getaddrinfo("example.org", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_open(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        socket.create_connection((host, port), timeout=1).close()


def test_settings_come_from_the_ground_and_not_from_a_shell():
    assert environment.ENVIRONMENT["SECRET_KEY"] == settings.SECRET_KEY
    assert settings.HUGGINGFACE_URL == environment.CLOSED_PORT_URL


@pytest.mark.both
@pytest.mark.django_db
def test_rows_lie_where_a_second_process_can_read_them():
    name = str(connection.settings_dict["NAME"])

    assert "test_" in name
    assert ":memory:" not in name


@pytest.mark.usefixtures("redis_url")
def test_the_cache_is_empty_at_the_start_of_a_test_first():
    assert cache.get("left-behind") is None
    cache.set("left-behind", 1)


@pytest.mark.usefixtures("redis_url")
def test_the_cache_is_empty_at_the_start_of_a_test_second():
    assert cache.get("left-behind") is None
    cache.set("left-behind", 1)


def test_each_worker_has_a_redis_database_of_its_own(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")

    environment.use_own_redis_database("gw1")

    assert os.environ["REDIS_URL"] == "redis://127.0.0.1:6379/2"
