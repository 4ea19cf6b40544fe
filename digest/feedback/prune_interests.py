"""Orphans: interests that nobody follows any more, and no mail of the last weeks names."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
from django.db import transaction

from digest.models import Digest, Interest
from digest.models.digests import PICK

# As long as the key of a digest opens it: until then its reasons are read in the browser.
NAMED_FOR = timedelta(days=30)
# The edition of a digest is older than the digest, by a week for who reads weekly.
LATE = timedelta(days=7)
PORTION = 2_000  # digests or interests at once


def forget(now: datetime) -> int:
    """Delete the interests that nobody follows and no digest needs; how many they were.

    What somebody typed into a search may be personal: it goes with its last follower.
    """
    lonely = Interest.objects.filter(follows=None)
    ids = set(lonely.values_list("pk", flat=True))
    if ids:
        ids -= _named(now)
    return sum(_delete(portion) for portion in _portions(sorted(ids)))


def _named(now: datetime) -> set[int]:
    """The interests that digests name which can still be opened."""
    recent = Digest.objects.filter(edition__day__gte=(now - NAMED_FOR - LATE).date())
    columns = recent.exclude(packed_picks=b"").values_list("packed_picks", flat=True)
    found: set[int] = set()
    packed_picks = bytearray()
    for column in columns.iterator(chunk_size=PORTION):
        packed_picks += column
        if len(packed_picks) > PORTION * PICK.size * 10:
            found |= _interests(packed_picks)
            packed_picks.clear()
    return found | _interests(packed_picks)


def _interests(packed_picks: bytearray) -> set[int]:
    """The interests of joined columns of picks; millions of them, so not pick by pick."""
    pairs = np.frombuffer(bytes(packed_picks), "<i4").reshape(-1, 2)
    return set(np.unique(np.abs(pairs[:, 1])).tolist())


def _delete(ids: Sequence[int]) -> int:
    """Those of them that still nobody follows; the lock keeps new followers waiting."""
    with transaction.atomic():
        rows = Interest.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        held = list(rows.values_list("pk", flat=True))
        free = Interest.objects.filter(pk__in=held, follows=None)
        return free.delete()[0]


def _portions(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), PORTION):
        yield ids[first : first + PORTION]
