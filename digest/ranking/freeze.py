"""Freeze: the edition is scored a last time and closed; after that it never changes."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings

from digest.models import Edition, Frozen
from digest.models.editions import EXPIRES_AFTER
from digest.ranking.rank_edition import rescore


def freeze(edition: Edition, now: datetime) -> bool:
    """Close an open edition; False if it was closed already, or its day has no new paper.

    Safe with two processes at once: whoever changes the state has frozen it.
    """
    try:
        if rescore(edition.day, now) is None:
            return False
    except Frozen:
        return False
    still_open = Edition.objects.open().filter(pk=edition.pk)
    won = still_open.update(state=Edition.State.FROZEN, frozen_at=now) == 1
    edition.refresh_from_db()
    return won


def freeze_due(now: datetime) -> list[Edition]:
    """Freeze every open edition whose FREEZE_AT, in the site's TIME_ZONE, has come.

    One that an outage kept open until after it would have expired is closed as of its own
    time, so that nobody is mailed Monday's papers on Thursday.
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
    """When this edition freezes by itself: the editors' morning of its day."""
    zone = ZoneInfo(settings.TIME_ZONE)
    return datetime.combine(edition.day, settings.FREEZE_AT, tzinfo=zone)
