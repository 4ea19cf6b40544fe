"""Freeze editions: score them a last time and close them; a frozen edition never changes."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings

from digest.models import Edition, Frozen
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


def due_at(edition: Edition) -> datetime:
    zone = ZoneInfo(settings.TIME_ZONE)
    return datetime.combine(edition.day, settings.FREEZE_AT, tzinfo=zone)
