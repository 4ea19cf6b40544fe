"""What a source lists of a paper, in one shape for every source."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TypeVar

# Papers of the last decades are all that is listed; rows hold other dates badly.
VALID_YEARS = range(1900, 2200)
# A document with more refused records than this is not what it seems to be; a single
# odd record never costs the others.
MAX_REFUSED_SHARE = 0.1

# The longest of 40,000 real papers: title 240, name 62, abstract 3,753 characters.
MAX_TITLE_CHARS = 500
MAX_NAME_CHARS = 200
MAX_ABSTRACT_CHARS = 20_000
MAX_URL_CHARS = 500

Record = TypeVar("Record")


class SourceError(Exception):
    """A document that cannot be used: what it is, why, and what to do."""


@dataclass(frozen=True)
class Measurement:
    """One dated count of attention: upvotes, comments or stars."""

    kind: str
    value: int
    at: datetime


@dataclass(frozen=True)
class Listing:
    """One source's announcement of a paper, as it was written there.

    `identifier` is the arXiv id without version. `announce_type` is arXiv's new, cross,
    replace or replace-cross, and empty from other sources. `is_withdrawn`: the authors
    or arXiv withdrew the version. `is_available`: the version history says that the
    last version is not withdrawn, so an earlier recall can be lifted.
    """

    identifier: str
    version: int
    source: str
    title_raw: str
    abstract_raw: str
    authors: tuple[str, ...] = ()
    organization: str = ""
    categories: tuple[str, ...] = ()
    primary: str = ""
    announce_type: str = ""
    announced_on: date | None = None
    published_at: datetime | None = None
    comments: str = ""
    doi: str = ""
    license: str = ""
    code_url: str = ""
    project_url: str = ""
    thumbnail_url: str = ""
    ai_summary: str = ""
    ai_keywords: tuple[str, ...] = ()
    is_withdrawn: bool = False
    is_available: bool = False
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class RefusedRecord:
    """A record that was left out of a document: its identifier, if any, and the reason."""

    identifier: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ParsedDocument:
    """The records of one document; `is_complete` is False where the source cut it off."""

    listings: tuple[Listing, ...] = ()
    refused: tuple[RefusedRecord, ...] = ()
    is_complete: bool = True


def parse_records(
    records: Iterable[Record],
    parse_record: Callable[[Record], Listing],
    identify_record: Callable[[Record], str],
) -> tuple[tuple[Listing, ...], tuple[RefusedRecord, ...]]:
    """Parse each record by itself; return the listings and the refused records.

    Raises SourceError if all records, or more than MAX_REFUSED_SHARE of several, are
    refused.
    """
    listings, refused = [], []
    for record in records:
        try:
            listings.append(bound_listing(parse_record(record)))
        except SourceError as error:
            refused.append(RefusedRecord(identify_record(record)[:64], str(error)))
    total = len(listings) + len(refused)
    if refused and (not listings or len(refused) > max(1, MAX_REFUSED_SHARE * total)):
        count = f"{len(refused)} of {total} records refused, the first: "
        raise SourceError((count if total > 1 else "") + refused[0].reason)
    return tuple(listings), tuple(refused)


def bound_listing(listing: Listing) -> Listing:
    """Cut over-long texts; put titles, names and organisations on one line.

    Addresses with spaces or control characters are dropped: readers follow them.
    """
    return replace(
        listing,
        title_raw=_one_line(listing.title_raw, MAX_TITLE_CHARS),
        abstract_raw=listing.abstract_raw[:MAX_ABSTRACT_CHARS],
        comments=listing.comments[:MAX_ABSTRACT_CHARS],
        authors=tuple(_one_line(name, MAX_NAME_CHARS) for name in listing.authors),
        organization=_one_line(listing.organization, MAX_NAME_CHARS),
        ai_summary=listing.ai_summary[:MAX_ABSTRACT_CHARS],
        categories=tuple(_one_line(c, MAX_NAME_CHARS) for c in listing.categories),
        doi=_one_word(listing.doi),
        license=_one_word(listing.license),
        code_url=_one_word(listing.code_url),
        project_url=_one_word(listing.project_url),
        thumbnail_url=_one_word(listing.thumbnail_url),
    )


def _one_line(text: str, max_chars: int) -> str:
    line = " ".join(text[: 2 * max_chars].split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1].rstrip()}…"


def _one_word(text: str) -> str:
    """Return an address, or an empty string rather than half of one."""
    is_bounded = len(text) <= MAX_URL_CHARS and text.isprintable() and " " not in text
    return text if is_bounded else ""


def parse_moment(
    text: str, parse: Callable[[str], datetime] = datetime.fromisoformat
) -> datetime:
    """Parse a moment into UTC; without a zone it is UTC. Raises SourceError."""
    try:
        moment = parse(text)
        if moment.year not in VALID_YEARS:
            raise ValueError("no such year")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"{text[:40]!r} is not a date: fetch it again") from error
