"""Graceful shutdown: programs finish the digest in progress and claim nothing new."""

import signal
import subprocess
import sys

import pytest

from digest import tasks
from digest.models import Batch, Digest
from tests import make, processes
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

READERS = 200
SLOWLY = 10  # mails a second, so that all of them would take twenty


@pytest.fixture
def batch():
    """Readers who are due, in one batch."""
    edition = make.frozen(make.edition(papers=3))
    readers = [make.subscriber() for _ in range(READERS)]
    return make.batch(edition, readers, kind="manual")  # never too late


def mails(folder):
    return list((folder / "mail").glob("*.eml"))


def is_laid_down(batch, folder):
    """Whether the batch is free at once, and the rows say exactly what was sent."""
    batch.refresh_from_db()
    sent = Digest.objects.filter(outcome="accepted").count()
    assert batch.state == Batch.State.PLANNED
    assert batch.error == "the worker is shutting down"
    assert 5 <= sent == len(mails(folder)) == batch.last_position < READERS
    return True


def ended(program, seconds=60):
    program.send_signal(signal.SIGTERM)
    program.wait(seconds)


def test_a_worker_ends_after_the_digest_in_progress(batch, tmp_path, redis_url):
    worker = ("celery", "-A", "digest", "worker", "--concurrency", "1")
    own = {"VAR_DIR": tmp_path, "MAIL_DIR": tmp_path / "mail", "MAIL_RATE": SLOWLY}
    log = tmp_path / "log"

    with processes.run_program(*worker, log=log, **own) as program:
        tasks.send_batches.delay()
        processes.wait_until(lambda: len(mails(tmp_path)) >= 5, log)
        ended(program)

    assert is_laid_down(batch, tmp_path)


@pytest.mark.both
def test_manual_sending_ends_after_the_digest_in_progress(batch, tmp_path):
    own = {"VAR_DIR": tmp_path, "MAIL_DIR": tmp_path / "mail", "MAIL_RATE": SLOWLY}
    with subprocess.Popen(
        [sys.executable, "manage.py", "send", "--day", make.DAY.isoformat()],
        cwd=ROOT,
        env=processes.child_environment(**own),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        processes.wait_until(lambda: len(mails(tmp_path)) >= 5)
        program.send_signal(signal.SIGTERM)
        output = program.communicate(timeout=60)[0]

    assert is_laid_down(batch, tmp_path)
    assert f"waiting {READERS - len(mails(tmp_path))}" in output
    assert program.returncode == 1
