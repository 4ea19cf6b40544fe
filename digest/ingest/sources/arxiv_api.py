"""arXiv's query API: single papers by their identifiers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import announcement_day, plausible_day
from digest.ingest.sources.http import fetch_document
from digest.ingest.sources.listing import (
    Listing,
    ParsedDocument,
    SourceError,
    bound_listing,
    parse_moment,
    parse_records,
)
from digest.ingest.sources.throttle import arxiv_lock
from digest.ingest.sources.xml import child_text
from digest.text.arxiv_ids import parse_arxiv_id
from digest.text.plain import find_code_url
from digest.text.withdrawals import says_withdrawn

logger = logging.getLogger(__name__)

# Papers a page, and identifiers a request: longer addresses are refused.
PAGE_SIZE = 100
# Pages have come back empty in mid-result, and full when requested again.
MAX_EMPTY_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Page(ParsedDocument):
    """One page of an answer; `total` is the number of papers on all pages."""

    total: int


@dataclass(frozen=True)
class LookupResult:
    """Papers that were requested by identifier.

    `unknown` are the identifiers that arXiv does not know, or whose record is not
    complete.
    """

    listings: tuple[Listing, ...]
    unknown: frozenset[str]


def fetch(
    client: httpx.Client, identifiers: Sequence[str], start: int, url: str
) -> bytes:
    """Fetch one page of these papers. `url` is https://export.arxiv.org/api/query."""
    params = {
        "id_list": ",".join(identifiers),
        "start": str(start),
        "max_results": str(PAGE_SIZE),
    }
    return fetch_document(client, url, params, lock=arxiv_lock).body


def look_up(client: httpx.Client, identifiers: Sequence[str], url: str) -> LookupResult:
    """Look up at most PAGE_SIZE papers, each parsed by itself.

    A record that cannot be parsed counts as unknown, so that one odd paper does not
    keep back the others. If fewer records came than arXiv counts, nothing is unknown.
    """
    records, total = _fetch_all(client, identifiers, url)
    listings = _parse_valid(records)
    received = {listing.identifier for listing in listings}
    is_complete = len(records) >= total
    return LookupResult(
        listings, frozenset(identifiers) - received if is_complete else frozenset()
    )


def _fetch_all(
    client: httpx.Client, identifiers: Sequence[str], url: str
) -> tuple[list[Element], int]:
    """Return the records of all pages and their announced number.

    A page that stays empty ends them.
    """
    records, total = _fetch_page(client, identifiers, 0, url)
    while 0 < len(records) < min(total, len(identifiers)):
        more, total = _fetch_page(client, identifiers, len(records), url)
        if not more:
            break
        records += more
    return records, total


def _fetch_page(
    client: httpx.Client, identifiers: Sequence[str], start: int, url: str
) -> tuple[list[Element], int]:
    """Fetch one page, again if it is empty and should not be."""
    for _ in range(MAX_EMPTY_ATTEMPTS):
        records, total = _parse_feed(fetch(client, identifiers, start, url))
        if records or not total:
            break
    return records, total


def _parse_valid(records: Sequence[Element]) -> tuple[Listing, ...]:
    listings = []
    for record in records:
        try:
            listings.append(bound_listing(_parse_entry(record)))
        except SourceError as error:
            logger.warning("a paper was left out: %s", error)
    return tuple(listings)


def parse(document: bytes) -> Page:
    """Parse an answer, or raise SourceError, also for an error of the API."""
    records, total = _parse_feed(document)
    listings, refused = parse_records(
        records, _parse_entry, lambda record: child_text(record, f"{xml.ATOM}id")
    )
    return Page(listings=listings, refused=refused, total=total)


def _parse_feed(document: bytes) -> tuple[list[Element], int]:
    """Return the records of an answer and the number of papers on all pages."""
    root = xml.parse_root(document)
    total = child_text(root, f"{xml.OPENSEARCH}totalResults")
    if root.tag != f"{xml.ATOM}feed" or not total.isdecimal():
        raise SourceError("not an answer of arXiv's query API: fetch it again")
    records = root.findall(f"{xml.ATOM}entry")
    for record in records:
        if "/api/errors" in child_text(record, f"{xml.ATOM}id"):
            message = child_text(record, f"{xml.ATOM}summary")[:120]
            raise SourceError(
                f"arXiv's API answered an error ({message}): check the identifier"
            )
    return records, int(total[:9])


def _parse_entry(entry: Element) -> Listing:
    identifier, version = _parse_identity(entry)
    title = child_text(entry, f"{xml.ATOM}title")
    abstract = child_text(entry, f"{xml.ATOM}summary")
    if not title or not abstract:
        raise SourceError(
            f"the paper {identifier} has no title or text: fetch it again"
        )
    published = parse_moment(child_text(entry, f"{xml.ATOM}published"))
    comments = child_text(entry, f"{xml.ARXIV}comment")
    authors = entry.findall(f"{xml.ATOM}author")
    names = (child_text(author, f"{xml.ATOM}name") for author in authors)
    categories = _parse_categories(entry)
    return Listing(
        identifier=identifier,
        version=version,
        source="arxiv",
        title_raw=title,
        abstract_raw=abstract,
        authors=tuple(name for name in names if name),
        categories=categories,
        primary=categories[0] if categories else "",
        announce_type="new",
        announced_on=plausible_day(identifier, announcement_day(published)),
        published_at=published,
        comments=comments,
        doi=child_text(entry, f"{xml.ARXIV}doi"),
        code_url=find_code_url(f"{abstract} {comments}"),
        is_withdrawn=says_withdrawn(comments, abstract),
    )


def _parse_identity(entry: Element) -> tuple[str, int]:
    try:
        return parse_arxiv_id(child_text(entry, f"{xml.ATOM}id"))
    except ValueError as error:
        raise SourceError(f"{error}: fetch it again") from error


def _parse_categories(entry: Element) -> tuple[str, ...]:
    """Return the categories with the primary one, which the API names apart, first."""
    primary = entry.find(f"{xml.ARXIV}primary_category")
    categories = entry.findall(f"{xml.ATOM}category")
    first = [primary] if primary is not None else []
    terms = (element.get("term", "").strip() for element in [*first, *categories])
    return tuple(dict.fromkeys(term for term in terms if term))
