"""Request mailed links, and do what a redeemed link is for."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import rate_limits, tasks
from accounts.addresses import parse_address
from accounts.forms import SubscribeForm
from accounts.models import AccountMail, Link, Subscriber, Suppression, User
from accounts.rate_limits import IPAddress
from accounts.signals import confirmed

Kind = AccountMail.Kind
# A laboratory; more people are imported with the source of their consent.
INVITATIONS_PER_STAFF = "50/d"
CONSENT_METHOD = "pressed the button behind a mailed link"
INVITED_CONSENT_METHOD = "invited by staff; pressed the button"


def request_signup(form: SubscribeForm, ip: IPAddress) -> None:
    """Mail a confirmation link, or what link_policy decides instead."""
    fields = form.cleaned_data
    if fields["website"] or rate_limits.hit_mailbox(fields["email"], ip):
        return
    payload = {name: fields[name] for name in ("requested_interests", "zone")}
    tasks.queue_mail(Kind.SIGN_UP, fields["email"], payload=payload)


def invite_reader(email: str, user: User) -> None:
    """Mail a confirmation link that names who invites, unless a limit or link_policy forbids it.

    The staff member never learns which: that would tell who reads.
    """
    limited = rate_limits.hit("invitations", str(user.pk), INVITATIONS_PER_STAFF)
    if not limited and not rate_limits.hit_mailbox(email):
        tasks.queue_mail(Kind.INVITATION, email, payload={"invited_by": str(user)})


def request_preferences_link(email: str, ip: IPAddress) -> None:
    if not rate_limits.hit_mailbox(email, ip):
        tasks.queue_mail(Kind.PREFERENCES, email)


def request_address_change(subscriber: Subscriber, email: str) -> bool:
    """Mail a confirmation link to the new address; return False if it is not an address.

    True does not reveal whether the address is registered or suppressed.
    """
    try:
        new_email = parse_address(email)
    except ValidationError:
        return False
    if not rate_limits.hit_address_change(subscriber.pk, new_email):
        tasks.queue_mail(Kind.ADDRESS, new_email, subscriber=subscriber)
    return True


def confirm_signup(link: Link, now: datetime) -> Link | None:
    """Record consent and return a preferences link; None if the address is suppressed.

    Confirming twice is harmless: the second time changes nothing.
    """
    reader, payload = link.subscriber, link.payload
    with transaction.atomic():
        is_first = reader.confirmed_at is None
        is_invited = "invited_by" in payload
        how = INVITED_CONSENT_METHOD if is_invited else CONSENT_METHOD
        if not reader.confirm(now, how):
            return None
        if link.redeem(now):
            if is_first:
                reader.zone = payload.get("zone", reader.zone)
                reader.save(update_fields=["zone"])
            announce_confirmation(reader, payload.get("requested_interests", []))
        return Link.issue(reader, Link.Purpose.PREFERENCES, now)


def announce_confirmation(reader: Subscriber, requested_interests: list[str]) -> None:
    """Send `confirmed` after commit; an exception in a receiver is logged, not raised."""
    transaction.on_commit(
        lambda: confirmed.send_robust(
            Subscriber, subscriber=reader, requested_interests=requested_interests
        )
    )


def change_address(link: Link, now: datetime) -> bool:
    """Change the reader's address to the link's; False if it is suppressed or registered.

    All other links of the reader are deleted and the old address is notified, because the
    old mailbox may be in other hands.
    """
    reader, new_email = link.subscriber, link.payload["email"]
    old_email = reader.email
    if Suppression.objects.blocks(new_email, now):
        return False
    try:
        with transaction.atomic():
            discard_pending_signup(new_email, reader)
            reader.email = new_email
            reader.save(update_fields=["email", "address_hash"])
            reader.links.exclude(pk=link.pk).delete()
            tasks.queue_mail(Kind.MOVE_NOTICE, old_email)
            return link.redeem(now)
    except IntegrityError:
        return False


def discard_pending_signup(email: str, reader: Subscriber) -> None:
    """Delete an unconfirmed sign-up of an address whose owner is now `reader`."""
    pending = Subscriber.objects.filter(email=email, state=Subscriber.State.PENDING)
    pending.exclude(pk=reader.pk).delete()


def block_address(link: Link, now: datetime) -> None:
    if link.purpose == Link.Purpose.ADDRESS:
        email = link.payload["email"]
    else:
        email = link.subscriber.email
        if link.subscriber.is_active:
            link.subscriber.unsubscribe(now)
    Suppression.add(email, Suppression.Reason.REQUESTED)
