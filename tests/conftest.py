"""What every test may rely on: the ground, the shared data, loopback only, the cast."""

import ipaddress
import os
import socket
from pathlib import Path

import hypothesis
import pytest

import tests.environment  # noqa: F401  Django is ready from here on, so models can be imported

# isort: split

from django.core.cache import cache
from django.db import connection

from digest.celery import app
from digest.ranking import search
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
QUIET_BROWSER = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    """Skip what this machine lacks, and say so."""
    no_browser = pytest.mark.skip(reason=f"needs a browser: install {CHROMIUM}")
    for test in items:
        if test.get_closest_marker("browser") and not CHROMIUM.exists():
            test.add_marker(no_browser)


def pytest_report_header():
    database = os.environ["DATABASE_URL"].partition("@")
    return f"database: {database[2] or database[0]}"


@pytest.fixture(scope="session", autouse=True)
def loopback_only():
    """Fail a test that reaches for the network, even where the code would catch it."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    patch.setattr(socket, "getaddrinfo", guarded_lookup(socket.getaddrinfo))
    yield
    patch.undo()


def guarded(connect):
    def connect_on_loopback(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse_strangers(address[0])
        return connect(self, address)

    return connect_on_loopback


def guarded_lookup(look_up):
    def look_up_on_loopback(host, *arguments, **named):
        refuse_strangers(host)
        return look_up(host, *arguments, **named)

    return look_up_on_loopback


def refuse_strangers(host):
    if not on_loopback(host):
        pytest.fail(f"a test may reach loopback only, not {host}")


def on_loopback(host):
    """Whether a host, by name or number, is this machine; None and "" mean it too."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """End what programs that were killed have left connected: their database is dropped now."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(LEFT_CONNECTED)


LEFT_CONNECTED = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(autouse=True)
def empty_cache():
    """Limits that one test has used up, and what its readers follow, are not the next one's."""
    cache.clear()
    search._company.cache_clear()


@pytest.fixture
def eager():
    """Tasks run where they are called, without a broker."""
    app.conf.update(task_always_eager=True)
    yield
    app.conf.update(task_always_eager=False)


@pytest.fixture
def redis_url():
    """A Redis for tests that need the real one; each worker has its own database."""
    if "REDIS_URL" not in os.environ:
        pytest.skip("needs Redis: install redis-server, or set REDIS_URL")
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """Debian's Chromium, silent: Playwright must never fetch a browser of its own."""
    return browser_type_launch_args | {
        "executable_path": str(CHROMIUM),
        "args": QUIET_BROWSER,
    }


# The cast. Whoever appears in several tests is somebody.


@pytest.fixture
def ada(db):
    """An active reader who follows nothing yet."""
    return make.subscriber("ada@example.org")


@pytest.fixture
def bob(db):
    """Signed up, and never confirmed."""
    return make.subscriber("bob@example.org", state="pending", confirmed_at=None)


@pytest.fixture
def cleo(db):
    """Was a reader, and left."""
    return make.subscriber("cleo@example.org", state="left", left_at=make.NOW)


@pytest.fixture
def edith(db, django_user_model):
    """The editor."""
    return django_user_model.objects.create_superuser(
        "edith@example.org", "a long enough password", name="Edith"
    )
