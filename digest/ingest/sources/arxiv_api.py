"""arXiv's query API: single papers by their identifiers."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import first_announced
from digest.ingest.sources.http import get_document
from digest.ingest.sources.listing import Listing, Refused, identify, moment
from digest.ingest.sources.throttle import turn
from digest.ingest.sources.xml import words
from digest.text.plain import code_url

logger = logging.getLogger(__name__)

SIZE = 100  # papers a page, and identifiers a question: longer addresses are refused
# Pages have come back empty in mid-result, and whole when asked again.
EMPTY_ATTEMPTS = 3

_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_OPENSEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"


@dataclass(frozen=True)
class Page:
    """One answer, and how many papers there are in all."""

    listings: tuple[Listing, ...]
    size: int


@dataclass(frozen=True)
class Told:
    """What arXiv says of papers that were asked for by name.

    `unknown` are the names that it does not know, or has no whole record of.
    """

    listings: tuple[Listing, ...]
    unknown: frozenset[str]


def fetch(
    client: httpx.Client, identifiers: Sequence[str], start: int, url: str
) -> bytes:
    """One page of these papers. `url` is https://export.arxiv.org/api/query."""
    asked = {
        "id_list": ",".join(identifiers),
        "start": str(start),
        "max_results": str(SIZE),
    }
    return get_document(client, url, asked, turn=turn).body


def told(client: httpx.Client, identifiers: Sequence[str], url: str) -> Told:
    """What arXiv says of at most SIZE papers, without versions, each read by itself.

    A record that cannot be read is unknown, so that one reader's odd paper does not
    keep back the others'. Where less came than arXiv knows, nothing is unknown.
    """
    records, size = _all(client, identifiers, url)
    listings = tuple(_readable(records))
    met = {one.identifier for one in listings}
    whole = len(records) >= size
    return Told(listings, frozenset(identifiers) - met if whole else frozenset())


def _all(
    client: httpx.Client, identifiers: Sequence[str], url: str
) -> tuple[list[Element], int]:
    """The records of all pages, and how many there should be; what stays empty ends them."""
    found, size = _page(client, identifiers, 0, url)
    while 0 < len(found) < min(size, len(identifiers)):
        more, size = _page(client, identifiers, len(found), url)
        if not more:
            break
        found += more
    return found, size


def _page(
    client: httpx.Client, identifiers: Sequence[str], start: int, url: str
) -> tuple[list[Element], int]:
    """One page, asked for again where it is empty and should not be."""
    for _ in range(EMPTY_ATTEMPTS):
        records, size = _feed(fetch(client, identifiers, start, url))
        if records or not size:
            break
    return records, size


def _readable(records: Sequence[Element]) -> Iterator[Listing]:
    for record in records:
        try:
            yield _listing(record)
        except Refused as why:
            logger.warning("a paper was left out: %s", why)


def parse(document: bytes) -> Page:
    """All papers of an answer, or Refused, also where the answer is an error."""
    records, size = _feed(document)
    return Page(tuple(map(_listing, records)), size)


def _feed(document: bytes) -> tuple[list[Element], int]:
    """The records of an answer, and how many there are in all."""
    root = xml.root(document)
    total = words(root, f"{_OPENSEARCH}totalResults")
    if root.tag != f"{_ATOM}feed" or not total.isdecimal():
        raise Refused("not an answer of arXiv's query API: fetch it again")
    records = root.findall(f"{_ATOM}entry")
    for record in records:
        if "/api/errors" in words(record, f"{_ATOM}id"):
            said = words(record, f"{_ATOM}summary")[:120]
            raise Refused(
                f"arXiv's API answered an error ({said}): check the identifier"
            )
    return records, int(total[:9])


def _listing(element: Element) -> Listing:
    identifier, version = _identity(element)
    title, abstract = words(element, f"{_ATOM}title"), words(element, f"{_ATOM}summary")
    if not title or not abstract:
        raise Refused(f"the paper {identifier} has no title or text: fetch it again")
    published = moment(words(element, f"{_ATOM}published"))
    comments = words(element, f"{_ARXIV}comment")
    names = (words(one, f"{_ATOM}name") for one in element.findall(f"{_ATOM}author"))
    categories = _categories(element)
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
        announced_on=first_announced(published),
        published_at=published,
        comments=comments,
        doi=words(element, f"{_ARXIV}doi"),
        code_url=code_url(f"{abstract} {comments}"),
    )


def _identity(element: Element) -> tuple[str, int]:
    try:
        return identify(words(element, f"{_ATOM}id"))
    except ValueError as error:
        raise Refused(f"{error}: fetch it again") from error


def _categories(element: Element) -> tuple[str, ...]:
    """The primary one first; the API names it apart."""
    primary = element.find(f"{_ARXIV}primary_category")
    places = element.findall(f"{_ATOM}category")
    first = [primary] if primary is not None else []
    terms = (place.get("term", "").strip() for place in [*first, *places])
    return tuple(dict.fromkeys(term for term in terms if term))
