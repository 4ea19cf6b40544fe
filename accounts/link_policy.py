"""Decide which link an address is mailed. The decision is never visible to the visitor."""

from datetime import datetime

from accounts.models import Link, Subscriber, Suppression

Purpose = Link.Purpose


def issue_signup_link(
    email: str, requested_interests: list[str], zone: str, now: datetime
) -> Link | None:
    """Issue a confirmation link, or a preferences link if this reader is active already.

    Return None if the address is suppressed.
    """
    if Suppression.objects.blocks(email, now):
        return None
    reader, _ = Subscriber.objects.get_or_create(email=email)
    payload: dict[str, object] = {"requested_interests": requested_interests}
    if reader.is_active:
        return Link.issue(reader, Purpose.PREFERENCES, now, **payload)
    return Link.issue(reader, Purpose.CONFIRM, now, zone=zone, **payload)


def issue_invitation_link(email: str, invited_by: str, now: datetime) -> Link | None:
    """Issue a confirmation link that names who invites.

    Return None if the address is suppressed, reads already, or unsubscribed.
    """
    if Suppression.objects.blocks(email, now):
        return None
    reader, _ = Subscriber.objects.get_or_create(email=email)
    if reader.state != Subscriber.State.PENDING:
        return None
    return Link.issue(reader, Purpose.CONFIRM, now, invited_by=invited_by)


def issue_preferences_link(email: str, now: datetime) -> Link | None:
    """Issue a preferences link, or another confirmation link if the reader never confirmed.

    Return None if the address is unknown or suppressed.
    """
    reader = Subscriber.objects.filter(email=email).first()
    if reader is None or Suppression.objects.blocks(email, now):
        return None
    if reader.state != Subscriber.State.PENDING:
        return Link.issue(reader, Purpose.PREFERENCES, now)
    last_link = reader.links.filter(purpose=Purpose.CONFIRM).order_by("pk").last()
    payload = last_link.payload if last_link else {}
    return Link.issue(reader, Purpose.CONFIRM, now, **payload)


def issue_address_link(
    subscriber: Subscriber | None, email: str, now: datetime
) -> Link | None:
    """Issue the link that changes a reader's address to `email`.

    Return None if `email` is suppressed.
    """
    if subscriber is None or Suppression.objects.blocks(email, now):
        return None
    return Link.issue(subscriber, Purpose.ADDRESS, now, email=email)
