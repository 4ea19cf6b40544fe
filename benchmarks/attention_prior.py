"""Measure the attention prior: recorded papers, ordered before they had any vote.

`python -m benchmarks.attention_prior FOLDER` reads the shared data: arXiv papers first listed from
June to September and in November and December 2025, and the votes that some of them got.
Each week's prior is learned from papers announced more than a week before; the model of
vectors is fitted on the papers before the first measured day.
"""

import argparse
import gzip
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from digest.ranking import attention_prior, lsa
from digest.ranking.attention_prior import SETTLED_DAYS, AttentionPrior, PastPapers
from digest.ranking.evaluation import bootstrap_mean, ndcg
from digest.ranking.lsa import Rows

Reals = npt.NDArray[np.float64]

SPANS = {
    "July and August": (date(2025, 7, 1), date(2025, 8, 31)),
    "September": (date(2025, 9, 1), date(2025, 9, 30)),
    "December": (date(2025, 12, 1), date(2025, 12, 23)),
}
WEEK = timedelta(days=7)
FEWEST, FEWEST_VOTED = 60, 5  # papers of a day, and those that got votes


@dataclass
class Recorded:
    """n papers in the order of their days: when first listed, by whom, their final votes."""

    days: list[date]
    authors: list[list[str]]
    votes: list[int]
    rows: Rows


def read(folder: Path, until: date = date.max) -> Recorded:
    """Papers of both recordings up to a day, each once, on the first day that lists it."""
    votes = _votes(folder / "hf_daily")
    rows_by_id: dict[str, tuple[date, str, dict[str, Any]]] = {}
    listed = (row for row in _listed(folder) if row[0] <= until)
    for day, paper in sorted(listed, key=lambda row: (row[0], row[1]["id"])):
        rows_by_id.setdefault(paper["id"], (day, paper["id"], paper))
    days, names, papers = zip(*rows_by_id.values(), strict=True)
    texts = [f"{p['title']}. {p['abstract']}" for p in papers]
    first = next(i for i, day in enumerate(days) if day >= SPANS["July and August"][0])
    model = lsa.fit_lsa(texts[:first][-10_000:])
    got = [votes.get(name, 0) for name in names]
    authors = [p["authors"] for p in papers]
    return Recorded(list(days), authors, got, model.embed(texts))


def _votes(folder: Path) -> dict[str, int]:
    """The last count of each paper."""
    last: dict[str, tuple[str, int]] = {}
    path = folder / "upvote_observations_to_2025-12.jsonl.gz"
    with gzip.open(path, "rt") as file:
        for seen in map(json.loads, file):
            now = (seen["observed_at"], seen["upvotes"])
            last[seen["id"]] = max(last.get(seen["id"], now), now)
    return {name: count for name, (_, count) in last.items()}


def _listed(folder: Path) -> Iterator[tuple[date, dict[str, Any]]]:
    with gzip.open(folder / "corpus" / "papers_sample_40k.jsonl.gz", "rt") as file:
        for paper in map(json.loads, file):
            if (paper["first_listed"] or "") >= "2025-06":
                yield date.fromisoformat(paper["first_listed"]), paper
    path = folder / "replay" / "raw_daily_dw-dengwei_2025-11_2025-12.tar.gz"
    with tarfile.open(path) as archive:
        for member in archive:
            for line in archive.extractfile(member) or ():
                paper = json.loads(line)
                paper["abstract"] = " ".join(paper["summary"].split())
                yield date.fromisoformat(Path(member.name).stem), paper


def measure(recorded: Recorded, begin: date, end: date) -> dict[str, list[Reals]]:
    """Of every order the measures of each day: ndcg@10, top5, auc."""
    measures_by_model: defaultdict[str, list[Reals]] = defaultdict(list)
    learned_on, learned = date.min, {}
    chance = np.random.default_rng(1)
    for day in sorted({day for day in recorded.days if begin <= day <= end}):
        if day - learned_on >= WEEK:
            learned_on, learned = day, _learned(_past(recorded, day))
        today = [i for i, other in enumerate(recorded.days) if other == day]
        votes = np.array([recorded.votes[i] for i in today], float)
        if len(today) < FEWEST or (votes > 0).sum() < FEWEST_VOTED or not learned:
            continue
        measures_by_model["by chance"].append(
            _measures(chance.random(len(today)), votes)
        )
        authors = [recorded.authors[i] for i in today]
        for name, model in learned.items():
            expected = model.predict(recorded.rows[today], authors)
            measures_by_model[name].append(_measures(np.array(expected), votes))
    return measures_by_model


def _learned(past: PastPapers) -> dict[str, AttentionPrior]:
    """Learn the whole prior, and one from each of its parts alone."""
    text = PastPapers(past.rows, [()] * len(past.votes), past.votes)
    who = PastPapers(past.rows * 0, past.authors, past.votes)
    parts = {"prior": past, "text alone": text, "authors alone": who}
    priors = {name: attention_prior.fit_prior(part) for name, part in parts.items()}
    return {name: learned for name, learned in priors.items() if learned}


def _past(recorded: Recorded, day: date) -> PastPapers:
    before = [
        i
        for i, other in enumerate(recorded.days)
        if other < day - timedelta(days=SETTLED_DAYS)
    ]
    return PastPapers(
        recorded.rows[before],
        [recorded.authors[i] for i in before],
        [recorded.votes[i] for i in before],
    )


def _measures(scores: Reals, votes: Reals) -> Reals:
    tie = np.random.default_rng(0).permutation(votes.size)
    ranked = votes[np.lexsort((tie, -scores))]
    best = min(5, int((votes > 0).sum()))
    top = np.mean(ranked[:best] >= np.sort(votes)[-best])
    voted = votes > 0
    hits = rankdata(scores)[voted].sum() - voted.sum() * (voted.sum() + 1) / 2
    auc = hits / (voted.sum() * (~voted).sum())
    return np.array([ndcg(np.log1p(ranked), 10), top, auc])


def table(recorded: Recorded, write: Callable[[str], object]) -> None:
    for span, (begin, end) in SPANS.items():
        for name, days in measure(recorded, begin, end).items():
            shown = [_shown(column) for column in np.array(days).T]
            write(f"| {span}, {len(days)} days | {name} | {' | '.join(shown)} |")


def _shown(values: Sequence[float]) -> str:
    mean, low, high = bootstrap_mean(np.array(values))
    return f"{mean:.3f} ({low:.3f}-{high:.3f})"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    print("| days | order | ndcg@10 | top5 | auc |")
    table(read(arguments.parse_args().folder), print)
