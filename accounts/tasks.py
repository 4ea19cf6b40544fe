"""Account mails, sent asynchronously so that response times do not reveal whether an address is registered."""

from functools import partial
from threading import Thread
from typing import Any

import structlog
from celery import shared_task
from django.db import connection, transaction
from django.utils import timezone

from accounts import emails, link_policy
from accounts.models import Link, Subscriber, Suppression

log = structlog.get_logger(__name__)


def enqueue_on_commit(task: Any, *arguments: Any) -> None:
    """Enqueue a task after commit (celery's types lack its methods)."""
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
    """Run a task, log its exception, and close the thread's database connection."""
    try:
        task(*arguments)
    except Exception:
        log.exception("task failed", task=task.name)
    finally:
        connection.close()


@shared_task
def mail_signup_link(email: str, requested_interests: list[str], zone: str) -> None:
    if link := link_policy.issue_signup_link(
        email, requested_interests, zone, timezone.now()
    ):
        emails.send_link(link)


@shared_task
def mail_preferences_link(email: str) -> None:
    if link := link_policy.issue_preferences_link(email, timezone.now()):
        emails.send_link(link)


@shared_task
def mail_address_link(subscriber_id: int, email: str) -> None:
    if link := link_policy.issue_address_link(subscriber_id, email, timezone.now()):
        emails.send_link(link)


@shared_task
def mail_move_notice(old_email: str) -> None:
    if not Suppression.objects.blocks(old_email, timezone.now()):
        emails.send_move_notice(old_email)


@shared_task
def purge_expired() -> None:
    """Delete unconfirmed sign-ups and expired links after their retention periods."""
    now = timezone.now()
    Subscriber.objects.purgeable(now).delete()
    Link.objects.purgeable(now).delete()
