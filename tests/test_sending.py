"""Sending with real processes: two at once, and one that is killed in the middle."""

import signal
import subprocess
import sys
from collections import Counter
from email import message_from_bytes, policy

import pytest

from digest.models import Batch, Digest
from tests import make, processes
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.both,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
]

READERS = 60
SLOWLY = 5  # mails a second, so that all of them would take eleven


@pytest.fixture
def readers():
    """Active readers, an edition for them, and some whom nobody may mail."""
    make.edition(papers=12)
    make.subscriber(state="left")
    make.subscriber(state="pending", confirmed_at=None)
    return [make.subscriber() for _ in range(READERS)]


def send(folder, **settings):
    """`manage.py send`, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "send", "--day", make.DAY.isoformat()],
        cwd=ROOT,
        env=processes.child_environment(MAIL_DIR=folder, VAR_DIR=folder, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def mailed(folder):
    """How many mails each address has."""
    files = folder.glob("*.eml")
    read = (message_from_bytes(f.read_bytes(), policy=policy.default) for f in files)
    return Counter(str(mail["To"]) for mail in read)


def once_each(readers):
    return Counter(reader.email for reader in readers)


def test_two_at_once_mail_every_reader_once(readers, tmp_path):
    both = [send(tmp_path), send(tmp_path)]
    said = [program.communicate(timeout=120)[0] for program in both]

    assert all(f"accepted {READERS} + failed 0" in one for one in said), said
    assert mailed(tmp_path) == once_each(readers)
    assert Digest.objects.count() == READERS


def test_a_run_that_is_killed_is_finished_by_the_next(readers, tmp_path):
    with send(tmp_path, MAIL_RATE=SLOWLY) as program:
        processes.wait_until(lambda: len(list(tmp_path.glob("*.eml"))) >= 5)
        program.send_signal(signal.SIGKILL)
    assert len(mailed(tmp_path)) < READERS

    with send(tmp_path) as program:
        assert "held elsewhere" in program.stdout.readline()
        expire_leases()
        said = program.communicate(timeout=120)[0]

    assert f"recipients {READERS} = accepted {READERS}" in said
    assert mailed(tmp_path) == once_each(readers)
    assert Digest.objects.count() == READERS


def expire_leases():
    """What a minute does: nobody has heard of the killed worker since."""
    Batch.objects.exclude(lease_until=None).update(lease_until=make.NOW)
