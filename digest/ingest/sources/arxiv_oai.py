"""arXiv's OAI-PMH, a page at a time: completes and corrects the announcements."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

import httpx

from digest.ingest.sources import xml
from digest.ingest.sources.arxiv_calendar import (
    EASTERN,
    announcement_day,
    plausible_day,
)
from digest.ingest.sources.http import fetch_document
from digest.ingest.sources.listing import (
    Listing,
    ParsedDocument,
    RefusedRecord,
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

# The only format with the date of every version.
METADATA_PREFIX = "arXivRaw"
# Archives that are sets inside the set physics (ListSets of both base URLs).
_PHYSICS_ARCHIVES = frozenset(
    (
        *("astro-ph", "cond-mat", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th"),
        *("math-ph", "nlin", "nucl-ex", "nucl-th", "physics", "quant-ph"),
    )
)
# The source type of a withdrawn version (arXiv's help page on OAI-PMH).
_WITHDRAWN_TYPE = "I"
# A remedy for each error of the protocol (OAI-PMH 2.0, section 3.6).
_REMEDIES = {
    "badArgument": "check the dates and the set",
    "badResumptionToken": "begin the window again",
    "badVerb": "check ARXIV_OAI_URL",
    "cannotDisseminateFormat": "check ARXIV_OAI_URL",
    "idDoesNotExist": "check the identifier",
    "noMetadataFormats": "check the identifier",
    "noSetHierarchy": "check ARXIV_OAI_URL",
}


class TokenExpired(SourceError):
    """A resumption token that the source no longer knows: begin the window again."""


@dataclass(frozen=True)
class Window:
    """Selects records by the day of their last change, both ends included."""

    first: date
    last: date | None = None
    set_spec: str = ""


@dataclass(frozen=True, kw_only=True)
class Page(ParsedDocument):
    """One page of a window: its listings, the deleted identifiers and the next token.

    `token` is empty on the last page; `total` is the number of records in the whole
    window, if the source announces it.
    """

    deleted: tuple[str, ...] = ()
    token: str = ""
    total: int | None = None


def set_specs(categories: Sequence[str]) -> list[str]:
    """Return the sets that hold these categories, as both base URLs know them.

    Only the newer one has a set for each category, so whole archives are requested;
    the daily changes of one are hardly more than one page.
    """
    archives = dict.fromkeys(name.partition(".")[0] for name in categories)
    return [
        f"physics:{name}" if name in _PHYSICS_ARCHIVES else name for name in archives
    ]


def fetch(client: httpx.Client, window: Window, token: str, url: str) -> bytes:
    """Fetch the first page of a window, or the one that `token` names.

    `url` is https://oaipmh.arxiv.org/oai, or the older https://export.arxiv.org/oai2.
    """
    params = {"verb": "ListRecords"}
    if token:
        params["resumptionToken"] = token
    else:
        params |= {"metadataPrefix": METADATA_PREFIX, "from": window.first.isoformat()}
        params |= {"until": window.last.isoformat()} if window.last else {}
        params |= {"set": window.set_spec} if window.set_spec else {}
    return fetch_document(client, url, params, lock=arxiv_lock).body


def parse(document: bytes) -> Page:
    """Parse a page of records in arXiv, arXivRaw or oai_dc.

    noRecordsMatch gives an empty page. Raises TokenExpired for a token that is too old.
    """
    root = xml.strip_namespaces(xml.parse_root(document))
    if root.tag != "OAI-PMH":
        raise SourceError(
            f"XML <{root.tag[:40]}> is not an OAI-PMH answer: fetch it again"
        )
    error = root.find("error")
    if error is not None:
        return _parse_error(error)
    container = root.find("ListRecords")
    container = root.find("GetRecord") if container is None else container
    if container is None:
        raise SourceError(
            "an OAI-PMH answer without records: give one of ListRecords or GetRecord"
        )
    token = container.find("resumptionToken")
    records = container.findall("record")
    existing = [record for record in records if not _is_deleted(record)]
    listings, refused = parse_records(existing, _parse_record, _identifier_text)
    deleted, refused_deleted = _parse_deleted(filter(_is_deleted, records))
    if refused_deleted and not listings and not deleted:
        raise SourceError(refused_deleted[0].reason)
    return Page(
        listings=listings,
        refused=(*refused, *refused_deleted),
        deleted=tuple(deleted),
        token=_text_of(token),
        total=_parse_total(token),
    )


def _parse_error(error: Element) -> Page:
    """Return an empty page for noRecordsMatch; raise SourceError for other errors."""
    code, message = error.get("code", ""), " ".join(_text_of(error).split())[:200]
    if code == "noRecordsMatch":
        return Page(total=0)
    remedy = _REMEDIES.get(code, "try again later")
    error_class = TokenExpired if code == "badResumptionToken" else SourceError
    raise error_class(
        f"OAI-PMH error {code[:40]} ({message or 'without a message'}): {remedy}"
    )


def _text_of(element: Element | None) -> str:
    return ((element.text if element is not None else "") or "").strip()


def _parse_total(token: Element | None) -> int | None:
    text = token.get("completeListSize", "") if token is not None else ""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _is_deleted(record: Element) -> bool:
    header = record.find("header")
    return header is not None and header.get("status") == "deleted"


def _parse_deleted(
    records: Iterable[Element],
) -> tuple[list[str], list[RefusedRecord]]:
    identifiers, refused = [], []
    for record in records:
        try:
            identifiers.append(_parse_identifier(record))
        except SourceError as error:
            refused.append(RefusedRecord(_identifier_text(record)[:64], str(error)))
    return identifiers, refused


def _identifier_text(record: Element) -> str:
    return child_text(record, "header/identifier")


def _parse_identifier(record: Element) -> str:
    text = _identifier_text(record)
    if not text.startswith("oai:arXiv.org:"):
        raise SourceError(
            f"the record {text[:60] or 'without an identifier'} is not arXiv's: "
            "give a page of arXiv's OAI-PMH"
        )
    try:
        return parse_arxiv_id(text)[0]
    except ValueError as error:
        raise SourceError(f"{error}: give arXiv's own page") from error


def _parse_record(record: Element) -> Listing:
    identifier = _parse_identifier(record)
    for name, parse_metadata in _METADATA_PARSERS.items():
        metadata = record.find(f"metadata/{name}")
        if metadata is not None:
            listing = parse_metadata(record, metadata, identifier)
            if not listing.title_raw or not listing.abstract_raw:
                raise SourceError(
                    f"the record {identifier} has no title or text: fetch it again"
                )
            return listing
    raise SourceError(
        f"the record {identifier} has no known format: request {METADATA_PREFIX}"
    )


def _parse_arxiv_raw(record: Element, metadata: Element, identifier: str) -> Listing:
    """Parse arXivRaw: every version with its date, authors in one string."""
    versions = metadata.findall("version")
    dates = [child_text(version, "date") for version in versions]
    moments = [_parse_submitted(date, parsedate_to_datetime) for date in dates]
    listing = _build_listing(
        record,
        metadata,
        identifier,
        version=len(versions) or 1,
        submitted=moments[0] if moments else None,
        authors=split_authors(child_text(metadata, "authors")),
    )
    if not versions:
        return listing
    is_withdrawn = _is_withdrawn(versions, listing.is_withdrawn)
    return replace(listing, is_withdrawn=is_withdrawn, is_available=not is_withdrawn)


def _is_withdrawn(versions: Sequence[Element], says_so: bool) -> bool:
    """Decide whether the last version is withdrawn.

    arXiv's mark decides. The wording counts where no version has the mark; in a record
    with an older withdrawn version it is out of date.
    """
    marks = [
        child_text(version, "source_type") == _WITHDRAWN_TYPE
        or child_text(version, "size") == "0kb"
        for version in versions
    ]
    return marks[-1] if any(marks) else says_so


def _parse_arxiv(record: Element, metadata: Element, identifier: str) -> Listing:
    """Parse arXiv: authors apart; of the versions only whether there was a second."""
    authors = [_join_name(author) for author in metadata.findall("authors/author")]
    return _build_listing(
        record,
        metadata,
        identifier,
        version=2 if child_text(metadata, "updated") else 1,
        submitted=_parse_submitted(
            child_text(metadata, "created"), datetime.fromisoformat
        ),
        authors=authors,
    )


def _build_listing(
    record: Element,
    metadata: Element,
    identifier: str,
    version: int,
    submitted: datetime | None,
    authors: Iterable[str],
) -> Listing:
    abstract = child_text(metadata, "abstract")
    comments = child_text(metadata, "comments")
    categories = tuple(child_text(metadata, "categories").split())
    return Listing(
        identifier=identifier,
        version=version,
        source="arxiv",
        title_raw=child_text(metadata, "title"),
        abstract_raw=abstract,
        authors=tuple(authors),
        categories=categories,
        primary=categories[0] if categories else "",
        announce_type="new",
        announced_on=_announced_on(record, identifier, submitted, version),
        published_at=submitted,
        comments=comments,
        doi=child_text(metadata, "doi"),
        license=child_text(metadata, "license"),
        code_url=find_code_url(f"{abstract} {comments}"),
        is_withdrawn=says_withdrawn(comments, abstract),
    )


def _parse_dublin_core(record: Element, metadata: Element, identifier: str) -> Listing:
    """Parse oai_dc: family names first, subjects in words, the first of several dates.

    It has no codes of categories; without them the next full listing replaces this text.
    """
    dates = sorted(map(_text_of, metadata.findall("date")))
    submitted = _parse_submitted(dates[0], datetime.fromisoformat) if dates else None
    texts = [_text_of(element) for element in metadata.findall("description")]
    creators = metadata.findall("creator")
    return Listing(
        identifier=identifier,
        version=len(dates) or 1,
        source="arxiv",
        title_raw=child_text(metadata, "title"),
        abstract_raw=max(texts, key=len, default=""),
        authors=tuple(_turn_name(_text_of(creator)) for creator in creators),
        announce_type="new",
        announced_on=_announced_on(record, identifier, submitted, len(dates)),
        published_at=submitted,
        is_withdrawn=any(says_withdrawn(text, "") for text in texts[1:])
        or any(says_withdrawn("", text) for text in texts),
    )


_METADATA_PARSERS: dict[str, Callable[[Element, Element, str], Listing]] = {
    "arXivRaw": _parse_arxiv_raw,
    "arXiv": _parse_arxiv,
    "dc": _parse_dublin_core,
}


def _join_name(author: Element) -> str:
    paths = ("forenames", "keyname", "suffix")
    return " ".join(filter(None, (child_text(author, path) for path in paths)))


def _turn_name(name: str) -> str:
    """Turn "Roe, Ana" into "Ana Roe"; a group has no comma."""
    family, comma, given = name.partition(", ")
    return f"{given} {family}" if comma else name


def _parse_submitted(text: str, parse: Callable[[str], datetime]) -> datetime | None:
    """Parse a moment into UTC; a day without a time is its morning in US Eastern time."""
    if not text:
        return None
    moment = parse_moment(text, parse)
    if len(text) == len("2026-11-20"):
        return datetime.combine(moment, time(9), EASTERN).astimezone(UTC)
    return moment


def _announced_on(
    record: Element, identifier: str, submitted: datetime | None, version: int
) -> date:
    """Return the announcement day; only a first version may have been in moderation."""
    datestamp = child_text(record, "header/datestamp")[:10]
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", datestamp):
        raise SourceError(f"{datestamp!r} is not a datestamp: fetch it again")
    changed = parse_moment(datestamp).date()
    if submitted is None:
        return plausible_day(identifier, changed)
    day = announcement_day(submitted, changed if version == 1 else None)
    return plausible_day(identifier, day)
