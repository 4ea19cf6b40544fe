"""Freeze editions: score them a last time and close them; a frozen edition never changes."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from digest.models import Batch, Edition, Frozen
from digest.models.editions import EXPIRES_AFTER


def freeze(edition: Edition, now: datetime) -> bool:
    """Close an open edition; False if it was closed already, or its day has no new paper.

    The conditional UPDATE lets only one of two concurrent processes freeze it.
    """
    # Imports numpy and scikit-learn, which the dashboard does not need to show a time.
    from digest.ranking.rank_edition import rank_edition

    try:
        if rank_edition(edition.day, now) is None:
            return False
    except Frozen:
        return False
    still_open = Edition.objects.open().filter(pk=edition.pk)
    updated = still_open.update(state=Edition.State.FROZEN, frozen_at=now)
    edition.refresh_from_db()
    return updated == 1


def freeze_due(now: datetime) -> list[Edition]:
    """Freeze every open edition whose FREEZE_AT, in the site's TIME_ZONE, has passed.

    An edition that an outage kept open past its expiry is frozen as of its due time, so
    that it is expired at once and readers do not get Monday's papers on Thursday.
    """
    frozen = []
    for edition in Edition.objects.open().order_by("day"):
        due = due_at(edition)
        if due <= now:
            late = now > due + EXPIRES_AFTER
            if freeze(edition, due if late else now):
                frozen.append(edition)
    return frozen


def may_unfreeze(edition: Edition) -> bool:
    """Whether an edition is frozen and none of its mails is planned."""
    planned = Batch.objects.filter(slot__edition=edition)
    return not edition.is_open and not planned.exists()


def unfreeze(edition: Edition, freeze_at: datetime) -> bool:
    """Reopen an edition until `freeze_at`; False once one of its mails is planned.

    The locks of its slots wait for a batch that is being planned, and that of the edition
    for new slots, which `plan` creates only while it is frozen.
    """
    with transaction.atomic():
        locked = Edition.objects.frozen().select_for_update().filter(pk=edition.pk)
        if not locked.exists():
            return False
        list(edition.slots.select_for_update())
        if Batch.objects.filter(slot__edition=edition).exists():
            return False
        edition.slots.all().delete()
        Edition.objects.filter(pk=edition.pk).update(
            state=Edition.State.OPEN,
            frozen_at=None,
            freeze_at=freeze_at,
            stopped_at=None,
        )
    edition.refresh_from_db()
    return True


def due_at(edition: Edition) -> datetime:
    """The time that an editor set, else FREEZE_AT on the edition's day."""
    if edition.freeze_at:
        return edition.freeze_at
    zone = ZoneInfo(settings.TIME_ZONE)
    return datetime.combine(edition.day, settings.FREEZE_AT, tzinfo=zone)
