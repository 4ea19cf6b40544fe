"""How fast a day's feed and a harvest become rows of PostgreSQL, beside the obvious way.

The obvious way: feedparser, and `update_or_create` for each paper. Cleaning text is
left out on both sides, and measured by itself. Papers are invented, or those of the
shared data's corpus where it is there.
"""

import gc
import gzip
import html
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import feedparser
from django.core.management import call_command
from django.db import connection

import tests.environment  # noqa: F401  PostgreSQL, and Django on it
from digest.ingest import store
from digest.ingest.sources import arxiv_feed, arxiv_oai
from digest.ingest.sources.listing import Listing
from digest.models import IngestRun, Paper
from digest.text.plain import to_plain_text
from tests.conftest import DATA
from tests.ingest import documents

FEED = 2_000  # entries; the most that arXiv serves
PAGE = 1_000  # records of OAI-PMH
ROUNDS, OURS = 2, 4  # theirs takes twenty times as long
HARVESTS = (5_000, 50_000)
DAY, NOW = date(2026, 11, 20), datetime(2026, 11, 20, 9, tzinfo=UTC)

Result = dict[str, float | int]


def measure() -> dict[str, Result]:
    """The ratios to feedparser, records a second, and what memory ten times as many take."""
    call_command("migrate", verbosity=0)
    listings = list(papers(FEED))
    gc.freeze()  # what is the benchmark's own is not searched again and again
    small, large = (run_in_subprocess(size) for size in HARVESTS)
    return {
        "ingest": {
            "entries": FEED,
            **feeds(listings),
            "cleaning_ms_each": cleaning(listings) / FEED * 1000,
            "records_per_second": large["records"] / large["seconds"],
            "records_per_second_with_cleaning": large["records"] / large["cleaned"],
            "harvest_memory_ratio": large["peak"] / small["peak"],
        }
    }


def feeds(listings: list[Listing]) -> Result:
    """The same feed into an empty table, and again, as when it is asked for once more.

    Turn by turn, so that what else this machine does bears on both.
    """
    document = documents.write_atom_feed(listings, DAY)
    newer = documents.write_atom_feed(
        [replace(listing, version=2) for listing in listings], DAY
    )
    ours, again, revised, theirs, theirs_again = [], [], [], [], []
    for _ in range(ROUNDS):
        for _ in range(OURS):
            empty()
            ours.append(seconds(lambda: take_in(document)))
            again.append(seconds(lambda: take_in(document)))
            revised.append(seconds(lambda: take_in(newer)))
        empty()
        theirs.append(seconds(lambda: obvious(document)))
        theirs_again.append(seconds(lambda: obvious(document)))
    return {
        "ours_s": min(ours),
        "feedparser_s": min(theirs),
        "ratio_to_feedparser": min(theirs) / min(ours),
        "again_s": min(again),
        "feedparser_again_s": min(theirs_again),
        "again_ratio_to_feedparser": min(theirs_again) / min(again),
        "revised_s": min(revised),
        "revised_ratio_to_feedparser": min(theirs_again) / min(revised),
    }


def cleaning(listings: list[Listing]) -> float:
    return seconds(
        lambda: [to_plain_text(listing.abstract_raw) for listing in listings]
    )


def papers(number: int) -> Iterator[Listing]:
    """Papers of the corpus under invented identifiers, again and again until there are enough."""
    rows = list(corpus())
    for n in range(number):
        row = rows[n % len(rows)]
        yield Listing(
            identifier=f"26{11 + n // 90_000:02}.{n % 90_000 + 10_000:05}",
            version=1,
            source="arxiv",
            title_raw=row["title"],
            abstract_raw=row["abstract"],
            authors=tuple(row["authors"]),
            categories=tuple(row["categories"]) or ("cs.LG",),
            primary=row["primary"] or "cs.LG",
            announce_type="new",
            announced_on=DAY,
            published_at=NOW,
        )


def corpus() -> Iterator[dict[str, Any]]:
    path = DATA / "corpus" / "papers_sample_40k.jsonl.gz"
    if not path.exists():
        words = " ".join(f"word{n % 97}" for n in range(170))
        row = {"authors": ["A. Roe", "B. Li"], "categories": ["cs.LG"], "primary": ""}
        yield from (
            {**row, "title": f"Paper {n}", "abstract": words} for n in range(99)
        )
        return
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line, _ in zip(lines, range(FEED), strict=False):
            row = json.loads(line)
            if row["title"] and row["abstract"] and row["authors"]:
                yield row


def empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE digest_paper CASCADE")


def seconds(work: Callable[[], object]) -> float:
    gc.collect()  # garbage of earlier measurements is not counted
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def take_in(document: bytes) -> None:
    with uncleaned():
        store.store(arxiv_feed.parse(document).listings, run(), NOW)


def run() -> IngestRun:
    return IngestRun(
        kind="document", source="arxiv", origin="a benchmark", started_at=NOW
    )


def uncleaned() -> AbstractContextManager[object]:
    """Text as its source wrote it."""
    return mock.patch.multiple(store, plain=str, people=list)


def obvious(document: bytes) -> None:
    """What most projects write first."""
    for entry in feedparser.parse(document).entries:
        identifier = entry.id.removeprefix("oai:arXiv.org:").partition("v")[0]
        abstract = entry.summary.partition("Abstract: ")[2]
        categories = [tag.term for tag in entry.tags]
        Paper.objects.update_or_create(
            identifier=identifier,
            defaults={
                "title": entry.title,
                "title_raw": entry.title,
                "abstract": abstract,
                "abstract_raw": abstract,
                "authors": entry.author.split(", "),
                "categories": categories,
                "primary": categories[0],
                "announced_on": DAY,
                "announce_type": entry.arxiv_announce_type,
                "created_at": NOW,
                "updated_at": NOW,
            },
        )


# A harvest in a process of its own: peak memory is measured per process.


def run_in_subprocess(size: int) -> dict[str, float]:
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest", str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return figures


def harvest(size: int) -> dict[str, float]:
    """Pages of OAI-PMH into PostgreSQL, one after the other: seconds and peak memory."""
    ingest_run, seconds, cleaning = run(), 0.0, 0.0
    rows = papers(size)
    for first in range(0, size, PAGE):
        listings = [next(rows) for _ in range(PAGE)]
        document = page(listings, first, size)
        start = time.perf_counter()
        parsed = arxiv_oai.parse(document)
        ingest_run.token = parsed.token
        with uncleaned():
            store.store(parsed.listings, ingest_run, NOW)
        seconds += time.perf_counter() - start
        if first == 0:
            start = time.perf_counter()
            for listing in listings:
                to_plain_text(listing.title_raw)
                to_plain_text(listing.abstract_raw)
            cleaning = (time.perf_counter() - start) / PAGE
    peak = peak_kilobytes()
    cleaned = seconds + cleaning * size
    return {"records": size, "seconds": seconds, "cleaned": cleaned, "peak": peak}


def peak_kilobytes() -> int:
    """The most memory this program has had. Linux forgets the parent's at exec only here."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def page(listings: list[Listing], first: int, size: int) -> bytes:
    token = f"bench|{first + PAGE}" if first + PAGE < size else ""
    inside = "".join(map(record, listings))
    return (
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><ListRecords>'
        f'{inside}<resumptionToken completeListSize="{size}">{token}</resumptionToken>'
        "</ListRecords></OAI-PMH>"
    ).encode()


def record(one: Listing) -> str:
    return (
        f"<record><header><identifier>oai:arXiv.org:{one.identifier}</identifier>"
        f"<datestamp>{DAY}</datestamp></header><metadata>"
        '<arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/">'
        '<version version="v1"><date>Wed, 18 Nov 2026 10:00:00 GMT</date></version>'
        f"<title>{html.escape(one.title_raw)}</title>"
        f"<authors>{html.escape(', '.join(one.authors))}</authors>"
        f"<categories>{' '.join(one.categories)}</categories>"
        f"<abstract>{html.escape(one.abstract_raw)}</abstract>"
        "</arXivRaw></metadata></record>"
    )


if __name__ == "__main__":
    empty()
    print(json.dumps(harvest(int(sys.argv[1]))))
