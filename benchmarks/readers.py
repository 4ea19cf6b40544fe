"""`python -m benchmarks.readers run FOLDER`: readers over recorded days, to be judged blind.

Runs the service on recorded days of the shared data, mails included, and ranks the same
candidates by TF-IDF under the same rule that no paper comes twice. Writes to FOLDER:

- `sheet.txt`: what each reader follows, then the picks of both rankers of all judged days
  in random order, each once, without its ranker, day, place or reason;
- `key.json`: the hidden columns;
- `reasons.txt`: every pick of the service with its reason.

A person grades the sheet into `grades.txt`, one "NUMBER GRADE" a line: y (on topic), n, or
? (unsure). `python -m benchmarks.readers count FOLDER` prints the share on topic by day.
`--first DAY` and `--readers SET` choose other days and readers; `--graded FOLDER` takes
over the grades of an earlier run, so that only new picks have to be read.
"""

import argparse
import gzip
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
from django.conf import settings
from django.core.management import call_command
from django.db import connection

import tests.environment  # noqa: F401  PostgreSQL, and Django on it
from accounts.models import Subscriber
from digest import follows, tasks
from digest.ingest import run_source
from digest.models import AttentionSample, Digest, Edition, Paper
from digest.ranking import edition_index, rank_edition
from digest.ranking.bm25 import TermIndex
from digest.reasons import explain_picks
from digest.text.tokens import content_words
from tests import make, replay
from tests.conftest import DATA

PRODUCT, BASELINE = "product", "TF-IDF"
FIRST_DAY = "2025-12-03"
# Recorded days: papers alone, then with readers.
WARM_UP_DAYS, JUDGED_DAYS = 8, 5
DIGEST_LENGTH = 10
SHEET_ABSTRACT_CHARS = 300
# What each follows. Examples are the first papers with the words in the title, the author
# is the most frequent one; both are looked up among the days before.
EXAMPLES_PER_TITLE = 5
READERS: dict[str, dict[str, list[tuple[str, str]]]] = {
    "first": {
        "safety": [("topic", "interpretability"), ("topic", "security")],
        "translation": [
            ("search", "machine translation of low resource languages"),
            ("keyword", "multilingual"),
        ],
        "medicine": [
            ("paper", "medical image segmentation"),
            ("paper", "radiology"),
            ("keyword", "MRI"),
        ],
        "agents": [
            ("category", "cs.AI"),
            ("keyword", "planning"),
            ("keyword", "knowledge graph"),
        ],
        "driving": [
            ("paper", "autonomous driving"),
            ("keyword", "lidar"),
            ("author", ""),
        ],
        "graphics": [("topic", "3d"), ("keyword", "avatar"), ("mute", "benchmark")],
    },
    "second": {
        "earth": [("paper", "remote sensing"), ("keyword", "satellite")],
        "documents": [
            ("search", "document understanding and OCR"),
            ("keyword", "table"),
        ],
        "speech": [("topic", "speech"), ("keyword", "talking head")],
        "law": [("category", "cs.CL"), ("keyword", "legal"), ("keyword", "bias")],
        "robots": [("topic", "robotics"), ("paper", "manipulation")],
        "molecules": [
            ("keyword", "protein"),
            ("search", "language models for chemistry and materials"),
        ],
    },
}

Interests = dict[str, list[tuple[str, str]]]
Vote = tuple[datetime, str, int]


@dataclass(frozen=True)
class JudgedPick:
    """A pick of one ranker; `place` counts from 1."""

    reader: str
    paper: str
    ranker: str
    day: str
    place: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.readers")
    parser.add_argument("command", choices=["run", "count"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST_DAY)
    parser.add_argument("--readers", choices=READERS, default="first")
    parser.add_argument("--graded", type=Path, help="An earlier run's folder.")
    arguments = parser.parse_args()
    if arguments.command == "run":
        arguments.folder.mkdir(parents=True, exist_ok=True)
        graded = load_grades(arguments.graded) if arguments.graded else {}
        interests = READERS[arguments.readers]
        replay_days(arguments.folder, arguments.first, interests, graded)
    else:
        print_shares(arguments.folder)


def replay_days(
    folder: Path, first: date, interests: Interests, graded: dict[tuple[str, str], str]
) -> None:
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE digest_paper, digest_topic, accounts_subscriber CASCADE"
        )
    call_command("loaddata", "topics", verbosity=0)
    archive = DATA / "replay" / "raw_daily_dw-dengwei_2025-11_2025-12.tar.gz"
    days = [feed for feed in replay.recorded_feeds(archive) if feed[0] >= first]
    counted, readers = list(read_votes()), dict[str, Subscriber]()
    picks: list[JudgedPick] = []
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        settings.MAIL_DIR = Path(temporary) / "mail"
        for n, (day, document) in enumerate(days[: WARM_UP_DAYS + JUDGED_DAYS]):
            morning = datetime.combine(day, time(9), UTC)
            ingest_day(document, counted, morning, Path(temporary))
            edition = rank_edition.rank_edition(day, morning)
            if n >= WARM_UP_DAYS and edition:
                readers = readers or {
                    name: subscribe(name, wanted) for name, wanted in interests.items()
                }
                tasks.send_edition(edition, None, morning + timedelta(hours=1))
                reasons += list_reasons(edition, readers)
                picks += pick_by_product(edition, readers)
                picks += pick_by_tfidf(edition, readers, picks)
    (folder / "reasons.txt").write_text("\n".join(reasons) + "\n")
    write_sheet(folder, picks, readers, graded)


def ingest_day(
    document: bytes, counted: list[Vote], morning: datetime, folder: Path
) -> None:
    """Ingest a day's listing, and the votes that its papers and earlier ones have that morning."""
    file = folder / f"{morning:%Y-%m-%d}.xml"
    file.write_bytes(document)
    run_source.ingest_documents([file], morning)
    papers = Paper.objects.in_bulk(field_name="identifier")
    latest = {
        name: (at, value)
        for at, name, value in counted
        if at <= morning and name in papers
    }
    for name, (at, value) in latest.items():
        sample = {"paper": papers[name], "source": "huggingface", "kind": "upvotes"}
        AttentionSample.objects.get_or_create(
            **sample, at=at, defaults={"value": value}
        )
        Paper.objects.filter(identifier=name).update(votes=value)


def read_votes() -> Iterator[Vote]:
    """What Hugging Face counted, in the order of time."""
    path = DATA / "hf_daily" / "upvote_observations_to_2025-12.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in sorted(rows, key=lambda row: (row["observed_at"], row["id"])):
        if row["upvotes"] is not None:
            yield datetime.fromisoformat(row["observed_at"]), row["id"], row["upvotes"]


def subscribe(name: str, interests: list[tuple[str, str]]) -> Subscriber:
    reader = make.subscriber(f"{name}@example.org")
    for kind, wanted in interests:
        for value in look_up_values(kind, wanted):
            follow = (
                follows.follow(reader, "keyword", value, weight=-1)
                if kind == "mute"
                else follows.follow(reader, kind, value)
            )
            assert follow, f"{kind} {value!r} cannot be followed"
    return reader


def look_up_values(kind: str, wanted: str) -> list[str]:
    papers = Paper.objects.order_by("announced_on", "pk")
    if kind == "paper":
        liked = papers.filter(title__icontains=wanted)[:EXAMPLES_PER_TITLE]
        return list(liked.values_list("identifier", flat=True))
    if kind == "author":
        lists = papers.values_list("authors", flat=True)
        names = Counter(name for authors in lists for name in authors)
        return [min(names, key=lambda name: (-names[name], name))]
    return [wanted]


def list_reasons(edition: Edition, readers: dict[str, Subscriber]) -> Iterator[str]:
    for name, reader in readers.items():
        picks = Digest.objects.get(subscriber=reader, edition=edition).picks
        yield f"\n{edition.day} {name}"
        for pick in explain_picks(picks):
            paper = pick.candidate.paper
            yield f"{pick.number}. {paper.title} [{paper.primary}, {paper.announced_on}]"
            yield f"   {pick.reason.text}\n   {paper.abstract[:SHEET_ABSTRACT_CHARS]}"


def pick_by_product(
    edition: Edition, readers: dict[str, Subscriber]
) -> Iterator[JudgedPick]:
    for name, reader in readers.items():
        picks = Digest.objects.get(subscriber=reader, edition=edition).picks
        for pick in explain_picks(picks):
            identifier = pick.candidate.paper.identifier
            yield JudgedPick(name, identifier, PRODUCT, str(edition.day), pick.number)


def pick_by_tfidf(
    edition: Edition, readers: dict[str, Subscriber], earlier: list[JudgedPick]
) -> Iterator[JudgedPick]:
    """Pick by TF-IDF cosine to the centroid of all texts that a reader follows."""
    rows = edition.candidates.order_by("pk").select_related("paper")
    papers = [row.paper for row in rows]
    index = TermIndex([content_words(f"{p.title}. {p.abstract}") for p in papers])
    for name, reader in readers.items():
        followed = [f.interest for f in reader.follows.filter(weight__gt=0)]
        queries = edition_index.build_queries(followed)
        texts = [
            text
            for query in queries
            for text in ([e.text for e in query.examples] or [query.text])
            if query.kind not in ("category", "author")
        ]
        own = {f.value for f in followed} | {
            p.paper for p in earlier if (p.reader, p.ranker) == (name, BASELINE)
        }
        scores = index.centroid_cosine(texts)
        order = [papers[i].identifier for i in np.argsort(-scores, kind="stable")]
        best = [identifier for identifier in order if identifier not in own]
        for place, identifier in enumerate(best[:DIGEST_LENGTH], start=1):
            yield JudgedPick(name, identifier, BASELINE, str(edition.day), place)


def write_sheet(
    folder: Path,
    picks: list[JudgedPick],
    readers: dict[str, Subscriber],
    graded: dict[tuple[str, str], str],
) -> None:
    pairs = sorted({(pick.reader, pick.paper) for pick in picks})
    random.Random(0).shuffle(pairs)
    numbers = {pair: number for number, pair in enumerate(pairs, start=1)}
    papers = Paper.objects.in_bulk([p for _, p in pairs], field_name="identifier")
    lines: list[str] = []
    for name, reader in readers.items():
        lines.append(f"\n=== {name}")
        followed = [f.interest for f in reader.follows.select_related("interest")]
        examples = Paper.objects.filter(identifier__in=[i.value for i in followed])
        titles = dict(examples.values_list("identifier", "title"))
        lines += [f"{i.kind} {titles.get(i.value, i.value)}" for i in followed]
        authors = {i.value for i in followed if i.kind == "author"}
        for reader_name, identifier in pairs:
            pair = reader_name, identifier
            if reader_name == name and pair not in graded:
                lines += describe_paper(numbers[pair], papers[identifier], authors)
    (folder / "sheet.txt").write_text("\n".join(lines) + "\n")
    key = [asdict(p) | {"number": numbers[p.reader, p.paper]} for p in picks]
    (folder / "key.json").write_text(json.dumps(key, indent=1) + "\n")
    grades = [f"{n} {graded[pair]}\n" for pair, n in numbers.items() if pair in graded]
    (folder / "grades.txt").write_text("".join(grades))


def describe_paper(number: int, paper: Paper, authors: set[str]) -> Iterator[str]:
    by = ", ".join(sorted(authors.intersection(paper.authors)))
    yield f"{number}. {paper.title} [{' '.join(paper.categories)}]{by and f' by {by}'}"
    yield f"   {paper.abstract[:SHEET_ABSTRACT_CHARS]}"


def load_grades(folder: Path) -> dict[tuple[str, str], str]:
    """Read the grades of a run by reader and paper."""
    lines = (folder / "grades.txt").read_text().split("\n")
    grades = dict(line.split() for line in lines if line)
    key = json.loads((folder / "key.json").read_text())
    return {
        (row["reader"], row["paper"]): grades[str(row["number"])]
        for row in key
        if str(row["number"]) in grades
    }


def print_shares(folder: Path) -> None:
    """Print by day and by reader how many picks of each ranker are on topic."""
    grades = load_grades(folder)
    key = json.loads((folder / "key.json").read_text())
    for column in ("day", "reader"):
        table: dict[str, dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        for row in key:
            grade = grades[row["reader"], row["paper"]]
            table[row[column]][row["ranker"]][grade] += 1
        for name, rankers in table.items():
            cells = [
                f"{ranker} {counts['y']} of {counts.total()} (unsure {counts['?']})"
                for ranker, counts in rankers.items()
            ]
            print(f"{name:12} {' · '.join(cells)}")
        print()


if __name__ == "__main__":
    main()
