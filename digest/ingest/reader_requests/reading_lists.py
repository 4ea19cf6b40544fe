"""Reading lists: follow the papers of a list that a reader pasted or uploaded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.db.models.functions import Lower, Substr

from accounts import rate_limits
from accounts.models import Subscriber
from digest import follows
from digest.ingest.reader_requests import pending_papers
from digest.models import Interest, Paper, PendingPaper
from digest.text import bibliography

# Lists with papers to fetch, for each reader: each costs up to three requests to arXiv,
# which every other reader waits for.
FETCHING_LISTS_LIMIT = "20/d"
# Letters by which the database preselects titles; the rest is compared here.
TITLE_PREFIX_LENGTH = 4


class Result(StrEnum):
    """What became of one entry of a list."""

    FOLLOWED = "followed"
    FETCHING = "being fetched from arXiv"
    NOT_ON_ARXIV = "not on arXiv"
    DISLIKED = "skipped, because you asked for less like it"
    OVER_LIMIT = "not added: over the limit"
    TITLE_NOT_FOUND = "title not found; add its arXiv ID"
    NO_IDENTIFIER = "no arXiv ID or title in this line"


@dataclass(frozen=True)
class Report:
    """Result of a list: numbers of papers, and what was not understood.

    `not_on_arxiv`: arXiv has no such paper. `over_limit`: not taken for lack of room, or because the
    reader's daily limit is used up (`is_fetch_limited`). `missing_titles`: titles that are not stored.
    `unrecognized`: some of the `unrecognized_count` lines. `results`: each entry with what became of it.
    """

    followed: int = 0
    fetching: int = 0
    not_on_arxiv: int = 0
    disliked: int = 0
    over_limit: int = 0
    unrecognized_count: int = 0
    unrecognized: tuple[str, ...] = ()
    missing_titles: tuple[str, ...] = ()
    is_truncated: bool = False
    is_fetch_limited: bool = False
    results: tuple[tuple[str, Result], ...] = field(default=(), compare=False)


def follow_reading_list(
    reader: Subscriber, texts: Sequence[str], now: datetime
) -> Report:
    """Follow the stored papers of a list and queue the others to be fetched."""
    reading_list = bibliography.parse_bibliography(*texts)
    by_title = find_by_title(reading_list.titles)
    requested = list(dict.fromkeys((*reading_list.identifiers, *by_title.values())))
    followed = follows.follow_papers(reader, requested)
    rest = set(requested).difference(followed)
    disliked = _disliked_among(reader, rest)
    stored = Paper.objects.filter(identifier__in=rest)
    rest -= set(stored.values_list("identifier", flat=True))
    unknown = [identifier for identifier in requested if identifier in rest]
    may_fetch = not unknown or not _is_over_limit(reader)
    if may_fetch:
        _request_unknown(reader, unknown, now)
    pending = PendingPaper.objects.filter(subscriber=reader, identifier__in=unknown)
    is_not_found = dict(pending.values_list("identifier", "not_found"))
    not_found = list(is_not_found.values())
    by_identifier = {
        **dict.fromkeys(requested, Result.OVER_LIMIT),
        **dict.fromkeys(followed, Result.FOLLOWED),
        **dict.fromkeys(disliked, Result.DISLIKED),
        **{
            identifier: Result.NOT_ON_ARXIV if missing else Result.FETCHING
            for identifier, missing in is_not_found.items()
        },
    }
    not_followed = len(requested) - len(followed)
    return Report(
        followed=len(followed),
        fetching=not_found.count(False),
        not_on_arxiv=not_found.count(True),
        disliked=len(disliked),
        over_limit=reading_list.over_limit
        + not_followed
        - len(disliked)
        - len(not_found),
        unrecognized_count=reading_list.unrecognized_count,
        unrecognized=reading_list.unrecognized,
        missing_titles=tuple(
            title
            for title in reading_list.titles
            if bibliography.normalize_title(title) not in by_title
        ),
        is_truncated=reading_list.is_truncated,
        is_fetch_limited=not may_fetch,
        results=_list_results(reading_list, by_title, by_identifier),
    )


def _list_results(
    reading_list: bibliography.Bibliography,
    by_title: dict[str, str],
    by_identifier: dict[str, Result],
) -> tuple[tuple[str, Result], ...]:
    titles = [
        (title, by_title.get(bibliography.normalize_title(title), ""))
        for title in reading_list.titles
    ]
    return (
        *(
            (identifier, by_identifier[identifier])
            for identifier in reading_list.identifiers
        ),
        *((t, by_identifier.get(i, Result.TITLE_NOT_FOUND)) for t, i in titles),
        *((line, Result.NO_IDENTIFIER) for line in reading_list.unrecognized),
    )


def find_by_title(titles: Sequence[str]) -> dict[str, str]:
    """Map normalised titles to the identifiers of stored papers; one query."""
    normalised = {bibliography.normalize_title(title) for title in titles}
    prefixes = [title[:TITLE_PREFIX_LENGTH] for title in titles]
    # SQLite lowers ASCII letters only.
    starts = {prefix.lower() for prefix in prefixes} | {
        _lower_ascii(prefix) for prefix in prefixes
    }
    start = Lower(Substr("title", 1, TITLE_PREFIX_LENGTH))
    papers = Paper.objects.annotate(start=start).filter(start__in=starts).order_by("pk")
    matches: dict[str, str] = {}
    for identifier, title in papers.values_list("identifier", "title").iterator():
        if (key := bibliography.normalize_title(title)) in normalised:
            matches.setdefault(key, identifier)
    return matches


def _lower_ascii(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _disliked_among(reader: Subscriber, identifiers: set[str]) -> set[str]:
    mutes = reader.follows.filter(weight__lte=0, interest__kind=Interest.Kind.PAPER)
    rows = mutes.filter(interest__value__in=identifiers)
    return set(rows.values_list("interest__value", flat=True))


def _is_over_limit(reader: Subscriber) -> bool:
    key = str(reader.pk)
    return rate_limits.hit("lists of a reader", key, FETCHING_LISTS_LIMIT) > 0


def _request_unknown(reader: Subscriber, unknown: Sequence[str], now: datetime) -> None:
    """Queue as many papers as the reader may still follow beside those already queued."""
    rows = PendingPaper.objects.filter(subscriber=reader)
    pending = set(rows.filter(not_found=False).values_list("identifier", flat=True))
    room = follows.remaining_places(reader, Interest.Kind.PAPER) - len(pending)
    new = [identifier for identifier in unknown if identifier not in pending]
    pending_papers.request_papers(reader, new[: max(room, 0)], now)
