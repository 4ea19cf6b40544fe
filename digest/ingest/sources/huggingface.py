"""Hugging Face's daily papers, with their counts of attention, as listings."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.http import get
from digest.ingest.sources.listing import (
    Listing,
    Measurement,
    Refused,
    identify,
    moment,
)

# The largest day seen had 92 papers; 100 is the most that the API gives at once.
LIMIT = 100
PAGES = 10  # of one day; a list that is still full then goes round in a circle
# No count of attention is this large; a row could not hold it.
TOO_MANY = 2**31

KEYWORDS = 20  # of a paper, each of at most 80 characters

ANSWER = "a daily answer of Hugging Face's papers API"


def fetch(client: httpx.Client, day: date, url: str) -> bytes:
    """The papers listed on `day` (UTC), all pages. `url` is https://huggingface.co."""
    address = f"{url.rstrip('/')}/api/daily_papers"
    params = {"date": day.isoformat(), "limit": str(LIMIT)}
    document = get(client, address, params)
    rows = page = _rows(document)
    for number in range(1, PAGES):
        if len(page) < LIMIT:
            break
        page = _rows(get(client, address, {**params, "p": str(number)}))
        rows = [*rows, *page]
    return json.dumps(rows).encode() if len(rows) > LIMIT else document


def parse(document: bytes, read_at: datetime | None = None) -> list[Listing]:
    """All listings of one daily answer, or Refused: never a part of them.

    `read_at` dates the counts of a document just fetched. A document given by
    hand dates them itself, by its newest listing, so that reading it twice
    measures nothing twice.
    """
    rows = _rows(document)
    if not rows:
        return []
    newest = max(_listed_at(row) for row in rows)
    return [_listing(row, newest, read_at or newest) for row in rows]


def _rows(document: bytes) -> list[Mapping[str, Any]]:
    """The rows of an answer, or Refused where it is none."""
    xml.refuse_page(document, "JSON")
    try:
        rows = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the JSON is cut or broken ({error}): fetch it again") from error
    if not isinstance(rows, list):
        raise Refused(f"JSON, but not {ANSWER}: give a list of papers")
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("paper"), dict):
            raise Refused(f"a list, but not {ANSWER}: give it as it was served")
    return rows


def _listed_at(row: Mapping[str, Any]) -> datetime:
    """When it came on the daily list; before March 2025 only publication is known."""
    paper = row["paper"]
    written = (
        paper.get("submittedOnDailyAt")
        or paper.get("publishedAt")
        or row.get("publishedAt")
    )
    return moment(str(written))


def _listing(row: Mapping[str, Any], newest: datetime, at: datetime) -> Listing:
    paper = row["paper"]
    identifier, version = _identity(paper)
    listed = _listed_at(row) if paper.get("submittedOnDailyAt") else newest
    published = paper.get("publishedAt") or row.get("publishedAt")
    return Listing(
        identifier=identifier,
        version=version,
        source="huggingface",
        title_raw=_title(row),
        abstract_raw=_text(paper, "summary") or _text(row, "summary"),
        authors=tuple(_authors(paper)),
        organization=_organization(row),
        announced_on=listed.date(),
        published_at=moment(str(published)) if published else None,
        code_url=_address(paper, "githubRepo"),
        project_url=_address(paper, "projectPage"),
        ai_summary=_text(paper, "ai_summary"),
        ai_keywords=tuple(_keywords(paper)),
        is_withdrawn=bool(paper.get("withdrawnAt")),
        measurements=tuple(_measurements(row, at)),
    )


def _identity(paper: Mapping[str, Any]) -> tuple[str, int]:
    try:
        return identify(_text(paper, "id"))
    except ValueError as error:
        raise Refused(f"{error}: give {ANSWER}") from error


def _title(row: Mapping[str, Any]) -> str:
    title = _text(row["paper"], "title") or _text(row, "title")
    if not title:
        name = _text(row["paper"], "id")
        raise Refused(f"the paper {name} has no title: fetch it again")
    return title


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return value.strip() if isinstance(value, str) else ""


def _address(paper: Mapping[str, Any], name: str) -> str:
    """A web address, or nothing: readers will be sent there."""
    value = _text(paper, name)
    return value if value.startswith(("https://", "http://")) else ""


def _authors(paper: Mapping[str, Any]) -> Iterable[str]:
    """The names in order, without those whose bearers asked to be hidden."""
    for author in paper.get("authors") or ():
        name = _text(author, "name") if isinstance(author, dict) else ""
        if name and not author.get("hidden"):
            yield " ".join(name.split())


def _keywords(paper: Mapping[str, Any]) -> Iterable[str]:
    """Since March 2025; a list of words, or nothing."""
    found = paper.get("ai_keywords")
    words = found[:KEYWORDS] if isinstance(found, list) else ()
    for word in words:
        if isinstance(word, str) and 0 < len(word.strip()) <= 80:
            yield word.strip()


def _organization(row: Mapping[str, Any]) -> str:
    found = row.get("organization") or row["paper"].get("organization")
    if not isinstance(found, dict):
        return ""
    return _text(found, "fullname") or _text(found, "name")


def _measurements(row: Mapping[str, Any], at: datetime) -> Iterable[Measurement]:
    """Upvotes and stars are written inside `paper`, comments outside it."""
    paper = row["paper"]
    counts = {
        "upvotes": paper.get("upvotes"),
        "comments": row.get("numComments"),
        "stars": paper.get("githubStars"),
    }
    for kind, value in counts.items():
        if type(value) is int and 0 <= value < TOO_MANY:
            yield Measurement(kind, value, at)
