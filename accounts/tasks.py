"""Mail that opens doors, sent behind the visitor's back: no answer waits for it, so none tells who is known."""

from celery import shared_task
from django.utils import timezone

from accounts import emails, issue
from accounts.models import Link, Subscriber, Suppression


@shared_task
def sign_up(email: str, wishes: list[str], zone: str) -> None:
    """Somebody typed this address into the sign-up form."""
    if link := issue.for_sign_up(email, wishes, zone, timezone.now()):
        emails.send_link(link)


@shared_task
def fresh_link(email: str) -> None:
    """Somebody asked for a way to this address's preferences."""
    if link := issue.for_reader(email, timezone.now()):
        emails.send_link(link)


@shared_task
def new_address(subscriber_id: int, email: str) -> None:
    """A reader wants digests at another address."""
    if link := issue.for_new_address(subscriber_id, email, timezone.now()):
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
