"""Documents of listings as arXiv and Hugging Face serve them, for tests and benchmarks."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import (
    Element,
    SubElement,
    indent,
    register_namespace,
    tostring,
)

from digest.ingest import sample
from digest.ingest.sources.arxiv_calendar import EASTERN
from digest.ingest.sources.listing import Listing

_ATOM = "http://www.w3.org/2005/Atom"
_ARXIV = "http://arxiv.org/schemas/atom"
_DC = "http://purl.org/dc/elements/1.1/"
RIGHTS = "http://creativecommons.org/licenses/by/4.0/"
LISTED_AT = time(3, 55, 12, 777000, tzinfo=UTC)


def write_sample_documents(folder: Path, today: date) -> list[Path]:
    """Write the demo's papers as two documents a day; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part, day in enumerate(sample.sample_days(today)):
        papers = list(sample.invent_papers(day, part))
        for name, document in (
            (f"arxiv-{day}.xml", write_atom_feed(papers, day)),
            (f"huggingface-{day}.json", write_daily_list(papers, day)),
        ):
            (folder / name).write_bytes(document)
            paths.append(folder / name)
    return paths


def write_atom_feed(listings: Iterable[Listing], day: date) -> bytes:
    """Write the announcement feed of `day` as arXiv serves it."""
    register_namespace("", _ATOM)
    register_namespace("arxiv", _ARXIV)
    register_namespace("dc", _DC)
    midnight = datetime.combine(day, time(), EASTERN).isoformat()
    feed = Element(f"{{{_ATOM}}}feed")
    _add_element(feed, _ATOM, "id", "http://rss.arxiv.org/atom/cs")
    _add_element(feed, _ATOM, "title", "cs updates on arXiv.org")
    _add_element(feed, _ATOM, "updated", midnight)
    for listing in listings:
        _add_entry(feed, listing, midnight)
    indent(feed)
    return bytes(tostring(feed, encoding="UTF-8", xml_declaration=True))


def _add_entry(feed: Element, listing: Listing, midnight: str) -> None:
    name = f"{listing.identifier}v{listing.version}"
    kind = listing.announce_type
    summary = f"arXiv:{name} Announce Type: {kind} \nAbstract: {listing.abstract_raw}"
    entry = SubElement(feed, f"{{{_ATOM}}}entry")
    _add_element(entry, _ATOM, "id", f"oai:arXiv.org:{name}")
    _add_element(entry, _ATOM, "title", listing.title_raw)
    _add_element(entry, _ATOM, "updated", midnight)
    link = SubElement(entry, f"{{{_ATOM}}}link", rel="alternate", type="text/html")
    link.set("href", f"https://arxiv.org/abs/{listing.identifier}")
    _add_element(entry, _ATOM, "summary", summary)
    for category in listing.categories:
        SubElement(entry, f"{{{_ATOM}}}category", term=category)
    _add_element(entry, _ATOM, "published", midnight)
    _add_element(entry, _ARXIV, "announce_type", kind)
    _add_element(entry, _DC, "rights", RIGHTS)
    _add_element(entry, _DC, "creator", ", ".join(listing.authors))


def _add_element(parent: Element, namespace: str, name: str, text: str) -> None:
    SubElement(parent, f"{{{namespace}}}{name}").text = text


def write_daily_list(listings: Iterable[Listing], day: date) -> bytes:
    """Write Hugging Face's list of `day`: the papers with votes."""
    rows = [_daily_row(listing, day) for listing in listings if listing.measurements]
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()


def _daily_row(listing: Listing, day: date) -> dict[str, Any]:
    counts = {
        measurement.kind: measurement.value for measurement in listing.measurements
    }
    published = listing.published_at.isoformat() if listing.published_at else None
    paper = {
        "id": listing.identifier,
        "authors": [{"name": name, "hidden": False} for name in listing.authors],
        "publishedAt": published,
        "submittedOnDailyAt": datetime.combine(day, LISTED_AT).isoformat(),
        "title": listing.title_raw,
        "summary": listing.abstract_raw,
        "upvotes": counts["upvotes"],
        "githubStars": counts.get("stars"),
        "githubRepo": listing.code_url,
        "projectPage": listing.project_url,
    }
    return {
        "paper": {name: value for name, value in paper.items() if value},
        "publishedAt": published,
        "title": listing.title_raw,
        "summary": listing.abstract_raw,
        "numComments": counts["comments"],
        "organization": {"fullname": listing.organization},
        "isAuthorParticipating": False,
    }
