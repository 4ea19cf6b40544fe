"""The servers of a test run start for any user and stop with the run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import services

ROOT = Path(__file__).resolve().parent.parent
RUN = """
import json, os, sys, time
from tests import services
services.provide()
print(json.dumps([os.environ["DATABASE_URL"], os.environ["REDIS_URL"]]), flush=True)
time.sleep(float(sys.argv[1]))
"""


def start_run(seconds, **environment):
    """Start a process that provides servers; return it and their URLs."""
    inherited = {k: v for k, v in os.environ.items() if k not in services.STARTERS}
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(seconds)],
        cwd=ROOT,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    return child, json.loads(child.stdout.readline())


def is_listening(url):
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), 1).close()
    except OSError:
        return False
    return True


def data_folder_of(url):
    with psycopg.connect(url) as connection:
        return Path(connection.execute("SHOW data_directory").fetchone()[0])


def are_gone_within(seconds, urls, folder):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(is_listening, urls)) and not folder.exists():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_servers_stop_when_the_run_is_killed(ending):
    child, urls = start_run(60)
    folder = data_folder_of(urls[0]).parent

    child.send_signal(ending)
    child.communicate()

    assert are_gone_within(60, urls, folder)


def test_finished_run_leaves_no_server():
    child, urls = start_run(1)
    folder = data_folder_of(urls[0]).parent

    child.communicate()

    assert child.returncode == 0
    assert not folder.exists()
    assert not any(map(is_listening, urls))


def test_servers_of_the_environment_are_used():
    named = {
        "DATABASE_URL": "postgres://elsewhere/x",
        "REDIS_URL": "redis://elsewhere/0",
    }

    child, urls = start_run(0, **named)
    child.communicate()

    assert urls == list(named.values())


def test_postgresql_of_the_wheel_starts():
    started = services.start(["DATABASE_URL"], services.postgres_in_wheel())

    with psycopg.connect(started["DATABASE_URL"]) as connection:
        (answer,) = connection.execute("SELECT upper('é')").fetchone()

    assert answer == "É"


@pytest.mark.skipif(os.getuid() != 0, reason="only root changes the user")
def test_unreadable_binaries_are_copied(
    tmp_path,
):
    closed = tmp_path / "closed"
    binaries = closed / "wheel" / "installation" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "postgres").write_text("program")
    (closed / "wheel.libs").mkdir()
    (closed / "wheel.libs" / "libpq.so").write_text("library")
    closed.chmod(0o700)
    owner = services.unprivileged()
    reach = tmp_path / "reach"
    reach.mkdir()

    copied = services.readable_copy(binaries, reach, owner)

    assert copied == reach / "wheel" / "installation" / "bin"
    assert (copied / "postgres").read_text() == "program"
    assert (reach / "wheel.libs" / "libpq.so").exists()


def test_readable_binaries_are_not_copied(tmp_path):
    assert services.readable_copy(tmp_path, tmp_path / "copy", None) == tmp_path
    assert not (tmp_path / "copy").exists()
