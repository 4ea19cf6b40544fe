"""Account mails, sent asynchronously so that response times do not reveal whether an address is registered; imports of readers."""

import time
from functools import partial
from threading import Thread
from typing import Any

import structlog
from celery import shared_task
from django.db import connection, transaction
from django.utils import timezone

from accounts import outbox, reader_import
from accounts.models import AccountMail, Link, ReaderImport, Subscriber

log = structlog.get_logger(__name__)

# The schedule starts a turn every minute; with a dead mail server each attempt takes 20 s.
TURN_SECONDS = 45.0
# Erasing scans the error texts of several tables, up to a second; others wait a night.
MAX_PURGED_READERS = 500


def enqueue_on_commit(task: Any, *arguments: Any) -> None:
    transaction.on_commit(partial(enqueue_or_run_inline, task, arguments))


def enqueue_or_run_inline(task: Any, arguments: tuple[Any, ...]) -> None:
    """Enqueue a task; if the broker is down, run it in a thread of this process.

    In a thread, so that the response still takes equally long for every address.
    """
    try:
        task.delay(*arguments)
    except task.OperationalError as error:
        log.warning("broker is down, run inline", task=task.name, error=str(error))
        Thread(target=run_in_thread, args=(task, arguments)).start()


def run_in_thread(task: Any, arguments: tuple[Any, ...]) -> None:
    try:
        task(*arguments)
    except Exception:
        log.exception("task failed", task=task.name)
    finally:
        connection.close()


def queue_mail(kind: AccountMail.Kind, email: str, **fields: Any) -> None:
    """Store the request for a mail, and have it sent after commit.

    One INSERT for every address: whether and what to mail is decided later, by the worker.
    """
    mail = AccountMail.objects.create(kind=kind, email=email, **fields)
    enqueue_on_commit(send_account_mail, mail.pk)


@shared_task
def send_account_mail(mail_id: int) -> None:
    outbox.deliver(mail_id, timezone.now())


@shared_task
def send_due_mails() -> None:
    """Retry failed mails, and send those whose own task was lost."""
    deadline = time.monotonic() + TURN_SECONDS
    for mail_id in AccountMail.objects.due(timezone.now()).values_list("pk", flat=True):
        if time.monotonic() > deadline:
            break
        outbox.deliver(mail_id, timezone.now())


@shared_task
def purge_expired() -> None:
    """Erase readers, and delete expired links, after their retention periods."""
    now = timezone.now()
    for reader in Subscriber.objects.purgeable(now).order_by("pk")[:MAX_PURGED_READERS]:
        reader.delete()
    Link.objects.purgeable(now).delete()
    for job in ReaderImport.objects.unfinished().filter(
        progress_at__lte=now - reader_import.UNFINISHED_RETENTION
    ):
        reader_import.cancel_import(job)


@shared_task
def import_readers(job_id: int) -> None:
    reader_import.run_import(job_id, timezone.now())


@shared_task
def continue_imports() -> None:
    """Continue imports whose worker died or whose task was lost."""
    stalled_before = timezone.now() - reader_import.STALLED_AFTER
    jobs = ReaderImport.objects.stalled(stalled_before)
    for job_id in jobs.values_list("pk", flat=True):
        reader_import.run_import(job_id, timezone.now())
