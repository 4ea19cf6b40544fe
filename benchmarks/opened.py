"""What clicks tell: readers whose clicks on two interests are mixed with stray ones.

`python -m benchmarks.opened FOLDER` reads evaluation/interests_multi of the shared data.
Each reader has opened the five papers of each of two interests that the set says they
follow, and some papers drawn by chance; the ten that production chooses from that alone
are judged as the set judges them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from digest.ranking import clustering
from digest.ranking.evaluation import (
    DIGEST_LENGTH,
    RecordedPapers,
    RecordedReader,
    build_judge,
    ndcg,
    read_reader,
    read_rows,
)
from digest.ranking.lsa import Rows
from digest.ranking.relevance import InterestQuery
from digest.ranking.selection import Block, Slate, select

Groups = list[list[int]]
Whole = npt.NDArray[np.int64]

KINDS = 2  # reader_profiles.MAX_OPENED_GROUPS; that module needs Django
STRAY = (0, 5, 10, 20)


def apart(opened: Rows) -> Groups:
    """As production takes what was opened."""
    return clustering.group_opened(opened)[:KINDS]


def as_chosen(opened: Rows) -> Groups:
    """As production takes examples that a reader chose."""
    return clustering.group_examples(opened)


def together(opened: Rows) -> Groups:
    return [list(range(len(opened)))]


WAYS: dict[str, Callable[[Rows], Groups]] = {
    "kinds of three and more": apart,
    "as chosen examples": as_chosen,
    "one centre": together,
}


def read(folder: Path) -> RecordedPapers:
    return RecordedPapers(list(read_rows(folder / "papers.jsonl.gz")))


def measure(
    folder: Path, papers: RecordedPapers, stray: int, way: Callable[[Rows], Groups]
) -> tuple[float, float]:
    """Means over the set's readers: coverage@10, and ndcg@10."""
    chance, slate = np.random.default_rng(0), papers.slate()
    covered, gained = [], []
    for recorded in read_rows(folder / "readers.jsonl"):
        reader, judge = read_reader(papers, recorded), build_judge(papers, recorded)
        drawn = chance.choice(len(papers.ids), stray, replace=False)
        seen = np.array([*reader.follows, *drawn], np.int64)
        ten = _ten(papers, slate, reader, seen, way(papers.centered[seen]))
        covered.append(
            np.mean([bool(interest & set(ten)) for interest in judge.interests])
        )
        rest = np.setdiff1d(np.flatnonzero(reader.open), ten)
        grades = judge.grades[np.array([*ten, *rest], np.int64)]
        gained.append(ndcg(2**grades - 1, DIGEST_LENGTH))
    return float(np.mean(covered)), float(np.mean(gained))


def _ten(
    papers: RecordedPapers,
    slate: Slate,
    reader: RecordedReader,
    seen: Whole,
    groups: Groups,
) -> list[int]:
    """The digest of a reader of whom nothing else is known."""
    queries = [
        InterestQuery(
            "paper", str(i), examples=tuple(papers.texts[seen[k]] for k in group)
        )
        for i, group in enumerate(groups)
    ]
    matches = papers.match(queries)
    closed = np.flatnonzero(~reader.open).tolist()
    block = Block(
        csr_matrix([clustering.group_weights(groups)]), [closed], [DIGEST_LENGTH]
    )
    picks = select(slate, matches, block)[0]
    return [pick.candidate for pick in picks]


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    folder = arguments.parse_args().folder / "evaluation" / "interests_multi"
    papers = read(folder)
    for name, way in WAYS.items():
        for stray in STRAY:
            coverage, gain = measure(folder, papers, stray, way)
            print(f"| {name} | {stray} | {coverage:.3f} | {gain:.3f} |")
