"""The invented papers that a first look is given when the network gives nothing.

They are written as the documents that arXiv and Hugging Face would serve, so that
they come in by the same parsers. Nothing in them is real: the numbers after the
month are above 90000, which arXiv never reached, and addresses are of example.org.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import (
    Element,
    SubElement,
    indent,
    register_namespace,
    tostring,
)

from digest.ingest.sources.arxiv_calendar import EASTERN
from digest.ingest.sources.listing import Listing, Measurement

DAYS = 3  # the newest of them today, also on a day without announcements

_ATOM = "http://www.w3.org/2005/Atom"
_ARXIV = "http://arxiv.org/schemas/atom"
_DC = "http://purl.org/dc/elements/1.1/"
_RIGHTS = "http://creativecommons.org/licenses/by/4.0/"
# The hour of the day at which the lists of Hugging Face are mostly filled.
_LISTED = time(3, 55, 12, 777000, tzinfo=UTC)


def write(folder: Path, today: date) -> list[Path]:
    """Documents of the last three days up to `today`.

    The oldest day always gets the same papers, so that every first look tells the same
    story, whatever day it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for turn, day in enumerate(last_days(today)):
        listings = list(invented(day, turn))
        for name, document in (
            (f"arxiv-{day}.xml", atom(listings, day)),
            (f"huggingface-{day}.json", daily(listings, day)),
        ):
            (folder / name).write_bytes(document)
            written.append(folder / name)
    return written


def last_days(today: date) -> list[date]:
    """The last three days, oldest first: whoever looks on a Sunday finds a day to curate too."""
    return [today - timedelta(days=back) for back in reversed(range(DAYS))]


def invented(day: date, turn: int) -> Iterator[Listing]:
    """A third of the invented papers, 0 the first, as announced on that day."""
    lines = files("digest.ingest").joinpath("sample_papers.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    todays = [row for row in rows if row["day"] == turn]
    for number, row in enumerate(todays, start=1):
        yield _listing(row, f"{day:%y%m}.9{day:%d}{number:02}", day)


def _listing(row: Mapping[str, Any], identifier: str, day: date) -> Listing:
    kind = row["announce_type"]
    return Listing(
        identifier=identifier,
        version=2 if kind.startswith("replace") else 1,
        source="arxiv",
        title_raw=row["title"],
        abstract_raw=row["abstract"],
        authors=tuple(row["authors"]),
        organization=row.get("organization", ""),
        categories=tuple(row["categories"]),
        primary=row["categories"][0],
        announce_type=kind,
        announced_on=day,
        published_at=datetime.combine(day, time(), UTC) - timedelta(days=2),
        code_url=row.get("code_url", ""),
        project_url=row.get("project_url", ""),
        measurements=tuple(_counts(row, day)),
    )


def _counts(row: Mapping[str, Any], day: date) -> Iterator[Measurement]:
    for kind in ("upvotes", "comments", "stars"):
        if kind in row:
            yield Measurement(kind, row[kind], datetime.combine(day, _LISTED))


def atom(listings: Iterable[Listing], day: date) -> bytes:
    """The announcement feed of `day` as arXiv serves it."""
    register_namespace("", _ATOM)
    register_namespace("arxiv", _ARXIV)
    register_namespace("dc", _DC)
    midnight = datetime.combine(day, time(), EASTERN).isoformat()
    feed = Element(f"{{{_ATOM}}}feed")
    _add(feed, _ATOM, "id", "http://rss.arxiv.org/atom/cs")
    _add(feed, _ATOM, "title", "cs updates on arXiv.org")
    _add(feed, _ATOM, "updated", midnight)
    for listing in listings:
        _announce(feed, listing, midnight)
    indent(feed)
    return bytes(tostring(feed, encoding="UTF-8", xml_declaration=True))


def _announce(feed: Element, listing: Listing, midnight: str) -> None:
    name = f"{listing.identifier}v{listing.version}"
    kind = listing.announce_type
    about = f"arXiv:{name} Announce Type: {kind} \nAbstract: {listing.abstract_raw}"
    place = SubElement(feed, f"{{{_ATOM}}}entry")
    _add(place, _ATOM, "id", f"oai:arXiv.org:{name}")
    _add(place, _ATOM, "title", listing.title_raw)
    _add(place, _ATOM, "updated", midnight)
    link = SubElement(place, f"{{{_ATOM}}}link", rel="alternate", type="text/html")
    link.set("href", f"https://arxiv.org/abs/{listing.identifier}")
    _add(place, _ATOM, "summary", about)
    for category in listing.categories:
        SubElement(place, f"{{{_ATOM}}}category", term=category)
    _add(place, _ATOM, "published", midnight)
    _add(place, _ARXIV, "announce_type", kind)
    _add(place, _DC, "rights", _RIGHTS)
    _add(place, _DC, "creator", ", ".join(listing.authors))


def _add(place: Element, space: str, name: str, text: str) -> None:
    SubElement(place, f"{{{space}}}{name}").text = text


def daily(listings: Iterable[Listing], day: date) -> bytes:
    """Hugging Face's answer for `day`: the papers that somebody there voted for."""
    rows = [_row(listing, day) for listing in listings if listing.measurements]
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()


def _row(listing: Listing, day: date) -> dict[str, Any]:
    counts = {one.kind: one.value for one in listing.measurements}
    published = listing.published_at.isoformat() if listing.published_at else None
    paper = {
        "id": listing.identifier,
        "authors": [{"name": name, "hidden": False} for name in listing.authors],
        "publishedAt": published,
        "submittedOnDailyAt": datetime.combine(day, _LISTED).isoformat(),
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
