"""arXiv's daily announcement feeds, Atom and RSS 2.0, as listings."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import EASTERN
from digest.ingest.sources.http import Document, Validators, get_document
from digest.ingest.sources.listing import Listing, Refused, identify, moment
from digest.ingest.sources.throttle import turn
from digest.ingest.sources.xml import words
from digest.text.plain import code_url

ANNOUNCE_TYPES = ("new", "cross", "replace", "replace-cross")

_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_OPENSEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
_OAI = "{http://www.openarchives.org/OAI/2.0/}"

_HEAD = re.compile(r"\s*arXiv:\S+ Announce Type: \S+\s+Abstract: ?")
_SUFFIXES = frozenset({"jr", "jr.", "sr", "sr.", "ii", "iii", "iv"})
_GROUPS = re.compile(r"collaboration|consortium|team|group", re.IGNORECASE)


@dataclass(frozen=True)
class _Shape:
    """What Atom and RSS call the same things."""

    listing: str
    guid: str
    title: str
    text: str
    day: str
    when: Callable[[str], datetime]


_SHAPES = {
    f"{_ATOM}feed": _Shape(
        f"{_ATOM}entry",
        f"{_ATOM}id",
        f"{_ATOM}title",
        f"{_ATOM}summary",
        f"{_ATOM}published",
        datetime.fromisoformat,
    ),
    "rss": _Shape(
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
    known: Validators | None = None,
) -> Document:
    """Today's announcements of all `categories` in one document.

    `url` is the feed's address without the categories,
    https://rss.arxiv.org/atom or /rss. Raises web.Unchanged where the validators
    `known` still hold.
    """
    return get_document(client, address(categories, url), known=known, turn=turn)


def address(categories: Sequence[str], url: str) -> str:
    return f"{url.rstrip('/')}/{'+'.join(categories)}"


def parse(document: bytes) -> list[Listing]:
    """All listings of an announcement feed, or Refused: never a part of them.

    An empty feed is a weekend or a holiday and gives no listings.
    """
    root = xml.root(document)
    shape = _SHAPES.get(root.tag)
    if shape is None or root.find(f"{_OPENSEARCH}totalResults") is not None:
        raise Refused(_foreign(root))
    elements = root.findall(shape.listing)
    if not elements and not _is_from_arxiv(root):
        raise Refused(
            "an empty feed that does not name arxiv.org: give an arXiv announcement feed"
        )
    return [_listing(element, shape) for element in elements]


def _foreign(root: Element) -> str:
    if root.tag == f"{_ATOM}feed":
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
    places = (f"{_ATOM}id", "channel/link")
    return any("arxiv.org/" in words(root, place) for place in places)


def _listing(element: Element, shape: _Shape) -> Listing:
    identifier, version = _identity(element, shape)
    abstract = _HEAD.sub("", element.findtext(shape.text) or "", count=1).strip()
    categories = tuple(_categories(element))
    return Listing(
        identifier=identifier,
        version=version,
        source="arxiv",
        title_raw=words(element, shape.title),
        abstract_raw=abstract,
        authors=tuple(split_authors(words(element, f"{_DC}creator"))),
        categories=categories,
        primary=categories[0] if categories else "",
        announce_type=words(element, f"{_ARXIV}announce_type"),
        announced_on=_day(element, shape),
        doi=words(element, f"{_ARXIV}DOI"),
        license=words(element, f"{_DC}rights"),
        code_url=code_url(abstract),
    )


def _identity(element: Element, shape: _Shape) -> tuple[str, int]:
    """Identifier and version, of a listing that is whole and arXiv's own."""
    guid = words(element, shape.guid)
    kind = words(element, f"{_ARXIV}announce_type")
    if not guid.startswith("oai:arXiv.org:") or kind not in ANNOUNCE_TYPES:
        raise Refused(
            f"the listing {guid[:60] or 'without an id'} has no arXiv announce type: "
            "give arXiv's own feed, not another's"
        )
    if not words(element, shape.title) or not words(element, shape.text):
        raise Refused(f"the listing {guid[:60]} has no title or text: fetch it again")
    try:
        return identify(guid)
    except ValueError as error:
        raise Refused(f"{error}: give arXiv's own feed") from error


def _categories(element: Element) -> Iterable[str]:
    """The primary first, as arXiv orders them; Atom and RSS differ in the place."""
    for place in element.findall(f"{_ATOM}category"):
        yield place.get("term", "").strip()
    for place in element.findall("category"):
        yield (place.text or "").strip()


def _day(element: Element, shape: _Shape) -> date:
    """The day in US Eastern time; a moment without a zone is arXiv's own."""

    def read(written: str) -> datetime:
        when = shape.when(written)
        return when if when.tzinfo else when.replace(tzinfo=EASTERN)

    return moment(words(element, shape.day), read).astimezone(EASTERN).date()


def split_authors(joined: str) -> list[str]:
    """The names of one comma-joined string.

    A comma inside brackets belongs to an affiliation, which is left out; "Jr."
    and the like belong to the name before them.
    """
    names: list[str] = []
    for part in _outside_brackets(joined):
        if names and part.casefold() in _SUFFIXES:
            names[-1] = f"{names[-1]}, {part}"
        elif part:
            names.append(part)
    return names


def _outside_brackets(joined: str) -> Iterable[str]:
    if "(" not in joined:  # nearly always
        yield from map(_name, joined.split(","))
        return
    depth, start = 0, 0
    for place, sign in enumerate(joined):
        depth = max(0, depth + (sign == "(") - (sign == ")"))
        if sign == "," and depth == 0:
            yield _name(joined[start:place])
            start = place + 1
    yield _name(joined[start:])


def _name(part: str) -> str:
    """A name without its affiliation; the name of a group stays as it is."""
    found = re.search(r"\(.*\)?", part, re.DOTALL) if "(" in part else None
    if found and not _GROUPS.search(found[0]):
        part = part[: found.start()]
    return " ".join(part.split())
