"""Measure search among a hundred thousand papers: time, recall, and what indexing costs.

Papers are those of the shared data's corpus where it is there, each repeated with other
words until there are enough, else invented. Run alone with `python -m benchmarks.search`;
DATABASE_URL chooses SQLite, PAPERS another number.
"""

import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import tests.environment  # noqa: F401  PostgreSQL, and Django on it

# isort: split

from django.core.management import call_command
from django.db import connection

from digest.models import Paper
from digest.ranking import embeddings, search
from digest.text.plain import to_plain_text
from tests.conftest import DATA

PAPERS = int(os.environ.get("PAPERS", "100000"))
TITLES, AUTHORS, MISSPELT = 60, 60, 30
FIRST_DAY, NOW = date(2026, 3, 1), datetime(2026, 11, 20, 9, tzinfo=UTC)
DAYS = 260
TOPICS = [
    *("graph neural networks", "diffusion models", "reinforcement learning"),
    *("large language models", "quantization", "protein structure prediction"),
    *("federated learning privacy", "object detection", "speech recognition"),
    *("retrieval augmented generation", "time series forecasting", "model"),
    *("deep learning", "we propose a new method", '"language model" pruning'),
    *("cat:cs.LG attention", "transformer -vision", "author:Wang segmentation"),
    *("optimization after:2026-06", "robot manipulation", "quantum error correction"),
]

Result = dict[str, float | int]


def measure() -> dict[str, Result]:
    """PostgreSQL in this process, SQLite in another."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.search"],
            env=os.environ | {"DATABASE_URL": f"sqlite:///{folder}/search.sqlite3"},
            capture_output=True,
            text=True,
            check=True,
        )
    embedded = json.loads(process.stdout.splitlines()[-1])
    return {"search": run(), "search, embedded": embedded}


def run() -> Result:
    call_command("migrate", verbosity=0)
    Paper.objects.all().delete()
    chance = random.Random(0)
    Paper.objects.bulk_create(papers(chance), batch_size=1_000)
    start = time.perf_counter()
    embeddings.refresh()
    indexing = time.perf_counter() - start
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    start = time.perf_counter()
    search.find_papers("graph networks")
    cold = time.perf_counter() - start
    sample = chance.sample(
        list(Paper.objects.values_list("pk", "title", "authors")), 2_000
    )
    result: Result = {
        "papers": PAPERS,
        "indexing_ms_each": indexing / PAPERS * 1000,
        "first_search_s": cold,
    }
    times = list[float]()
    result["titles_first"] = recall_titles(sample, times)
    result["authors_found"] = recall_authors(sample, times)
    result["misspelt_in_ten"] = recall_misspelt(sample, times, chance)
    result |= topic_times(times)
    result["ratio_to_scan_of_titles"] = scan_titles() / result["median_ms"]
    return result


def scan_titles() -> float:
    """Median milliseconds of the obvious way, in which no index helps."""
    times = list[float]()
    for query in TOPICS:
        start = time.perf_counter()
        list(Paper.objects.filter(title__icontains=query).defer("vector")[:20])
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def papers(chance: random.Random) -> Iterator[Paper]:
    rows = list(corpus())
    for number in range(PAPERS):
        row = rows[number % len(rows)]
        title, abstract = row["title"], row["abstract"]
        if number >= len(rows):  # a variation: a title of its own, and mixed sentences
            other = chance.choice(rows)
            words = title.split()
            title = " ".join([*words[: len(words) // 2], *other["title"].split()[1:8]])
            abstract = f"{abstract[: len(abstract) // 2]} {other['abstract'][:600]}"
        day = FIRST_DAY + timedelta(days=number * DAYS // PAPERS)
        yield Paper(
            identifier=f"26{3 + number // 99_000:02}.{number % 99_000 + 1:05}",
            title=title,
            title_raw=title,
            abstract=abstract,
            abstract_raw="",
            authors=row["authors"],
            categories=row["categories"] or ["cs.LG"],
            primary=(row["categories"] or ["cs.LG"])[0],
            announced_on=day,
            announce_type="new",
            created_at=NOW,
            updated_at=NOW,
        )


def corpus() -> Iterator[dict[str, Any]]:
    path = DATA / "corpus" / "papers_sample_40k.jsonl.gz"
    if not path.exists():
        yield from invented()
        return
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["title"] and row["abstract"] and row["authors"]:
                row["title"] = to_plain_text(row["title"])
                row["abstract"] = to_plain_text(row["abstract"])
                yield row


def invented() -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "en", "i", "or", "u")]
    words = ["".join(chance.choices(syllables, k=3)) for _ in range(20_000)]
    ranks = [1 / (rank + 10) for rank in range(len(words))]
    for _ in range(40_000):
        text = chance.choices(words, ranks, k=150)
        names = [" ".join(chance.choices(words, k=2)).title() for _ in range(4)]
        yield {
            "title": " ".join(text[:9]),
            "abstract": " ".join(text[9:]),
            "authors": names,
            "categories": [chance.choice(["cs.LG", "cs.CL", "math.AP"])],
        }


def find(query: str, times: list[float]) -> list[int]:
    start = time.perf_counter()
    result = search.find_papers(query)
    result.load_papers(0, 20)
    times.append(time.perf_counter() - start)
    return list(result.paper_ids)


def recall_titles(sample: list[Any], times: list[float]) -> int:
    return sum(find(title, times)[:1] == [pk] for pk, title, _ in sample[:TITLES])


def recall_authors(sample: list[Any], times: list[float]) -> int:
    """How many papers are found by the name of their first author; the paper is among all results."""
    rows = sample[TITLES : TITLES + AUTHORS]
    return sum(pk in find(authors[0], times) for pk, _, authors in rows)


def recall_misspelt(
    sample: list[Any], times: list[float], chance: random.Random
) -> int:
    """How many papers are among the first ten for four words of the title, the longest misspelt."""
    count, rows = 0, iter(sample[TITLES + AUTHORS :])
    for _ in range(MISSPELT):
        while True:
            pk, title, _ = next(rows)
            words = re.findall(r"[A-Za-z]{4,}", title)
            if len(words) >= 4 and max(map(len, words)) >= 7:
                break
        longest = max(words, key=len)
        chosen = sorted(words, key=len)[-4:]
        typo = misspell(longest, chance)
        query = " ".join(
            typo if word == longest else word for word in words if word in chosen
        )
        count += pk in find(query, times)[:10]
    return count


def misspell(word: str, chance: random.Random) -> str:
    """Swap two letters, drop one or double one, never the first."""
    place = chance.randrange(1, len(word) - 1)
    head, tail = word[:place], word[place:]
    match chance.randrange(3):
        case 0:
            return head + tail[1] + tail[0] + tail[2:]
        case 1:
            return head + tail[1:]
        case _:
            return head + tail[0] + tail


def topic_times(times: list[float]) -> Result:
    topics = list[float]()
    for _ in range(3):
        for query in TOPICS:
            find(query, topics)
    both = sorted([*times, *topics])
    return {
        "median_ms": statistics.median(both) * 1000,
        "p95_ms": both[int(len(both) * 0.95)] * 1000,
        "slowest_ms": both[-1] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(run()))
