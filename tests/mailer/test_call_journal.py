"""The journal of calls: it outlives a killed process, and says nothing where it may be wrong."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from digest.mailer import call_journal
from digest.mailer.call_journal import CallState, create_journal, read_journal
from tests.mailer.sending import (
    LATER,
    Killed,
    outcomes,
    planned_batch,
    resolve_at,
    run_worker,
)
from tests.processes import ROOT, child_environment


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.VAR = tmp_path
    return tmp_path / "calls"


KILLED_PROGRAM = """
import os, signal
import django
django.setup()
from digest.mailer.call_journal import CallState, create_journal
journal = create_journal("token", 3)
journal.add([7, 2**40, 9])
journal.note(2**40, CallState.BEGUN)
journal.note(9, CallState.ACCEPTED)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_states_of_a_killed_process_are_read(tmp_path):
    program = subprocess.run(
        [sys.executable, "-c", KILLED_PROGRAM],
        cwd=ROOT,
        env=child_environment(
            VAR_DIR=tmp_path, DJANGO_SETTINGS_MODULE="digest.settings"
        ),
        check=False,
    )

    assert program.returncode == -signal.SIGKILL
    assert read_journal("token") == {
        7: CallState.WAITING,
        2**40: CallState.BEGUN,
        9: CallState.ACCEPTED,
    }


def test_a_digest_that_is_sent_again_waits_in_its_first_entry():
    journal = create_journal("token", 1)
    journal.add([7])
    journal.note(7, CallState.BEGUN)

    journal.add([7])

    assert read_journal("token") == {7: CallState.WAITING}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"x" * 36 + content[36:],  # of another boot
        lambda content: content[:-1],
        lambda content: content[:-1] + b"\x09",
        lambda content: b"",
    ],
)
def test_a_journal_of_another_boot_or_a_damaged_one_says_nothing(folder, damage):
    create_journal("token", 1).add([7])
    path = folder / "token"
    path.write_bytes(damage(path.read_bytes()))

    assert read_journal("token") == {}


def test_no_journal_says_nothing():
    assert read_journal("token") == read_journal("") == {}


def test_a_removed_journal_says_nothing():
    journal = create_journal("token", 1)
    journal.add([7])

    journal.remove()

    assert read_journal("token") == {}


def test_journals_of_yesterday_are_removed(folder):
    for name in ("old", "new"):
        create_journal(name, 1)
    two_days_ago = time.time() - 2 * 86_400
    os.utime(folder / "old", (two_days_ago, two_days_ago))

    call_journal.remove_old_journals()

    assert [path.name for path in folder.iterdir()] == ["new"]


@pytest.mark.django_db
def test_mails_are_sent_without_space_for_a_journal(provider, monkeypatch):
    def refuse_space(*arguments):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse_space)
    planned_batch(2)
    provider({"r1@example.org": Killed()})

    with pytest.raises(Killed):
        run_worker()
    resolve_at(LATER)

    assert outcomes() == ["accepted", "unknown"]


@pytest.mark.django_db
def test_a_finished_batch_leaves_no_journal(provider, folder):
    planned_batch(2)
    provider()

    run_worker()

    assert list(folder.iterdir()) == []
