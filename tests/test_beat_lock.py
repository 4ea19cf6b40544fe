"""One beat enqueues, and another takes over when it ends."""

import subprocess
import sys
import threading

import pytest
from django.db import connection, connections

from digest import beat_lock
from digest.celery import HEARTBEAT_TASK, record_beat_heartbeat
from tests import processes
from tests.conftest import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

LOCK_AND_WAIT = (
    "import django; django.setup(); from digest import beat_lock;"
    "beat_lock.wait_for_lock(); print('locked', flush=True); input()"
)


@pytest.fixture(autouse=True)
def no_lock(settings, tmp_path):
    settings.VAR = tmp_path
    yield
    while beat_lock._held:
        beat_lock._held.pop().close()


@pytest.fixture
def other_beat(tmp_path):
    """Another process that holds the lock."""
    environment = processes.child_environment(
        DJANGO_SETTINGS_MODULE="digest.settings", VAR_DIR=tmp_path
    )
    program = subprocess.Popen(
        [sys.executable, "-c", LOCK_AND_WAIT],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "locked\n"
    yield program
    program.kill()
    program.communicate()


@pytest.mark.both
def test_second_beat_waits_until_the_first_is_dead(other_beat, monkeypatch, caplog):
    monkeypatch.setattr(beat_lock, "RETRY_WAIT_S", 0.05)
    assert not beat_lock.try_lock()
    threading.Timer(0.5, other_beat.kill).start()

    beat_lock.wait_for_lock()

    assert other_beat.wait(30) != 0
    assert beat_lock.is_held()
    assert caplog.text.count("another beat is running") == 1


def end_session_of_lock():
    if connection.vendor != "postgresql":
        pytest.skip("a lock on a file has no session")
    held = beat_lock._held[-1]
    pid = held.connection.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def test_lock_is_taken_again_after_a_restart_of_the_database():
    beat_lock.wait_for_lock()
    end_session_of_lock()
    assert not beat_lock.is_held()

    record_beat_heartbeat(HEARTBEAT_TASK)

    assert beat_lock.is_held()


def test_beat_ends_if_another_has_taken_over(monkeypatch, caplog):
    signals = []
    monkeypatch.setattr(
        beat_lock.os, "kill", lambda *arguments: signals.append(arguments)
    )
    beat_lock.wait_for_lock()
    end_session_of_lock()
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [beat_lock.BEAT_LOCK_ID])

    record_beat_heartbeat(HEARTBEAT_TASK)
    other.close()

    assert len(signals) == 1
    assert "another beat has taken over" in caplog.text
