"""Delete interests that no reader follows and no recent digest names."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from digest.models import Digest, Interest
from digest.models.digests import DIGEST_KEY_LIFETIME, PICK

# The edition of a weekly reader's digest may be a week older than the digest.
MAX_EDITION_AGE = timedelta(days=7)
CHUNK_SIZE = 2_000  # digests or interests read together


def prune_interests(now: datetime) -> int:
    """Delete interests that nothing needs, and return their number.

    A reader's own search phrase may be personal: it is deleted with its last follower.
    """
    unfollowed = Interest.objects.filter(follows=None)
    ids = set(unfollowed.values_list("pk", flat=True))
    if ids:
        ids -= _interests_in_digests(now)
    return sum(_delete_unfollowed(chunk) for chunk in _chunks(sorted(ids)))


def _interests_in_digests(now: datetime) -> set[int]:
    oldest = (now - DIGEST_KEY_LIFETIME - MAX_EDITION_AGE).date()
    recent = Digest.objects.filter(edition__day__gte=oldest)
    columns = recent.exclude(packed_picks=b"").values_list("packed_picks", flat=True)
    interests: set[int] = set()
    joined = bytearray()
    for column in columns.iterator(chunk_size=CHUNK_SIZE):
        joined += column
        if len(joined) > CHUNK_SIZE * PICK.size * 10:
            interests |= _unpack_interests(joined)
            joined.clear()
    return interests | _unpack_interests(joined)


def _unpack_interests(joined: bytearray) -> set[int]:
    return {interest for _, interest, _ in PICK.iter_unpack(joined)}


def _delete_unfollowed(ids: Sequence[int]) -> int:
    """Delete those that still have no follower; the lock makes new followers wait."""
    with transaction.atomic():
        rows = Interest.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        locked_ids = list(rows.values_list("pk", flat=True))
        return Interest.objects.filter(pk__in=locked_ids, follows=None).delete()[0]


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK_SIZE):
        yield ids[start : start + CHUNK_SIZE]
