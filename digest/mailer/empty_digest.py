"""The note about a day without matches, built from rows that no longer change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Max, Min, Q
from django.db.models.functions import Coalesce

from digest.models import Digest

# Editions of daily readers are at most four days apart: a long weekend.
WEEKLY_GAP = timedelta(days=5)
# After this time without a paper the note suggests how to get more.
SUGGEST_AFTER = timedelta(days=7)
# A reader without a digest in this window has returned from a pause.
HISTORY_WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class EmptyDigest:
    """What the note says.

    `previous` is the day of the reader's digest before it; `unmatched_since` that of the
    last digest with papers, or of the first digest where none had any.
    """

    day: date
    papers_checked: int
    previous: date | None
    unmatched_since: date | None

    @property
    def period(self) -> str:
        """The period without matches: a weekly reader had no other mail in it."""
        is_weekly = self.previous is not None and self.day - self.previous >= WEEKLY_GAP
        return "this week" if is_weekly else "today"

    @property
    def suggests_more(self) -> bool:
        """Whether the reader had no match for a week or longer."""
        start = self.unmatched_since
        return start is not None and self.day - start >= SUGGEST_AFTER


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
    """Return per reader `previous` and `unmatched_since` of digests before `day`, sent or not."""
    earlier = Digest.objects.filter(
        subscriber__in=readers,
        edition__day__lt=day,
        edition__day__gte=day - HISTORY_WINDOW,
    )
    days = earlier.values("subscriber").annotate(
        previous=Max("edition__day"),
        unmatched_since=Coalesce(
            Max("edition__day", filter=~Q(packed_picks=b"")), Min("edition__day")
        ),
    )
    rows = days.values_list("subscriber", "previous", "unmatched_since").order_by()
    return {reader: (previous, since) for reader, previous, since in rows}
