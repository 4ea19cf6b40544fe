"""Invented papers of the demo, for machines without network access.

Nothing in them is real: the numbers after the month are above 90000, which arXiv never
reached, and addresses are of example.org.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from typing import Any

from digest.ingest.sources.listing import Listing, Measurement
from digest.ingest.store import store
from digest.models import IngestRun

SAMPLE_DAYS = 3  # up to today, also on a day without announcements

_LICENSE = "http://creativecommons.org/licenses/by/4.0/"
# What only Hugging Face's lists give, and what only arXiv's feed gives.
_NOT_IN_FEED: dict[str, Any] = {
    "organization": "",
    "project_url": "",
    "measurements": (),
}
_ONLY_LISTED: dict[str, Any] = {
    "source": "huggingface",
    "announce_type": "",
    "categories": (),
    "primary": "",
    "license": "",
}
# The hour of the day at which Hugging Face's lists are mostly complete.
_LISTED_AT = time(3, 55, 12, 777000, tzinfo=UTC)


def store_sample(today: date, now: datetime) -> list[IngestRun]:
    """Store the invented papers of the last three days, and their attention samples.

    The oldest day always has the same papers, so that the demo does not depend on the day.
    """
    runs = []
    for part, day in enumerate(sample_days(today)):
        papers = list(invent_papers(day, part))
        announced = [replace(paper, **_NOT_IN_FEED) for paper in papers]
        listed = [
            replace(paper, **_ONLY_LISTED) for paper in papers if paper.measurements
        ]
        runs.append(_store_day("arxiv", day, announced, now))
        runs.append(_store_day("huggingface", day, listed, now))
    return runs


def _store_day(
    source: str, day: date, listings: list[Listing], now: datetime
) -> IngestRun:
    run = IngestRun(
        kind=IngestRun.Kind.DOCUMENT,
        source=source,
        origin=f"invented papers of {day}",
        started_at=now,
    )
    store(listings, run, now)
    return run


def sample_days(today: date) -> list[date]:
    """The last three days, oldest first, weekends included."""
    return [today - timedelta(days=back) for back in reversed(range(SAMPLE_DAYS))]


def invent_papers(day: date, part: int) -> Iterator[Listing]:
    """Yield one third of the invented papers (parts 0 to 2), announced on `day`."""
    lines = files("digest.ingest").joinpath("sample_papers.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    rows = [row for row in rows if row["day"] == part]
    for number, row in enumerate(rows, start=1):
        yield _build_listing(row, f"{day:%y%m}.9{day:%d}{number:02}", day)


def _build_listing(row: Mapping[str, Any], identifier: str, day: date) -> Listing:
    announce_type = row["announce_type"]
    return Listing(
        identifier=identifier,
        version=2 if announce_type.startswith("replace") else 1,
        source="arxiv",
        title_raw=row["title"],
        abstract_raw=row["abstract"],
        authors=tuple(row["authors"]),
        organization=row.get("organization", ""),
        categories=tuple(row["categories"]),
        primary=row["categories"][0],
        announce_type=announce_type,
        announced_on=day,
        published_at=datetime.combine(day, time(), UTC) - timedelta(days=2),
        license=_LICENSE,
        code_url=row.get("code_url", ""),
        project_url=row.get("project_url", ""),
        measurements=tuple(_build_measurements(row, day)),
    )


def _build_measurements(row: Mapping[str, Any], day: date) -> Iterator[Measurement]:
    for kind in ("upvotes", "comments", "stars"):
        if kind in row:
            yield Measurement(kind, row[kind], datetime.combine(day, _LISTED_AT))
