"""Hugging Face's daily papers, with their counts of attention, as listings."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import plausible_day
from digest.ingest.sources.http import fetch_body
from digest.ingest.sources.listing import (
    Listing,
    Measurement,
    ParsedDocument,
    SourceError,
    parse_moment,
    parse_records,
)
from digest.text.arxiv_ids import parse_arxiv_id

# The most that the API gives at once; the largest day seen had 92 papers.
PAGE_SIZE = 100
# Of one day; a list that is still full then repeats itself.
MAX_PAGES = 10
# No count of attention is this large; a column could not hold it.
MAX_COUNT = 2**31
MAX_KEYWORDS = 20
MAX_KEYWORD_CHARS = 80

_DAILY_ANSWER = "a daily answer of Hugging Face's papers API"


def fetch(client: httpx.Client, day: date, url: str) -> bytes:
    """Fetch all pages of the list of `day` (UTC). `url` is https://huggingface.co."""
    address = f"{url.rstrip('/')}/api/daily_papers"
    params = {"date": day.isoformat(), "limit": str(PAGE_SIZE)}
    document = fetch_body(client, address, params)
    rows = page = _parse_rows(document)
    for number in range(1, MAX_PAGES):
        if len(page) < PAGE_SIZE:
            break
        page = _parse_rows(fetch_body(client, address, {**params, "p": str(number)}))
        rows = [*rows, *page]
    return json.dumps(rows).encode() if len(rows) > PAGE_SIZE else document


def parse(document: bytes, read_at: datetime | None = None) -> ParsedDocument:
    """Parse one daily answer.

    `read_at` dates the counts of a document just fetched. The counts of a document from
    a file are dated by its newest listing, so that reading it twice adds no measurement.
    """
    rows = _parse_rows(document)
    if not rows:
        return ParsedDocument()
    newest = max(_parse_listing_days(rows), default=datetime.min.replace(tzinfo=UTC))
    listings, refused = parse_records(
        rows,
        lambda row: _parse_row(row, newest, read_at or newest),
        lambda row: _text_at(_paper_of(row), "id"),
    )
    return ParsedDocument(listings=listings, refused=refused)


def _parse_rows(document: bytes) -> list[Mapping[str, Any]]:
    xml.refuse_web_page(document, "JSON")
    try:
        rows = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"the JSON is cut or broken ({error}): fetch it again"
        ) from error
    if not isinstance(rows, list):
        raise SourceError(f"JSON, but not {_DAILY_ANSWER}: give a list of papers")
    rows = [row if isinstance(row, dict) else {} for row in rows]
    if rows and not any(map(_paper_of, rows)):
        raise SourceError(f"a list, but not {_DAILY_ANSWER}: give it as it was served")
    return rows


def _paper_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    paper = row.get("paper")
    return paper if isinstance(paper, dict) else {}


def _parse_listing_days(rows: Iterable[Mapping[str, Any]]) -> Iterator[datetime]:
    for row in rows:
        with suppress(SourceError):
            yield _parse_listed_at(row)


def _parse_listed_at(row: Mapping[str, Any]) -> datetime:
    """Return when a paper was listed; before March 2025 only its publication is known."""
    paper = _paper_of(row)
    text = (
        paper.get("submittedOnDailyAt")
        or paper.get("publishedAt")
        or row.get("publishedAt")
    )
    return parse_moment(str(text))


def _parse_row(row: Mapping[str, Any], newest: datetime, read_at: datetime) -> Listing:
    paper = _paper_of(row)
    if not paper:
        raise SourceError("a row without a paper: fetch it again")
    identifier, version = _parse_identity(paper)
    listed = _parse_listed_at(row)
    if not paper.get("submittedOnDailyAt"):
        listed = newest
    published = paper.get("publishedAt") or row.get("publishedAt")
    return Listing(
        identifier=identifier,
        version=version,
        source="huggingface",
        title_raw=_parse_title(row),
        abstract_raw=_text_at(paper, "summary") or _text_at(row, "summary"),
        authors=tuple(_parse_authors(paper)),
        organization=_parse_organization(row),
        announced_on=plausible_day(identifier, listed.date()),
        published_at=parse_moment(str(published)) if published else None,
        code_url=_url_at(paper, "githubRepo"),
        project_url=_url_at(paper, "projectPage"),
        thumbnail_url=_url_at(row, "thumbnail"),
        ai_summary=_text_at(paper, "ai_summary"),
        ai_keywords=tuple(_parse_keywords(paper)),
        is_withdrawn=bool(paper.get("withdrawnAt")),
        measurements=tuple(_parse_measurements(row, read_at)),
    )


def _parse_identity(paper: Mapping[str, Any]) -> tuple[str, int]:
    try:
        return parse_arxiv_id(_text_at(paper, "id"))
    except ValueError as error:
        raise SourceError(f"{error}: give {_DAILY_ANSWER}") from error


def _parse_title(row: Mapping[str, Any]) -> str:
    title = _text_at(row["paper"], "title") or _text_at(row, "title")
    if not title:
        identifier = _text_at(row["paper"], "id")
        raise SourceError(f"the paper {identifier} has no title: fetch it again")
    return title


def _text_at(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value.strip() if isinstance(value, str) else ""


def _url_at(mapping: Mapping[str, Any], key: str) -> str:
    """Return a web address or an empty string: readers follow these links."""
    value = _text_at(mapping, key)
    return value if value.startswith(("https://", "http://")) else ""


def _parse_authors(paper: Mapping[str, Any]) -> Iterable[str]:
    """Yield the names in order, without authors who asked to be hidden."""
    for author in paper.get("authors") or ():
        name = _text_at(author, "name") if isinstance(author, dict) else ""
        if name and not author.get("hidden"):
            yield " ".join(name.split())


def _parse_keywords(paper: Mapping[str, Any]) -> Iterable[str]:
    keywords = paper.get("ai_keywords")
    for keyword in keywords[:MAX_KEYWORDS] if isinstance(keywords, list) else ():
        if isinstance(keyword, str) and 0 < len(keyword.strip()) <= MAX_KEYWORD_CHARS:
            yield keyword.strip()


def _parse_organization(row: Mapping[str, Any]) -> str:
    organization = row.get("organization") or row["paper"].get("organization")
    if not isinstance(organization, dict):
        return ""
    return _text_at(organization, "fullname") or _text_at(organization, "name")


def _parse_measurements(
    row: Mapping[str, Any], read_at: datetime
) -> Iterable[Measurement]:
    """Yield the counts; upvotes and stars are inside `paper`, comments outside."""
    paper = row["paper"]
    counts = {
        "upvotes": paper.get("upvotes"),
        "comments": row.get("numComments"),
        "stars": paper.get("githubStars"),
    }
    for kind, value in counts.items():
        if type(value) is int and 0 <= value < MAX_COUNT:
            yield Measurement(kind, value, read_at)
