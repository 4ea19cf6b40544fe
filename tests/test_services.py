"""The servers of a test run start for anybody, and end with the run."""

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


def run(seconds, **environment):
    """Another interpreter that provides itself with servers, and what it was told."""
    kept = {k: v for k, v in os.environ.items() if k not in services.STARTERS}
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(seconds)],
        cwd=ROOT,
        env=kept | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    return child, json.loads(child.stdout.readline())


def listening(url):
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), 1).close()
    except OSError:
        return False
    return True


def rows_of(url):
    with psycopg.connect(url) as connection:
        return Path(connection.execute("SHOW data_directory").fetchone()[0])


def gone_within(seconds, urls, folder):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(listening, urls)) and not folder.exists():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_the_run_that_started_them_however_it_ends(ending):
    child, urls = run(60)
    folder = rows_of(urls[0]).parent

    child.send_signal(ending)
    child.communicate()

    assert gone_within(60, urls, folder)


def test_a_run_that_finishes_leaves_nothing_behind():
    child, urls = run(1)
    folder = rows_of(urls[0]).parent

    child.communicate()

    assert child.returncode == 0
    assert not folder.exists()
    assert not any(map(listening, urls))


def test_servers_that_the_environment_names_are_used_and_none_is_started():
    named = {
        "DATABASE_URL": "postgres://elsewhere/x",
        "REDIS_URL": "redis://elsewhere/0",
    }

    child, urls = run(0, **named)
    child.communicate()

    assert urls == list(named.values())


def test_the_wheel_serves_where_no_postgresql_is_installed():
    started = services.start(["DATABASE_URL"], services.postgres_in_wheel())

    with psycopg.connect(started["DATABASE_URL"]) as connection:
        (answer,) = connection.execute("SELECT upper('é')").fetchone()

    assert answer == "É"


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to hand binaries over")
def test_binaries_in_a_folder_closed_to_others_are_copied_for_the_servers_user(
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

    copied = services.within_reach(binaries, reach, owner)

    assert copied == reach / "wheel" / "installation" / "bin"
    assert (copied / "postgres").read_text() == "program"
    assert (reach / "wheel.libs" / "libpq.so").exists()


def test_an_open_folder_is_used_where_it_lies(tmp_path):
    assert services.within_reach(tmp_path, tmp_path / "copy", None) == tmp_path
    assert not (tmp_path / "copy").exists()
