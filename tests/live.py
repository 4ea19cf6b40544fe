"""Programs of ours that run beside a test, on the test's own rows."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from django.db import connection

from tests.conftest import ROOT

PATIENCE = 60  # seconds; a busy machine takes ten to start a worker


def database_url():
    """The address of the database that this test sees."""
    own = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{own['NAME']}"
    place = f"{own['HOST']}:{own['PORT']}"
    return f"postgres://{own['USER']}:{own['PASSWORD']}@{place}/{own['NAME']}"


def environment(**more):
    own = {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "digest.settings",
        "PYTHONUNBUFFERED": "1",
    }
    return os.environ | own | {name: str(value) for name, value in more.items()}


@contextmanager
def running(*command, log, **settings):
    """Run one of our programs (`python -m …`) until the end of the block."""
    with log.open("ab") as out:
        program = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(15)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def until(true, log=None):
    """Wait until `true()` is, and return what it said."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if said := true():
            return said
        time.sleep(0.1)
    raise AssertionError(
        f"waited {PATIENCE} s in vain\n{log.read_text() if log else ''}"
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(url):
    """The status and body of a page, or None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return None
