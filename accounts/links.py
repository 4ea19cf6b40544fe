"""Mailed doors: how one is asked for, and what coming through it does."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import rate_limits, tasks
from accounts.forms import SubscribeForm, address
from accounts.models import Link, Subscriber, Suppression
from accounts.signals import confirmed

# What a reader did to agree; kept with the consent.
HOW = "pressed the button behind a mailed link"


def ask_to_join(form: SubscribeForm) -> None:
    """Mail whatever this sign-up calls for: to whom and what is decided out of the visitor's sight."""
    asked = form.cleaned_data
    if asked["website"] or rate_limits.mailbox_is_full(asked["email"]):
        return
    tasks.soon(tasks.sign_up, asked["email"], asked["wish"], asked["zone"])


def ask_fresh(email: str) -> None:
    """Mail a way into the preferences of this address, if it has any."""
    if not rate_limits.mailbox_is_full(email):
        tasks.soon(tasks.fresh_link, email)


def ask_new_address(subscriber: Subscriber, email: str, now: datetime) -> bool:
    """Mail a link to the new address that will move the reader there; False if it is no address.

    True says nothing of whether the address is known, or may be mailed.
    """
    try:
        new = address(email)
    except ValidationError:
        return False
    mover = rate_limits.used_up(
        "moves of a reader", str(subscriber.pk), rate_limits.MAILBOX_RATE
    )
    if not mover and not rate_limits.mailbox_is_full(new):
        tasks.soon(tasks.new_address, subscriber.pk, new)
    return True


def confirm(link: Link, now: datetime) -> Link | None:
    """Record consent, tell whoever cares, and open the preferences; None where mail is forbidden for ever.

    Pressing twice is harmless: both get preferences, the second changes nothing.
    """
    reader, asked = link.subscriber, link.payload
    with transaction.atomic():
        first = reader.confirmed_at is None
        if not reader.confirm(now, HOW):
            return None
        if link.use(now):
            if first:
                reader.zone = asked.get("zone", reader.zone)
                reader.save(update_fields=["zone"])
            announce(reader, asked.get("requested_interests", []))
        return Link.issue(reader, Link.Purpose.PREFERENCES, now)


def announce(reader: Subscriber, requested_interests: list[str]) -> None:
    """Send `confirmed` once the consent is stored; a listener that fails is logged, not shown."""
    transaction.on_commit(
        lambda: confirmed.send_robust(
            Subscriber, subscriber=reader, requested_interests=requested_interests
        )
    )


def move(link: Link, now: datetime) -> bool:
    """Give the reader the address of this link, follows and all; False if it is forbidden or another's.

    Whoever reads the old inbox is told, and can no longer open anything with what lies in it.
    """
    reader, email = link.subscriber, link.payload["email"]
    old = reader.email
    if Suppression.objects.forbids(email, now):
        return False
    try:
        with transaction.atomic():
            give_way(email, reader)
            reader.email = email
            reader.save(update_fields=["email", "address_hash"])
            reader.links.exclude(pk=link.pk).delete()
            tasks.soon(tasks.moved, old)
            return link.use(now)
    except IntegrityError:
        return False


def give_way(email: str, reader: Subscriber) -> None:
    """Forget a sign-up of this address that nobody confirmed: its owner stands before us."""
    pending = Subscriber.objects.filter(email=email, state=Subscriber.State.PENDING)
    pending.exclude(pk=reader.pk).delete()
