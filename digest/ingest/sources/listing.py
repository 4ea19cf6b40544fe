"""What a source says of one paper, in one shape for every source."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

_MONTH = r"\d{2}(?:0[1-9]|1[0-2])"
# arXiv's help page on identifiers: YYMM.NNNN until 2014, YYMM.NNNNN since 2015,
# and archive/YYMMNNN before April 2007, with an optional subject class that is
# not part of the number (math.GT/0309136 is math/0309136).
_IDENTIFIER = re.compile(
    rf"(?:(?P<archive>[a-z][a-z-]+)(?:\.[A-Z]{{2}})?/(?P<old>{_MONTH}\d{{3}})"
    rf"|(?P<new>{_MONTH}\.\d{{4,5}}))"
    r"(?:v(?P<version>[1-9]\d{0,3}))?",
)
_AROUND = re.compile(
    r"^(?:oai:arXiv\.org:|arXiv:|https?://(?:[a-z]+\.)?arxiv\.org/(?:abs|pdf|html)/"
    r"|https?://huggingface\.co/papers/)",
    re.IGNORECASE,
)


# Papers of the last decades are all that is listed; rows hold other dates badly.
YEARS = range(1900, 2200)


class Refused(Exception):
    """A document that is not taken in: what it is, why not, and what to do."""


@dataclass(frozen=True)
class Measurement:
    """One dated count of attention: upvotes, comments or stars."""

    kind: str
    value: int
    at: datetime


@dataclass(frozen=True)
class Listing:
    """One source's announcement of a paper, as it was written there.

    `identifier` is the arXiv id without version. `announce_type` is new, cross,
    replace or replace-cross as arXiv says it, and empty from other sources.
    `is_withdrawn`: its authors or arXiv took it back.
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


def moment(
    written: str, read: Callable[[str], datetime] = datetime.fromisoformat
) -> datetime:
    """A moment in UTC as a source wrote it, or Refused; one without a zone is in UTC.

    A year in which no paper can have been is a fault on the way, not a date.
    """
    try:
        when = read(written)
        if when.year not in YEARS:
            raise ValueError("no such year")
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused(f"{written[:40]!r} is no date: fetch it again") from error


def identify(text: str) -> tuple[str, int]:
    """Identifier and version in an id, an OAI id or an address of arXiv.

    An id without a version is version 1. Raises ValueError on anything else.
    """
    bare = _AROUND.sub("", text.strip()).removesuffix(".pdf")
    found = _IDENTIFIER.fullmatch(bare)
    if found is None:
        raise ValueError(f"{text[:60]!r} is not an arXiv identifier")
    number = found["new"] or f"{found['archive']}/{found['old']}"
    return number, int(found["version"] or 1)
