"""`python -m benchmarks.readers`: six made-up readers over recorded days, for a person to judge.

Runs the service on days of the shared data, mails included, and prints every pick of the
last five with its reason and the beginning of its abstract. Judgements are in
docs/experiments/.
"""

import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

import tests.environment  # noqa: F401  PostgreSQL, and Django on it
from accounts.models import Subscriber
from digest import follows, tasks
from digest.ingest import run_source
from digest.models import AttentionSample, Digest, Edition, Paper
from digest.ranking import rank_edition
from digest.reasons import explain_picks
from tests import make, replay
from tests.conftest import DATA

FIRST = date(2025, 11, 21)
WARM, JUDGED = 8, 5  # recorded days: papers alone, then with readers
SHOWN = 260  # characters of an abstract
# What each follows. Examples are the first four papers with the words in the title, the
# author is the most frequent one; both are looked up among the days before.
READERS: dict[str, list[tuple[str, str]]] = {
    "topics": [
        ("topic", "interpretability"),
        ("topic", "speech"),
        ("topic", "security"),
    ],
    "pictures": [
        ("keyword", "gaussian splatting"),
        ("keyword", "video diffusion"),
        ("topic", "3d"),
    ],
    "searches": [
        ("search", "retrieval augmented generation for question answering"),
        ("search", "machine translation of low resource languages"),
    ],
    "examples": [
        ("paper", "pathology"),
        ("paper", "autonomous driving"),
        ("keyword", "ultrasound"),
    ],
    "agents": [("topic", "agents"), ("category", "cs.AI"), ("mute", "benchmark")],
    "names": [
        ("author", ""),
        ("keyword", "tokenization"),
        ("search", "detecting deepfakes and generated images"),
    ],
}

Vote = tuple[datetime, str, int]


def main() -> None:
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE digest_paper, digest_topic, accounts_subscriber CASCADE"
        )
    call_command("loaddata", "topics", verbosity=0)
    archive = DATA / "replay" / "raw_daily_dw-dengwei_2025-11_2025-12.tar.gz"
    days = [feed for feed in replay.recorded_feeds(archive) if feed[0] >= FIRST]
    counted, readers = list(votes()), dict[str, Subscriber]()
    with tempfile.TemporaryDirectory() as folder:
        settings.MAIL_DIR = Path(folder) / "mail"
        for n, (day, document) in enumerate(days[: WARM + JUDGED]):
            morning = datetime.combine(day, time(9), UTC)
            take_in(document, counted, morning, Path(folder))
            edition = rank_edition.rank_edition(day, morning)
            if n >= WARM and edition:
                readers = readers or {name: subscribe(name) for name in READERS}
                tasks.send_edition(edition, None, morning + timedelta(hours=1))
                show(edition, readers)


def take_in(
    document: bytes, counted: list[Vote], morning: datetime, folder: Path
) -> None:
    """A day's listing, and the votes that its papers and the earlier ones have that morning."""
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


def votes() -> Iterator[Vote]:
    """What Hugging Face counted, in the order of time."""
    path = DATA / "hf_daily" / "upvote_observations_to_2025-12.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in sorted(rows, key=lambda row: (row["observed_at"], row["id"])):
        if row["upvotes"] is not None:
            yield datetime.fromisoformat(row["observed_at"]), row["id"], row["upvotes"]


def subscribe(name: str) -> Subscriber:
    reader = make.subscriber(f"{name}@example.org")
    for kind, wanted in READERS[name]:
        for value in values(kind, wanted):
            follow = (
                follows.follow(reader, "keyword", value, weight=-1)
                if kind == "mute"
                else follows.follow(reader, kind, value)
            )
            assert follow, f"{kind} {value!r} cannot be followed"
            print(f"{name}: {follow.interest}")
    return reader


def values(kind: str, wanted: str) -> list[str]:
    papers = Paper.objects.order_by("announced_on", "pk")
    if kind == "paper":
        liked = papers.filter(title__icontains=wanted)[:4]
        return list(liked.values_list("identifier", flat=True))
    if kind == "author":
        lists = papers.values_list("authors", flat=True)
        names = Counter(name for authors in lists for name in authors)
        return [min(names, key=lambda name: (-names[name], name))]
    return [wanted]


def show(edition: Edition, readers: dict[str, Subscriber]) -> None:
    for name, reader in readers.items():
        picks = Digest.objects.get(subscriber=reader, edition=edition).picks
        print(f"\n{edition.day} {name}")
        for pick in explain_picks(picks):
            paper = pick.candidate.paper
            print(
                f"{pick.number}. {paper.title} [{paper.primary}, {paper.announced_on}]"
            )
            print(f"   {pick.reason.text}\n   {paper.abstract[:SHOWN]}")


if __name__ == "__main__":
    main()
