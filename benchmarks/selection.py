"""What choosing costs a reader, and what the same choice costs done otherwise.

Invented texts and readers, no database. A reader follows ten topics and keywords out of
three hundred, and two groups of example papers that nobody shares.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC

from digest.ranking import vectors
from digest.ranking.relevance import MUTE_FROM, Field, PaperText, Wish
from digest.ranking.selection import Block, Slate, select

CANDIDATES = 1_500
READERS = 250  # a batch
SHARED = 300  # topics and keywords that a batch's readers have among them
FOLLOWS = 10  # a reader's
TASTES = 2  # groups of example papers of each reader
EXAMPLES = 5  # papers in a group
SENT = 100  # papers of the last fortnight's digests
LENGTH = 10
RUNS = 5
BY_LOOP, BY_SVM = 50, 5  # readers served the other ways; they are slow

Made = TypeVar("Made")
Result = dict[str, float | int]
Reals = npt.NDArray[np.float64]


def measure() -> dict[str, Result]:
    """Seconds and microseconds of one core's time."""
    chance = np.random.default_rng(0)
    papers = [_paper(chance) for _ in range(CANDIDATES)]
    model, fit = _timed(lambda: vectors.fit([paper.text for paper in papers]))
    rows, embed = _timed(lambda: model.embed([paper.text for paper in papers]))
    field, prepare = _timed(lambda: Field(papers, rows, model))
    papers = [
        replace(paper, vector=row.tobytes())  # as stored papers have theirs
        for paper, row in zip(papers, rows, strict=True)
    ]
    shared = [_wish(chance, papers, n) for n in range(SHARED)]
    found, evaluate = _timed(lambda: np.array([field.evaluate(w) for w in shared]))
    tastes = [_taste(chance, papers) for _ in range(READERS * TASTES)]
    liked, profile = _timed(lambda: np.array([field.evaluate(w) for w in tastes]))
    relevance = np.vstack([found, liked])
    slate, block = _slate(chance), _block(chance)
    mute_from = [MUTE_FROM["topic"]] * len(relevance)
    chosen = _best(lambda: select(slate, relevance, mute_from, block))
    loop = _best(lambda: _loop(slate, relevance, block)) / BY_LOOP
    svm = _svm(chance, rows)
    return {
        "selection": {
            "cpu_us_per_subscriber": chosen / READERS * 1e6,
            "ratio_to_loop": loop / (chosen / READERS),
            "ratio_to_svm": svm / ((chosen + profile) / READERS),
            "peak_mb": _peak(lambda: select(slate, relevance, mute_from, block)),
            "profile_us": profile / len(tastes) * 1e6,
            "interest_us": evaluate / SHARED * 1e6,
        },
        "ranking": {
            "seconds_per_day": embed + prepare,
            "fit_s": fit,
        },
    }


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.process_time()
    made = work()
    return made, time.process_time() - start


def _peak(work: Callable[[], object]) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def _best(work: Callable[[], object]) -> float:
    """Seconds of the quickest of some runs: the others waited for somebody else."""
    return min(_timed(work)[1] for _ in range(RUNS))


def _loop(slate: Slate, relevance: npt.NDArray[np.float32], block: Block) -> None:
    """The plain array loop: all of a reader's rows, sorted, nothing kept between readers."""
    for reader in range(BY_LOOP):
        _choose(slate, relevance, block, reader)


def _choose(
    slate: Slate, relevance: npt.NDArray[np.float32], block: Block, reader: int
) -> list[int]:
    """The best ten with the first three of each interest among them."""
    stance = block.weights[reader]
    found = relevance[stance.indices] * stance.data[:, None]
    found[:, block.sent[reader]] = -1
    scores = np.where(found >= 0.25, found + 0.15 * slate.trend, 0)
    best = np.maximum(scores.max(axis=0), slate.trend * 0.1)
    picked: dict[int, None] = {}
    for turn in range(3):
        for row in np.argsort(-scores, axis=1, kind="stable"):
            picked.setdefault(int(row[turn]))
    for column in np.lexsort((slate.ids, -best)):
        picked.setdefault(int(column))
    return list(picked)[:LENGTH]


def _svm(chance: np.random.Generator, rows: vectors.Rows) -> float:
    """Seconds a reader with a linear SVM trained for each on their ten examples."""
    marked = np.zeros(CANDIDATES)
    marked[chance.choice(CANDIDATES, TASTES * EXAMPLES, replace=False)] = 1

    def serve() -> None:
        for _ in range(BY_SVM):
            svm = LinearSVC(C=0.1, class_weight="balanced", random_state=0)
            scores = svm.fit(rows, marked).decision_function(rows)
            np.argsort(-scores)[:LENGTH]

    return _timed(serve)[1] / BY_SVM


def _words(chance: np.random.Generator, n: int) -> str:
    # Zipf's law, as words have it: a few everywhere, most of them rare.
    return " ".join(f"word{number}" for number in chance.zipf(1.3, n) % 20_000)


def _paper(chance: np.random.Generator) -> PaperText:
    authors = tuple(f"Given{a} Family{b}" for a, b in chance.integers(0, 999, (5, 2)))
    return PaperText(_words(chance, 9), _words(chance, 170), authors, ("cs.LG",))


def _wish(chance: np.random.Generator, papers: list[PaperText], number: int) -> Wish:
    """A topic with words and examples, or a word that some titles have."""
    paper = papers[int(chance.integers(len(papers)))]
    if number % 2:
        return Wish("keyword", f"word{chance.integers(20, 2_000)}")
    return Wish("topic", paper.title, examples=(paper,))


def _taste(chance: np.random.Generator, papers: list[PaperText]) -> Wish:
    group = chance.choice(len(papers), EXAMPLES, replace=False)
    return Wish("paper", "", examples=tuple(papers[i] for i in group))


def _slate(chance: np.random.Generator) -> Slate:
    none = np.zeros(CANDIDATES, np.int64)
    ids = np.arange(1, CANDIDATES + 1)
    trend, circle = chance.random(CANDIDATES), chance.integers(0, 1_000, CANDIDATES)
    return Slate(ids, trend, none, none, none.astype(bool), ids, circle)


def _block(chance: np.random.Generator) -> Block:
    stances = np.zeros((READERS, SHARED + READERS * TASTES))
    for reader in range(READERS):
        stances[reader, chance.choice(SHARED, FOLLOWS, replace=False)] = 1
        stances[reader, SHARED + reader * TASTES :][:TASTES] = 1
    sent = [
        chance.choice(CANDIDATES, SENT, replace=False).tolist() for _ in range(READERS)
    ]
    return Block(csr_matrix(stances), sent, [LENGTH] * READERS)
