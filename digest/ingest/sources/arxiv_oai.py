"""arXiv's OAI-PMH, a page at a time: what fills in and corrects the announcements."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import EASTERN, first_announced
from digest.ingest.sources.arxiv_feed import split_authors
from digest.ingest.sources.http import get_document
from digest.ingest.sources.listing import Listing, Refused, identify, moment
from digest.ingest.sources.throttle import turn
from digest.ingest.sources.xml import words
from digest.text.plain import code_url

# It alone tells when the first version was submitted, and how many there are.
PREFIX = "arXivRaw"
# Archives that are sets inside the set physics (ListSets of both base URLs).
_PHYSICS = frozenset(
    [
        "astro-ph",
        "cond-mat",
        "gr-qc",
        "hep-ex",
        "hep-lat",
        "hep-ph",
        "hep-th",
        "math-ph",
        "nlin",
        "nucl-ex",
        "nucl-th",
        "physics",
        "quant-ph",
    ]
)
_WITHDRAWN = re.compile(
    r"\s*(?:this (?:paper|article|submission|manuscript|preprint|work) (?:has been|is|was)"
    r" (?:now )?)?withdrawn\b",
    re.IGNORECASE,
)
_AND = re.compile(r"(?:,\s*|\s+)and\s+")
# What to do, for each error that the protocol knows (OAI-PMH 2.0, section 3.6).
_REMEDIES = {
    "badArgument": "check the dates and the set",
    "badResumptionToken": "begin the window again",
    "badVerb": "check ARXIV_OAI_URL",
    "cannotDisseminateFormat": "check ARXIV_OAI_URL",
    "idDoesNotExist": "check the identifier",
    "noMetadataFormats": "check the identifier",
    "noSetHierarchy": "check ARXIV_OAI_URL",
}


class Expired(Refused):
    """A token that the source no longer knows: the window has to begin again."""


@dataclass(frozen=True)
class Window:
    """Which records are asked for: by the day of their last change, both ends included."""

    first: date
    last: date | None = None
    part: str = ""


@dataclass(frozen=True)
class Page:
    """One answer: its papers, those that were deleted, and where it goes on.

    `token` is empty on the last page; `size` is how many records the whole window
    has, where the source says so.
    """

    listings: tuple[Listing, ...] = ()
    deleted: tuple[str, ...] = ()
    token: str = ""
    size: int | None = None


def sets(categories: Sequence[str]) -> list[str]:
    """The sets that hold these categories, as both base URLs know them.

    Only the newer one has a set for each category, so whole archives are asked for;
    for the daily changes that is hardly more than one page.
    """
    archives = dict.fromkeys(name.partition(".")[0] for name in categories)
    return [f"physics:{name}" if name in _PHYSICS else name for name in archives]


def fetch(client: httpx.Client, window: Window, token: str, url: str) -> bytes:
    """One page of a window: the first, or the one that `token` names.

    `url` is https://oaipmh.arxiv.org/oai, or its elder https://export.arxiv.org/oai2.
    """
    asked = {"verb": "ListRecords"}
    if token:
        asked["resumptionToken"] = token
    else:
        asked |= {"metadataPrefix": PREFIX, "from": window.first.isoformat()}
        asked |= {"until": window.last.isoformat()} if window.last else {}
        asked |= {"set": window.part} if window.part else {}
    return get_document(client, url, asked, turn=turn).body


def parse(document: bytes) -> Page:
    """A page of records in arXiv, arXivRaw or oai_dc, or Refused: never a part of it.

    noRecordsMatch gives an empty page. Raises Expired where the token was too old.
    """
    root = xml.without_namespaces(xml.root(document))
    if root.tag != "OAI-PMH":
        raise Refused(f"XML <{root.tag[:40]}> is no OAI-PMH answer: fetch it again")
    error = root.find("error")
    if error is not None:
        return _no_records(error)
    found = root.find("ListRecords")
    found = root.find("GetRecord") if found is None else found
    if found is None:
        raise Refused(
            "an OAI-PMH answer without records: give one of ListRecords or GetRecord"
        )
    token = found.find("resumptionToken")
    records = found.findall("record")
    return Page(
        tuple(_listing(one) for one in records if not _is_deleted(one)),
        tuple(_identity(one)[0] for one in records if _is_deleted(one)),
        _text(token),
        _size(token),
    )


def _no_records(error: Element) -> Page:
    """An empty page, or the reason why it is none."""
    code, said = error.get("code", ""), " ".join(_text(error).split())[:200]
    if code == "noRecordsMatch":
        return Page(size=0)
    remedy = _REMEDIES.get(code, "try again later")
    kind = Expired if code == "badResumptionToken" else Refused
    raise kind(f"OAI-PMH error {code[:40]} ({said or 'no more is said'}): {remedy}")


def _text(element: Element | None) -> str:
    return ((element.text if element is not None else "") or "").strip()


def _size(token: Element | None) -> int | None:
    written = token.get("completeListSize", "") if token is not None else ""
    return int(written) if re.fullmatch(r"[0-9]{1,9}", written) else None


def _is_deleted(record: Element) -> bool:
    header = record.find("header")
    return header is not None and header.get("status") == "deleted"


def _identity(record: Element) -> tuple[str, int]:
    written = words(record, "header/identifier")
    if not written.startswith("oai:arXiv.org:"):
        raise Refused(
            f"the record {written[:60] or 'without an identifier'} is not arXiv's: "
            "give a page of arXiv's OAI-PMH"
        )
    try:
        return identify(written)
    except ValueError as error:
        raise Refused(f"{error}: give arXiv's own page") from error


def _listing(record: Element) -> Listing:
    """One record in whichever of the three formats it is written."""
    identifier, _ = _identity(record)
    for name, read in _READERS.items():
        found = record.find(f"metadata/{name}")
        if found is not None:
            listing = read(record, found, identifier)
            if not listing.title_raw or not listing.abstract_raw:
                raise Refused(
                    f"the record {identifier} has no title or text: fetch it again"
                )
            return listing
    raise Refused(
        f"the record {identifier} has no format that we read: ask for {PREFIX}"
    )


def _raw(record: Element, found: Element, identifier: str) -> Listing:
    """arXivRaw: every version with its moment, authors in one string."""
    versions = found.findall("version")
    moments = [_moment(words(one, "date"), parsedate_to_datetime) for one in versions]
    submitted = moments[0] if moments else None
    version = len(versions) or 1
    joined = _AND.sub(", ", words(found, "authors"))
    return _complete(
        record, found, identifier, version, submitted, split_authors(joined)
    )


def _arxiv(record: Element, found: Element, identifier: str) -> Listing:
    """arXiv: authors told apart; of versions only whether there was a second."""
    version = 2 if words(found, "updated") else 1
    created = _moment(words(found, "created"), datetime.fromisoformat)
    names = [_name(one) for one in found.findall("authors/author")]
    return _complete(record, found, identifier, version, created, names)


def _complete(
    record: Element,
    found: Element,
    identifier: str,
    version: int,
    submitted: datetime | None,
    names: Iterable[str],
) -> Listing:
    """What arXiv and arXivRaw write alike."""
    abstract, comments = words(found, "abstract"), words(found, "comments")
    categories = tuple(words(found, "categories").split())
    return Listing(
        identifier=identifier,
        version=version,
        source="arxiv",
        title_raw=words(found, "title"),
        abstract_raw=abstract,
        authors=tuple(names),
        categories=categories,
        primary=categories[0] if categories else "",
        announce_type="new",
        announced_on=_day(record, submitted, version),
        published_at=submitted,
        comments=comments,
        doi=words(found, "doi"),
        license=words(found, "license"),
        code_url=code_url(f"{abstract} {comments}"),
        is_withdrawn=_is_withdrawn(abstract, comments),
    )


def _dublin(record: Element, found: Element, identifier: str) -> Listing:
    """oai_dc: names turned round, subjects in words, the first date of several."""
    dates = sorted(_text(one) for one in found.findall("date"))
    submitted = _moment(dates[0], datetime.fromisoformat) if dates else None
    texts = [_text(one) for one in found.findall("description")]
    abstract = max(texts, key=len, default="")
    # Unlike its neighbours it does not say how the primary category is called, and
    # without categories the next listing in full replaces this one's text.
    return Listing(
        identifier=identifier,
        version=len(dates) or 1,
        source="arxiv",
        title_raw=words(found, "title"),
        abstract_raw=abstract,
        authors=tuple(_turned(_text(one)) for one in found.findall("creator")),
        announce_type="new",
        announced_on=_day(record, submitted, len(dates)),
        published_at=submitted,
        is_withdrawn=any(map(_WITHDRAWN.match, texts)),
    )


_READERS: dict[str, Callable[[Element, Element, str], Listing]] = {
    "arXivRaw": _raw,
    "arXiv": _arxiv,
    "dc": _dublin,
}


def _is_withdrawn(abstract: str, comments: str) -> bool:
    return bool(_WITHDRAWN.match(comments) or _WITHDRAWN.match(abstract))


def _name(author: Element) -> str:
    parts = (words(author, place) for place in ("forenames", "keyname", "suffix"))
    return " ".join(part for part in parts if part)


def _turned(name: str) -> str:
    """ "Roe, Ana" as "Ana Roe"; a group has no comma."""
    family, comma, given = name.partition(", ")
    return f"{given} {family}" if comma else name


def _moment(written: str, read: Callable[[str], datetime]) -> datetime | None:
    """A moment in UTC; a bare day is its morning in US Eastern time."""
    if not written:
        return None
    when = moment(written, read)
    if len(written) == len("2026-11-20"):
        return datetime.combine(when, time(9), EASTERN).astimezone(UTC)
    return when


def _day(record: Element, submitted: datetime | None, version: int) -> date:
    """The announcement day. A record with one version may have waited for moderators."""
    stamp = words(record, "header/datestamp")[:10]
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", stamp):
        raise Refused(f"{stamp!r} is no datestamp: fetch it again")
    changed = moment(stamp).date()
    if submitted is None:
        return changed
    return first_announced(submitted, changed if version == 1 else None)
