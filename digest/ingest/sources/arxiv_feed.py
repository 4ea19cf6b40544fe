"""arXiv's daily announcement feeds, Atom and RSS 2.0, as listings."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import EASTERN, plausible_day
from digest.ingest.sources.http import Document, Validators, fetch_document
from digest.ingest.sources.listing import (
    Listing,
    ParsedDocument,
    SourceError,
    parse_moment,
    parse_records,
)
from digest.ingest.sources.throttle import arxiv_lock
from digest.ingest.sources.xml import child_text
from digest.text.arxiv_ids import parse_arxiv_id
from digest.text.authors import split_authors
from digest.text.plain import find_code_url
from digest.text.withdrawals import says_withdrawn

ANNOUNCE_TYPES = ("new", "cross", "replace", "replace-cross")
# arXiv cuts a feed off here without a word (its help page on RSS).
MAX_ENTRIES = 2_000

_OAI = "{http://www.openarchives.org/OAI/2.0/}"
_DC = "{http://purl.org/dc/elements/1.1/}"

_ABSTRACT_HEAD = re.compile(r"\s*arXiv:\S+ Announce Type: \S+\s+Abstract: ?")


@dataclass(frozen=True)
class _Format:
    """The paths of one feed format, and how it writes dates."""

    entry: str
    guid: str
    title: str
    abstract: str
    published: str
    parse_date: Callable[[str], datetime]


_FORMATS = {
    f"{xml.ATOM}feed": _Format(
        f"{xml.ATOM}entry",
        f"{xml.ATOM}id",
        f"{xml.ATOM}title",
        f"{xml.ATOM}summary",
        f"{xml.ATOM}published",
        datetime.fromisoformat,
    ),
    "rss": _Format(
        "channel/item",
        "guid",
        "title",
        "description",
        "pubDate",
        parsedate_to_datetime,
    ),
}


def fetch(
    client: httpx.Client,
    categories: Sequence[str],
    url: str,
    validators: Validators | None = None,
) -> Document:
    """Fetch today's announcements of all `categories` in one document.

    `url` is the feed's address without the categories, https://rss.arxiv.org/atom or
    /rss. Raises http.NotModified if `validators` still hold.
    """
    return fetch_document(
        client, feed_url(categories, url), validators=validators, lock=arxiv_lock
    )


def feed_url(categories: Sequence[str], url: str) -> str:
    return f"{url.rstrip('/')}/{'+'.join(categories)}"


def parse(document: bytes) -> ParsedDocument:
    """Parse an announcement feed; an empty one is a weekend or a holiday.

    A feed of MAX_ENTRIES or more is not complete.
    """
    root = xml.parse_root(document)
    feed_format = _FORMATS.get(root.tag)
    if feed_format is None or root.find(f"{xml.OPENSEARCH}totalResults") is not None:
        raise SourceError(_explain_foreign(root))
    entries = root.findall(feed_format.entry)
    if not entries and not _is_from_arxiv(root):
        raise SourceError(
            "an empty feed that does not name arxiv.org: give an arXiv announcement feed"
        )
    listings, refused = parse_records(
        entries,
        lambda entry: _parse_entry(entry, feed_format),
        lambda entry: child_text(entry, feed_format.guid),
    )
    return ParsedDocument(
        listings=listings, refused=refused, is_complete=len(entries) < MAX_ENTRIES
    )


def _explain_foreign(root: Element) -> str:
    if root.tag == f"{xml.ATOM}feed":
        return (
            "an answer of arXiv's query API, not an announcement feed: "
            "give a document of rss.arxiv.org"
        )
    if root.tag.startswith(_OAI):
        return (
            "an OAI-PMH answer, not an announcement feed: "
            "give a document of rss.arxiv.org"
        )
    name = root.tag.rpartition("}")[2][:40]
    return f"XML <{name}> is not a feed: give an Atom or RSS document of rss.arxiv.org"


def _is_from_arxiv(root: Element) -> bool:
    paths = (f"{xml.ATOM}id", "channel/link")
    return any("arxiv.org/" in child_text(root, path) for path in paths)


def _parse_entry(entry: Element, feed_format: _Format) -> Listing:
    identifier, version = _parse_identity(entry, feed_format)
    text = entry.findtext(feed_format.abstract) or ""
    abstract = _ABSTRACT_HEAD.sub("", text, count=1).strip()
    categories = tuple(_parse_categories(entry))
    return Listing(
        identifier=identifier,
        version=version,
        source="arxiv",
        title_raw=child_text(entry, feed_format.title),
        abstract_raw=abstract,
        authors=tuple(split_authors(child_text(entry, f"{_DC}creator"))),
        categories=categories,
        primary=categories[0] if categories else "",
        announce_type=child_text(entry, f"{xml.ARXIV}announce_type"),
        announced_on=plausible_day(identifier, _parse_day(entry, feed_format)),
        doi=child_text(entry, f"{xml.ARXIV}DOI"),
        license=child_text(entry, f"{_DC}rights"),
        code_url=find_code_url(abstract),
        is_withdrawn=says_withdrawn("", abstract),
    )


def _parse_identity(entry: Element, feed_format: _Format) -> tuple[str, int]:
    """Return identifier and version of an entry that is complete and arXiv's own."""
    guid = child_text(entry, feed_format.guid)
    announce_type = child_text(entry, f"{xml.ARXIV}announce_type")
    if not guid.startswith("oai:arXiv.org:") or announce_type not in ANNOUNCE_TYPES:
        raise SourceError(
            f"the listing {guid[:60] or 'without an id'} has no arXiv announce type: "
            "give arXiv's own feed, not another's"
        )
    if not child_text(entry, feed_format.title) or not child_text(
        entry, feed_format.abstract
    ):
        raise SourceError(
            f"the listing {guid[:60]} has no title or text: fetch it again"
        )
    try:
        return parse_arxiv_id(guid)
    except ValueError as error:
        raise SourceError(f"{error}: give arXiv's own feed") from error


def _parse_categories(entry: Element) -> Iterable[str]:
    """Yield the primary category first, as arXiv orders them, from Atom or RSS."""
    for category in entry.findall(f"{xml.ATOM}category"):
        yield category.get("term", "").strip()
    for category in entry.findall("category"):
        yield (category.text or "").strip()


def _parse_day(entry: Element, feed_format: _Format) -> date:
    """Return the day in US Eastern time, which is also the zone of a zoneless moment."""

    def parse_date(text: str) -> datetime:
        moment = feed_format.parse_date(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=EASTERN)

    moment = parse_moment(child_text(entry, feed_format.published), parse_date)
    return moment.astimezone(EASTERN).date()
