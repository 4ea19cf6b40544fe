"""Recorded days of listings, kept by others as JSON, as the feeds they came from.

The product reads only what the sources serve. These functions turn the days of the
shared data into Atom documents, so that a test can run the service day by day.
"""

import json
import tarfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from digest.ingest.sample import atom
from digest.ingest.sources.listing import Listing


def days(archive: Path) -> Iterator[tuple[date, bytes]]:
    """Every recorded day in order, each with its feed as arXiv would have served it."""
    with tarfile.open(archive) as members:
        names = sorted(one.name for one in members if one.isfile())
        for name in names:
            body = members.extractfile(name)
            assert body
            day = date.fromisoformat(Path(name).stem)
            yield day, atom(_listings(body.read().decode(), day), day)


def _listings(text: str, day: date) -> Iterator[Listing]:
    """One JSON document with a list of papers, or one paper a line."""
    if text.lstrip().startswith('{"id"'):
        rows = [json.loads(line) for line in text.strip().split("\n")]
    else:
        rows = json.loads(text)["papers"]
    for row in rows:
        yield _listing(row, day)


def _listing(row: dict[str, Any], day: date) -> Listing:
    kind = row.get("announce_type") or "new"  # one of the two did not record it
    return Listing(
        identifier=row.get("arxiv_id") or row["id"],
        version=2 if kind.startswith("replace") else 1,  # nor did any the version
        source="arxiv",
        title_raw=row["title"],
        abstract_raw=row.get("abstract") or row["summary"],
        authors=tuple(row["authors"]),
        categories=tuple(row["categories"]),
        announce_type=kind,
        announced_on=day,
    )
