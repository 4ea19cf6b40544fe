"""What a source lists of a paper, in one shape for every source."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

# Papers of the last decades are all that is listed; rows hold other dates badly.
VALID_YEARS = range(1900, 2200)


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
    or arXiv withdrew the version.
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
    ai_summary: str = ""
    ai_keywords: tuple[str, ...] = ()
    is_withdrawn: bool = False
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
