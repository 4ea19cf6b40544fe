"""Convert recorded days of listings from JSON to the Atom documents of arXiv."""

import json
import tarfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from digest.ingest.sources.listing import Listing
from tests.ingest.documents import write_atom_feed


def recorded_feeds(archive: Path) -> Iterator[tuple[date, bytes]]:
    """Yield each recorded day with its feed document, in order."""
    with tarfile.open(archive) as members:
        names = sorted(member.name for member in members if member.isfile())
        for name in names:
            body = members.extractfile(name)
            assert body
            day = date.fromisoformat(Path(name).stem)
            yield day, write_atom_feed(_listings(body.read().decode(), day), day)


def _listings(text: str, day: date) -> Iterator[Listing]:
    """Parse a JSON document with a list of papers, or one paper per line."""
    if text.lstrip().startswith('{"id"'):
        rows = [json.loads(line) for line in text.strip().split("\n")]
    else:
        rows = json.loads(text)["papers"]
    for row in rows:
        yield _listing(row, day)


def _listing(row: dict[str, Any], day: date) -> Listing:
    kind = row.get("announce_type") or "new"  # one archive does not record it
    return Listing(
        identifier=row.get("arxiv_id") or row["id"],
        version=2 if kind.startswith("replace") else 1,  # no archive records it
        source="arxiv",
        title_raw=row["title"],
        abstract_raw=row.get("abstract") or row["summary"],
        authors=tuple(row["authors"]),
        categories=tuple(row["categories"]),
        announce_type=kind,
        announced_on=day,
    )
