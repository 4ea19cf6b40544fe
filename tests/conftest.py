"""Fixtures of every test: environment, recorded data, loopback-only sockets, a small cast."""

import ipaddress
import os
import socket
from pathlib import Path

import hypothesis
import pytest

import tests.environment  # noqa: F401  (sets up Django, so that models can be imported)

# isort: split

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.cache import cache, caches
from django.db import connection
from django.db.models import DateTimeField, Value
from django.utils import timezone

from digest.celery import app
from digest.models.digests import DatabaseNow
from digest.ranking import (
    edition_index,
    paper_vectors,
    reader_profiles,
    search,
    spelling,
)
from tests import make

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("PAPER_ROUND_DATA", ROOT.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the shared data: set PAPER_ROUND_DATA"
)

# `make test` and CI draw the same examples in every run and report a failure as drawn:
# minimising an example of the state machines takes minutes. `make explore` draws new
# examples and minimises them. Deadlines measure the machine, not the code.
UNTIMED = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}
WITHOUT_SHRINKING = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
hypothesis.settings.register_profile(
    "fixed", **UNTIMED, derandomize=True, phases=WITHOUT_SHRINKING
)
hypothesis.settings.register_profile("explore", **UNTIMED, max_examples=400)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    """Skip tests whose program is not installed."""
    skip_browser = pytest.mark.skip(reason=f"needs a browser: install {CHROMIUM}")
    for test in items:
        if test.get_closest_marker("browser") and not CHROMIUM.exists():
            test.add_marker(skip_browser)


def pytest_report_header():
    database = os.environ["DATABASE_URL"].partition("@")
    return f"database: {database[2] or database[0]}"


@pytest.fixture(scope="session", autouse=True)
def loopback_only():
    """Fail a test that connects to the network, even where the code would catch the error."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(
            socket.socket, name, restrict_connect(getattr(socket.socket, name))
        )
    patch.setattr(socket, "getaddrinfo", restrict_lookup(socket.getaddrinfo))
    yield
    patch.undo()


def restrict_connect(connect):
    def connect_on_loopback(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            require_loopback(address[0])
        return connect(self, address)

    return connect_on_loopback


def restrict_lookup(look_up):
    def look_up_on_loopback(host, *arguments, **named):
        require_loopback(host)
        return look_up(host, *arguments, **named)

    return look_up_on_loopback


def require_loopback(host):
    if not is_loopback(host):
        pytest.fail(f"a test may reach loopback only, not {host}")


def is_loopback(host):
    """Whether a host name or address is this machine; None and "" are."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Close connections of killed programs, because the database is dropped now."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(CLOSE_CONNECTIONS)


CLOSE_CONNECTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="session", autouse=True)
def own_static_files():
    """Let the product's middleware serve the static files of live_server, not Django's handler."""
    patch = pytest.MonkeyPatch()
    patch.setattr(StaticFilesHandler, "_should_handle", lambda self, path: False)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def empty_cache():
    """Clear rate limits, pages and what searches keep in memory between tests."""
    cache.clear()
    caches["pages"].clear()
    search._load_co_readership.cache_clear()
    paper_vectors.clear_cache()
    spelling._load.cache_clear()
    edition_index._read_frozen_index.cache_clear()
    reader_profiles._shared_rows.cache_clear()


@pytest.fixture(autouse=True)
def database_clock(monkeypatch):
    """Let the database's clock follow time_machine."""

    def resolve_expression(self, *arguments, **named):
        now = Value(timezone.now(), output_field=DateTimeField())
        return now.resolve_expression(*arguments, **named)

    monkeypatch.setattr(DatabaseNow, "resolve_expression", resolve_expression)


@pytest.fixture
def eager():
    """Run tasks in the calling process, without a broker."""
    app.conf.update(task_always_eager=True)
    yield
    app.conf.update(task_always_eager=False)


@pytest.fixture
def redis_url():
    """A real Redis; each test worker has its own database."""
    if "REDIS_URL" not in os.environ:
        pytest.skip("needs Redis: install redis-server, or set REDIS_URL")
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """Use Debian's Chromium, so that Playwright does not download a browser."""
    return browser_type_launch_args | {
        "executable_path": str(CHROMIUM),
        "args": CHROMIUM_FLAGS,
    }


# The cast: people who appear in several tests.


@pytest.fixture
def ada(db):
    """An active reader who follows nothing yet."""
    return make.subscriber("ada@example.org")


@pytest.fixture
def bob(db):
    """A person who signed up and did not confirm."""
    return make.subscriber("bob@example.org", state="pending", confirmed_at=None)


@pytest.fixture
def cleo(db):
    """A former reader, unsubscribed."""
    return make.subscriber("cleo@example.org", state="left", left_at=make.NOW)


@pytest.fixture
def edith(db, django_user_model):
    """An editor with every permission."""
    return django_user_model.objects.create_superuser(
        "edith@example.org", "a long enough password", name="Edith"
    )
