"""Sending by several processes: two at once, and one that is killed."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from email import message_from_bytes, policy

import pytest

from digest.models import Batch, Digest
from tests import make, processes
from tests.conftest import ROOT
from tests.smtp_server import SmtpServer

pytestmark = [
    pytest.mark.both,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
]

READERS = 60
MAILS_PER_SECOND = 5  # sending to all readers would take 12 s


@pytest.fixture
def readers():
    """Active readers, an edition, and two people who must not be mailed."""
    make.edition(papers=12)
    make.subscriber(state="left")
    make.subscriber(state="pending", confirmed_at=None)
    return [make.subscriber() for _ in range(READERS)]


def start_send(folder, **settings):
    """Start `manage.py send` in another process."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "send", "--day", make.DAY.isoformat()],
        cwd=ROOT,
        env=processes.child_environment(MAIL_DIR=folder, VAR_DIR=folder, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def count_mails(folder):
    """Number of mails per address."""
    files = folder.glob("*.eml")
    read = (message_from_bytes(f.read_bytes(), policy=policy.default) for f in files)
    return Counter(str(mail["To"]) for mail in read)


def one_mail_each(readers):
    return Counter(reader.email for reader in readers)


def test_two_concurrent_sends_mail_every_reader_once(readers, tmp_path):
    programs = [start_send(tmp_path), start_send(tmp_path)]
    outputs = [program.communicate(timeout=120)[0] for program in programs]

    assert all(f"accepted {READERS} + failed 0" in output for output in outputs), (
        outputs
    )
    assert count_mails(tmp_path) == one_mail_each(readers)
    assert Digest.objects.count() == READERS


def test_second_send_finishes_a_killed_one(readers, tmp_path):
    with start_send(tmp_path, MAIL_RATE=MAILS_PER_SECOND) as program:
        processes.wait_until(lambda: len(list(tmp_path.glob("*.eml"))) >= 5)
        program.send_signal(signal.SIGKILL)
    assert len(count_mails(tmp_path)) < READERS

    with start_send(tmp_path) as program:
        assert "Other workers" in program.stdout.readline()
        expire_leases()
        output = program.communicate(timeout=120)[0]

    assert f"recipients {READERS} = accepted {READERS}" in output
    assert count_mails(tmp_path) == one_mail_each(readers)
    assert Digest.objects.count() == READERS


class CountingServer:
    """A mail server that is slow enough to be caught in the middle of mails."""

    def __init__(self):
        self.taken = []

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(0.05)
        self.taken += envelope.rcpt_tos
        return "250 taken"


def test_a_sender_that_was_stopped_beyond_its_lease_doubles_no_mail(readers, tmp_path):
    handler = CountingServer()
    server = SmtpServer(handler)
    server.start()
    over_smtp = {"MAIL_TRANSPORT": "smtp", "SMTP_URL": server.url}
    window = 4  # of MAIL_RATE
    try:
        with start_send(tmp_path, **over_smtp, MAIL_RATE=20) as stopped:
            processes.wait_until(lambda: len(handler.taken) >= 5)
            stopped.send_signal(signal.SIGSTOP)
            expire_leases()
            with start_send(tmp_path, **over_smtp) as other:
                output = other.communicate(timeout=120)[0]
            taken_before = len(handler.taken)
            in_doubt = Digest.objects.filter(outcome="unknown").count()
            stopped.send_signal(signal.SIGCONT)
            stopped.communicate(timeout=120)
    finally:
        server.stop()

    assert in_doubt <= window, output
    assert max(Counter(handler.taken).values()) == 1
    assert len(handler.taken) - taken_before <= in_doubt
    accepted = Digest.objects.filter(outcome="accepted").count()
    assert READERS - window <= accepted <= len(handler.taken)


def expire_leases():
    """Expire the leases of the killed process, as a minute would."""
    Batch.objects.exclude(lease_until=None).update(lease_until=make.NOW)
