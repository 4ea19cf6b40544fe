"""The note about a day without matches, built from rows that no longer change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Max, Q

from digest.models import Digest

# Editions of daily readers are at most four days apart: a long weekend.
WEEKLY_GAP = timedelta(days=5)
# After so long without a paper the note says how to get more.
SUGGEST_AFTER = timedelta(days=7)
# A reader without a digest for so long has returned from a pause.
HISTORY_WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class EmptyDigest:
    """What the note says. `previous` is the day of the reader's digest before it, `last_match` of the last with papers."""

    day: date
    papers_checked: int
    previous: date | None
    last_match: date | None

    @property
    def period(self) -> str:
        """The period without matches: a weekly reader had no other mail in it."""
        is_weekly = self.previous is not None and self.day - self.previous >= WEEKLY_GAP
        return "this week" if is_weekly else "today"

    @property
    def suggests_more(self) -> bool:
        """Whether the reader had no match for a week or longer."""
        start = self.last_match or self.day - HISTORY_WINDOW
        return self.previous is not None and self.day - start >= SUGGEST_AFTER


def load_empty_digests(digests: Sequence[Digest]) -> dict[int, EmptyDigest]:
    """Return the notes of these digests of one edition by reader id; three queries at most."""
    if not digests:
        return {}
    edition = digests[0].edition
    papers_checked = edition.candidates.filter(is_hidden=False).count()
    readers = [digest.subscriber_id for digest in digests]
    earlier = earlier_digest_days(edition.day, readers)
    return {
        reader: EmptyDigest(
            edition.day, papers_checked, *earlier.get(reader, (None, None))
        )
        for reader in readers
    }


def earlier_digest_days(
    day: date, readers: Sequence[int]
) -> dict[int, tuple[date, date | None]]:
    """Return per reader the days of the digest before `day`, sent or not, and of the last with papers."""
    earlier = Digest.objects.filter(
        subscriber__in=readers,
        edition__day__lt=day,
        edition__day__gte=day - HISTORY_WINDOW,
    )
    days = earlier.values("subscriber").annotate(
        previous=Max("edition__day"),
        last_match=Max("edition__day", filter=~Q(packed_picks=b"")),
    )
    rows = days.values_list("subscriber", "previous", "last_match").order_by()
    return {reader: (previous, last_match) for reader, previous, last_match in rows}
