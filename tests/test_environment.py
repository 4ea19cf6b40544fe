"""The test environment: loopback only, one Redis database per worker, SQLite in a file."""

import os
import socket

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection

from tests import environment

# A BaseException, so that "except Exception" does not catch it.
Failed = pytest.fail.Exception


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "example.org"])
def test_connecting_to_the_network_fails_the_test(address):
    with pytest.raises(Failed, match="loopback only"):
        socket.create_connection((address, 80), timeout=1)


def test_resolving_a_foreign_name_fails_the_test():
    with pytest.raises(Failed, match="loopback only"):
        socket.getaddrinfo("example.org", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_connections_are_allowed(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        socket.create_connection((host, port), timeout=1).close()


def test_settings_come_from_the_test_environment():
    assert environment.ENVIRONMENT["SECRET_KEY"] == settings.SECRET_KEY
    assert settings.HUGGINGFACE_URL == environment.CLOSED_PORT_URL


@pytest.mark.both
@pytest.mark.django_db
def test_database_is_readable_by_another_process():
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


def test_each_worker_has_its_own_redis_database(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")

    environment.use_own_redis_database("gw1")

    assert os.environ["REDIS_URL"] == "redis://127.0.0.1:6379/2"
