"""Several workers at once: each reader is planned once, each digest sent once."""

import email
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from digest.mailer import claims, plan
from digest.mailer.tally import count_outcomes
from digest.mailer.transports import files
from digest.models import Batch, Digest
from tests import make
from tests.conftest import ROOT
from tests.mailer.sending import deliver_batch
from tests.processes import child_environment

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]

NOW = make.NOW + timedelta(hours=1)


def together(work, workers=3):
    """Run this in several threads that start at the same moment, each with its own connection."""
    start, errors = threading.Barrier(workers), []

    def run():
        try:
            start.wait()
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_concurrent_planning_puts_each_reader_into_one_batch(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", 4)
    make.frozen(make.edition(papers=0))
    readers = [make.subscriber(hour=10).pk for _ in range(30)]

    together(lambda: plan.plan_due(NOW))

    planned = Counter(pk for batch in Batch.objects.all() for pk in batch.readers)
    assert planned == Counter(readers)


def test_concurrent_manual_planning_shares_a_slot_or_creates_another(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", 4)
    edition = make.frozen(make.edition(papers=0))
    readers = {make.subscriber().pk for _ in range(30)}

    together(lambda: plan.plan_all(edition, NOW))

    for slot in edition.slots.all():
        planned = Counter(pk for batch in slot.batches.all() for pk in batch.readers)
        assert planned == Counter(readers)
        assert slot.planned_at


def test_concurrent_workers_send_each_mail_once(tmp_path, settings, monkeypatch):
    settings.MAIL_DIR = tmp_path
    edition = make.edition(papers=2)
    picks = [(row.pk, 0) for row in edition.candidates.all()]
    edition = make.frozen(edition)
    for _ in range(8):
        rows = [make.subscriber() for _ in range(3)]
        batch = make.batch(edition, rows)
        for row in rows:
            make.digest(batch, row, picks)
    written, write = [], files.write_file
    monkeypatch.setattr(
        files, "write_file", lambda *a: (written.append(a[0]), write(*a))
    )

    def work():
        while batch := claims.claim_next():
            deliver_batch(batch, list(batch.digests.order_by("pk")))

    with time_machine.travel(NOW, tick=False):
        together(work)

    assert len(written) == len(set(written)) == Digest.objects.count() == 24
    assert count_outcomes(edition).accepted == 24


def test_four_processes_share_an_audience_and_mail_each_reader_once(tmp_path):
    """Without a coordinator: each plans what it finds unserved and claims what is free."""
    edition = make.frozen(make.edition(papers=3), at=timezone.now())
    readers = [make.subscriber() for _ in range(24)]
    for start in range(0, len(readers), 2):
        make.batch(edition, readers[start : start + 2])
    environment = child_environment(MAIL_DIR=tmp_path / "mail", MAIL_TRANSPORT="files")
    command = [sys.executable, "manage.py", "send", "--day", edition.day.isoformat()]

    workers = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(4)
    ]
    output = [worker.communicate(timeout=120)[0].decode() for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * 4, output
    mails = [
        email.message_from_bytes(path.read_bytes())
        for path in (tmp_path / "mail").rglob("*.eml")
    ]
    assert Counter(mail["To"] for mail in mails) == Counter(r.email for r in readers)
    tally = count_outcomes(edition)
    assert (tally.accepted, tally.recipients, tally.waiting) == (24, 24, 0)
