"""Days with nothing for a reader: what the note about such a day says, from rows that change no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Max, Q

from digest.models import Digest

# Editions of daily readers are at most four days apart: a long weekend.
RARELY = timedelta(days=5)
# So long without a paper is a reason to say how to get more.
DRY = timedelta(days=7)
# Whoever had no digest for so long has come back from a pause.
REACH = timedelta(days=30)


@dataclass(frozen=True)
class Quiet:
    """One reader's day with nothing. `last` is the day of the digest before it, `full` of the last one with papers."""

    day: date
    looked_at: int  # papers of the edition that anybody could have got
    last: date | None
    full: date | None

    @property
    def when(self) -> str:
        """The time of which there is nothing: a weekly reader had no other mail in it."""
        rare = self.last is not None and self.day - self.last >= RARELY
        return "this week" if rare else "today"

    @property
    def is_dry(self) -> bool:
        """Whether a week or more brought no paper."""
        began = self.full or self.day - REACH
        return self.last is not None and self.day - began >= DRY


def gather(digests: Sequence[Digest]) -> dict[int, Quiet]:
    """What the notes of one edition say, by their readers' ids; two queries however many, none for none."""
    if not digests:
        return {}
    edition = digests[0].edition
    looked_at = edition.candidates.filter(is_hidden=False).count()
    readers = [digest.subscriber_id for digest in digests]
    known = days_before(edition.day, readers)
    return {
        reader: Quiet(edition.day, looked_at, *known.get(reader, (None, None)))
        for reader in readers
    }


def days_before(
    day: date, readers: Sequence[int]
) -> dict[int, tuple[date, date | None]]:
    """Of each reader the day of the digest before this one, sent or not, and of the last that held papers."""
    earlier = Digest.objects.filter(
        subscriber__in=readers, edition__day__lt=day, edition__day__gte=day - REACH
    )
    days = earlier.values("subscriber").annotate(
        last=Max("edition__day"),
        full=Max("edition__day", filter=~Q(packed_picks=b"")),
    )
    rows = days.values_list("subscriber", "last", "full").order_by()
    return {reader: (last, full) for reader, last, full in rows}
