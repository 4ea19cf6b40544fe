"""Mail that opens doors, sent behind the visitor's back: no answer waits for it, so none tells who is known."""

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


def soon(task: Any, *arguments: Any) -> None:
    """Run this task once what we stored is committed (celery's types lack its methods)."""
    transaction.on_commit(partial(hand_over, task, arguments))


def hand_over(task: Any, arguments: tuple[Any, ...]) -> None:
    """Enqueue it; where the broker is away, run it here: nobody who signs up is lost for that.

    In a thread, so that an answer still takes as long for every address.
    """
    try:
        task.delay(*arguments)
    except task.OperationalError as error:
        log.warning("broker away, run here", task=task.name, error=str(error))
        Thread(target=run_here, args=(task, arguments)).start()


def run_here(task: Any, arguments: tuple[Any, ...]) -> None:
    """Run a task in a thread of its own, which nobody waits for."""
    try:
        task(*arguments)
    except Exception:
        log.exception("task failed", task=task.name)
    finally:
        connection.close()


@shared_task
def sign_up(email: str, requested_interests: list[str], zone: str) -> None:
    """Somebody typed this address into the sign-up form."""
    if link := link_policy.for_sign_up(
        email, requested_interests, zone, timezone.now()
    ):
        emails.send_link(link)


@shared_task
def fresh_link(email: str) -> None:
    """Somebody asked for a way to this address's preferences."""
    if link := link_policy.for_reader(email, timezone.now()):
        emails.send_link(link)


@shared_task
def new_address(subscriber_id: int, email: str) -> None:
    """A reader wants digests at another address."""
    if link := link_policy.for_new_address(subscriber_id, email, timezone.now()):
        emails.send_link(link)


@shared_task
def moved(old: str) -> None:
    """A reader confirmed another address than this one."""
    if not Suppression.objects.forbids(old, timezone.now()):
        emails.send_moved(old)


@shared_task
def forget() -> None:
    """Keep nobody's address who never confirmed, and no link that has long been closed."""
    now = timezone.now()
    Subscriber.objects.never_confirmed(now).delete()
    Link.objects.stale(now).delete()
