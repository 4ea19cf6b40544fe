"""Which door, if any, an address is mailed. What is decided here no visitor sees."""

from datetime import datetime

from accounts.models import Link, Subscriber, Suppression

Purpose = Link.Purpose


def for_sign_up(
    email: str, requested_interests: list[str], zone: str, now: datetime
) -> Link | None:
    """A confirmation for a new reader; preferences, which offer these requested_interests, for one who has confirmed; None where mail is forbidden."""
    if Suppression.objects.forbids(email, now):
        return None
    reader, _ = Subscriber.objects.get_or_create(email=email)
    if reader.is_active:
        return Link.issue(
            reader, Purpose.PREFERENCES, now, requested_interests=requested_interests
        )
    return Link.issue(
        reader, Purpose.CONFIRM, now, requested_interests=requested_interests, zone=zone
    )


def for_reader(email: str, now: datetime) -> Link | None:
    """Preferences for a known address, whatever its state; a confirmation if it never confirmed."""
    reader = Subscriber.objects.filter(email=email).first()
    if reader is None or Suppression.objects.forbids(email, now):
        return None
    if reader.state != Subscriber.State.PENDING:
        return Link.issue(reader, Purpose.PREFERENCES, now)
    asked = reader.links.filter(purpose=Purpose.CONFIRM).order_by("pk").last()
    return Link.issue(reader, Purpose.CONFIRM, now, **(asked.payload if asked else {}))


def for_new_address(subscriber_id: int, email: str, now: datetime) -> Link | None:
    """A link that moves this reader to `email`; None where mail to it is forbidden, or the reader is gone."""
    reader = Subscriber.objects.filter(pk=subscriber_id).first()
    if reader is None or Suppression.objects.forbids(email, now):
        return None
    return Link.issue(reader, Purpose.ADDRESS, now, email=email)
