"""The first digest of readers who have had none, where the task of their welcome could not send it."""

from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import Subscriber
from digest.mailer import plan
from digest.mailer.ledger import FINAL
from digest.models import Batch, Edition, Slot

# A welcome's own task has had its chance after so long.
GRACE = timedelta(minutes=2)


def plan_welcomes(now: datetime) -> Slot | None:
    """Plan the latest frozen edition for readers without any digest.

    They confirmed before any edition had frozen, or the task of their welcome was
    lost. While earlier welcomes wait, nobody is planned a second time.
    """
    edition = Edition.objects.frozen().order_by("day").last()
    if edition is None or waiting(edition):
        return None
    audience = Subscriber.objects.mailable(now).filter(
        digests=None, confirmed_at__lte=now - GRACE
    )
    if not audience.exists():
        return None
    with transaction.atomic():
        slot = plan.new_slot(edition, Slot.Kind.WELCOME, now)
    return plan.fill(slot, audience, now)


def waiting(edition: Edition) -> bool:
    """Whether welcomes with this edition are still to be sent."""
    welcomes = Batch.objects.filter(slot__edition=edition, slot__kind=Slot.Kind.WELCOME)
    return welcomes.exclude(state__in=FINAL).exists()
