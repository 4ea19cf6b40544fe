"""Library: the papers of a reader's list become examples of what they like."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models.functions import Lower, Substr

from accounts import rate_limits
from accounts.models import Subscriber
from digest import follows
from digest.ingest.reader_requests import pending_papers
from digest.models import Interest, Paper, PendingPaper
from digest.text import bibliography

# Lists with papers that have to be fetched, of one reader: each costs arXiv up to three
# questions, which everybody else waits for.
LISTS = "20/d"
# Titles are told apart by their first letters in the database, and by the others here.
FIRST_LETTERS = 4


@dataclass(frozen=True)
class Report:
    """What became of a list, in numbers of papers and in what was not understood.

    `missing` are titles that we do not have, `named` some of the `unread` lines.
    `unheard`: arXiv does not know them. `left`: there was no room for them, or nothing
    more is fetched today (`is_much`).
    """

    followed: int = 0
    fetching: int = 0
    unheard: int = 0
    disliked: int = 0
    left: int = 0
    unread: int = 0
    named: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    is_cut: bool = False
    is_much: bool = False


def take(reader: Subscriber, texts: Sequence[str], now: datetime) -> Report:
    """Follow the papers of a list that we know, and have the others fetched."""
    found = bibliography.parse_bibliography(*texts)
    told = by_title(found.titles)
    asked = list(dict.fromkeys((*found.identifiers, *told.values())))
    kept = follows.follow_papers(reader, asked)
    rest = set(asked).difference(kept)
    disliked = _disliked(reader, rest)
    unknown = [one for one in asked if one in rest - _known(rest)]
    may_fetch = not unknown or not _is_much(reader)
    if may_fetch:
        _want(reader, unknown, now)
    answers = PendingPaper.objects.filter(subscriber=reader, identifier__in=unknown)
    states = list(answers.values_list("not_found", flat=True))
    return Report(
        followed=len(kept),
        fetching=states.count(False),
        unheard=states.count(True),
        disliked=disliked,
        left=found.over_limit + len(rest) - disliked - len(states),
        unread=found.unrecognized_count,
        named=found.unrecognized,
        missing=tuple(
            t for t in found.titles if bibliography.normalize_title(t) not in told
        ),
        is_cut=found.is_truncated,
        is_much=not may_fetch,
    )


def by_title(titles: Sequence[str]) -> dict[str, str]:
    """Identifiers of known papers by the normal form of these titles; one query."""
    asked = {bibliography.normalize_title(title) for title in titles}
    first = [title[:FIRST_LETTERS] for title in titles]
    # SQLite knows the lower case of ASCII alone.
    starts = {start.lower() for start in first} | {_ascii_lower(one) for one in first}
    start = Lower(Substr("title", 1, FIRST_LETTERS))
    rows = Paper.objects.annotate(start=start).filter(start__in=starts).order_by("pk")
    found: dict[str, str] = {}
    for identifier, title in rows.values_list("identifier", "title").iterator():
        if (normal := bibliography.normalize_title(title)) in asked:
            found.setdefault(normal, identifier)
    return found


def _ascii_lower(text: str) -> str:
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)


def _known(identifiers: set[str]) -> set[str]:
    rows = Paper.objects.filter(identifier__in=identifiers)
    return set(rows.values_list("identifier", flat=True))


def _disliked(reader: Subscriber, identifiers: set[str]) -> int:
    """Of how many of these the reader said "less like this"."""
    mutes = reader.follows.filter(weight__lte=0, interest__kind=Interest.Kind.PAPER)
    return mutes.filter(interest__value__in=identifiers).count()


def _is_much(reader: Subscriber) -> bool:
    return rate_limits.hit("lists of a reader", str(reader.pk), LISTS) > 0


def _want(reader: Subscriber, unknown: Sequence[str], now: datetime) -> None:
    """Have those fetched for which there is room beside what is on its way."""
    rows = PendingPaper.objects.filter(subscriber=reader)
    pending = set(rows.filter(not_found=False).values_list("identifier", flat=True))
    room = follows.remaining_places(reader, Interest.Kind.PAPER) - len(pending)
    new = [one for one in unknown if one not in pending]
    pending_papers.want(reader, new[: max(room, 0)], now)
