"""Run programs of this project beside a test, on the test's own database."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from tests.conftest import ROOT

WAIT_SECONDS = 60  # starting a worker on a busy machine takes ten
END_SECONDS = 15
# Programs of the virtual environment come first.
PROGRAM_PATH = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
)


def database_url():
    """The DATABASE_URL of the test database."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    host = f"{settings['HOST']}:{settings['PORT']}"
    credentials = f"{settings['USER']}:{settings['PASSWORD']}"
    return f"postgres://{credentials}@{host}/{settings['NAME']}"


def child_environment(**settings):
    defaults = {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "digest.settings",
        "PYTHONUNBUFFERED": "1",
    }
    given = {name: str(value) for name, value in settings.items()}
    return os.environ | defaults | given


@contextmanager
def run_program(*command, log, **settings):
    """Run `python -m …` until the end of the block."""
    with log.open("ab") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=child_environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def wait_until(condition, log=None):
    """Wait until `condition()` is true, and return its value."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(
        f"not true after {WAIT_SECONDS} s\n{log.read_text() if log else ''}"
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url):
    """The status and body of a page; None while the port is closed."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return None
