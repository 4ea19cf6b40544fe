"""Measure what selection costs a reader, beside two other ways of selecting.

Invented texts and readers, no database. A reader follows ten topics and keywords out of
three hundred, and two groups of example papers of their own. Papers have subjects,
so that an interest claims about as many of them as on recorded days: one or two in a
hundred (`claimed_share`).
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

from digest.ranking import lsa
from digest.ranking.interest_blocks import InterestBlocks
from digest.ranking.relevance import (
    EditionScorer,
    InterestQuery,
    Match,
    PaperText,
    mute_thresholds,
)
from digest.ranking.selection import MATCH_THRESHOLD, Block, Matches, Slate, select

CANDIDATES = 7_000  # of 14 days
READERS = 250  # a batch
SHARED = 300  # topics and keywords that a batch's readers have among them
FOLLOWS = 10  # a reader's
EXAMPLE_GROUPS = 2  # groups of example papers of each reader
EXAMPLES = 5  # papers in a group
SUBJECTS = 60  # of the papers; a fifth of a text is words of its subject
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
    papers = [_paper(chance, number % SUBJECTS) for number in range(CANDIDATES)]
    model, fit = _timed(lambda: lsa.fit_lsa([paper.text for paper in papers]))
    rows, embed = _timed(lambda: model.embed([paper.text for paper in papers]))
    # Vectors are stored: a day computes those of its new papers.
    _, embed_day = _timed(lambda: model.embed([p.text for p in papers[::14]]))
    scorer, prepare = _timed(lambda: _prepare(papers, rows, model))
    papers = [
        replace(paper, vector=row.tobytes())  # as stored papers have theirs
        for paper, row in zip(papers, rows, strict=True)
    ]
    shared = [_make_query(chance, papers, n) for n in range(SHARED)]
    scored, evaluate = _timed(lambda: [scorer.evaluate(query) for query in shared])
    groups = [_make_group(chance, papers) for _ in range(READERS * EXAMPLE_GROUPS)]
    liked, profile = _timed(lambda: [scorer.evaluate(query) for query in groups])
    matches = _stack(shared + groups, scored + liked)
    personal = _measure_personal(chance, scorer, groups)
    chosen = _choosing(chance, matches)
    per_reader = chosen["cpu_us_per_subscriber"] / 1e6 + profile / READERS
    return {
        "selection": {
            **chosen,
            "ratio_to_svm": _svm(chance, rows) / per_reader,
            "profile_us": profile / len(groups) * 1e6,
            "interest_us": evaluate / SHARED * 1e6,
            **personal,
        },
        "ranking": {
            "seconds_per_day": embed_day + prepare,
            "embed_all_s": embed,
            "fit_s": fit,
        },
    }


def _measure_personal(
    chance: np.random.Generator, scorer: EditionScorer, groups: list[InterestQuery]
) -> Result:
    """Microseconds a personal interest, evaluated in blocks: a search, and a group of examples."""
    blocks = InterestBlocks(scorer)
    searches = [_make_search(chance, n % SUBJECTS) for n in range(READERS)]
    prepared = {
        "personal_interest_us.search": [blocks.prepare(query) for query in searches],
        "personal_interest_us.group": [blocks.prepare(query) for query in groups],
    }
    return {
        key: _best(lambda queries=queries: blocks.evaluate(queries))
        / len(queries)
        * 1e6
        for key, queries in prepared.items()
    }


def _prepare(
    papers: list[PaperText], rows: lsa.Rows, model: lsa.LsaModel
) -> EditionScorer:
    scorer = EditionScorer(papers, rows, model)
    scorer.near_duplicates()
    scorer.author_groups()
    return scorer


def _stack(queries: list[InterestQuery], rows: list[Match]) -> Matches:
    relevance = np.stack([row.relevance for row in rows])
    claimed = np.stack([row.claimed for row in rows])
    return Matches(relevance, claimed, mute_thresholds(queries))


def _choosing(chance: np.random.Generator, matches: Matches) -> Result:
    """Measure what a block costs a reader, for the readers above and for other kinds."""
    slate, block = _slate(chance), _block(chance)
    half = [(LENGTH // 2, LENGTH)] * READERS

    def cost(block: Block) -> float:
        run = _best(lambda: select(slate, matches, block))
        return run / READERS * 1e6

    plain = cost(block)
    loop = _best(lambda: _loop(slate, matches.relevance, block)) / BY_LOOP * 1e6
    return {
        "cpu_us_per_subscriber": plain,
        "half_trending_us": cost(replace(block, trending=half)),
        "two_topics_us": cost(replace(block, weights=_few(chance, block))),
        "two_mutes_us": cost(replace(block, weights=_muting(chance, block))),
        "claimed_share": float(matches.claimed.mean()),
        "matching_share": float((matches.relevance >= MATCH_THRESHOLD).mean()),
        "ratio_to_loop": loop / plain,
        "peak_mb": _peak(lambda: select(slate, matches, block)),
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
    """Return the seconds of the fastest run, which waited least for other processes."""
    return min(_timed(work)[1] for _ in range(RUNS))


def _loop(slate: Slate, relevance: npt.NDArray[np.float32], block: Block) -> None:
    """The plain array loop: all of a reader's rows, sorted, nothing kept between readers."""
    for reader in range(BY_LOOP):
        _choose(slate, relevance, block, reader)


def _choose(
    slate: Slate, relevance: npt.NDArray[np.float32], block: Block, reader: int
) -> list[int]:
    """The best ten with the first three of each interest among them."""
    weights = block.weights[reader]
    scored = relevance[weights.indices] * weights.data[:, None]
    scored[:, block.sent[reader]] = -1
    scores = np.where(scored >= 0.25, scored + 0.15 * slate.trend, 0)
    best = np.maximum(scores.max(axis=0), slate.trend * 0.1)
    picked: dict[int, None] = {}
    for turn in range(3):
        for row in np.argsort(-scores, axis=1, kind="stable"):
            picked.setdefault(int(row[turn]))
    for column in np.lexsort((slate.ids, -best)):
        picked.setdefault(int(column))
    return list(picked)[:LENGTH]


def _svm(chance: np.random.Generator, rows: lsa.Rows) -> float:
    """Seconds a reader with a linear SVM trained for each on their ten examples."""
    marked = np.zeros(CANDIDATES)
    marked[chance.choice(CANDIDATES, EXAMPLE_GROUPS * EXAMPLES, replace=False)] = 1

    def serve() -> None:
        for _ in range(BY_SVM):
            svm = LinearSVC(C=0.1, class_weight="balanced", random_state=0)
            scores = svm.fit(rows, marked).decision_function(rows)
            np.argsort(-scores)[:LENGTH]

    return _timed(serve)[1] / BY_SVM


def _words(chance: np.random.Generator, n: int, subject: int) -> str:
    # Zipf's law, as words have it: a few everywhere, most of them rare.
    numbers, is_special = chance.zipf(1.3, n) % 20_000, chance.random(n) < 0.2
    return " ".join(
        f"subject{subject}word{number % 200}" if special else f"word{number}"
        for number, special in zip(numbers, is_special, strict=True)
    )


def _paper(chance: np.random.Generator, subject: int) -> PaperText:
    authors = tuple(f"Given{a} Family{b}" for a, b in chance.integers(0, 999, (5, 2)))
    title, abstract = (_words(chance, n, subject) for n in (9, 170))
    return PaperText(title, abstract, authors, ("cs.LG",))


def _make_query(
    chance: np.random.Generator, papers: list[PaperText], number: int
) -> InterestQuery:
    """A topic with words and examples, or a word that some titles have."""
    paper = papers[int(chance.integers(len(papers)))]
    if number % 2:
        return InterestQuery("keyword", f"word{chance.integers(20, 2_000)}")
    return InterestQuery("topic", paper.title, examples=(paper,))


def _make_group(chance: np.random.Generator, papers: list[PaperText]) -> InterestQuery:
    subject = range(int(chance.integers(SUBJECTS)), len(papers), SUBJECTS)
    group = chance.choice(subject, EXAMPLES, replace=False)
    return InterestQuery("paper", "", examples=tuple(papers[i] for i in group))


def _make_search(chance: np.random.Generator, subject: int) -> InterestQuery:
    """Three words of a subject and two others, none of them among the most frequent."""
    special, others = chance.integers(3, 50, 3), chance.integers(20, 2_000, 2)
    words = [f"subject{subject}word{number}" for number in special]
    return InterestQuery("search", " ".join([*words, *(f"word{n}" for n in others)]))


def _slate(chance: np.random.Generator) -> Slate:
    none = np.zeros(CANDIDATES, np.int64)
    ids = np.arange(1, CANDIDATES + 1)
    trend, circle = chance.random(CANDIDATES), chance.integers(0, 1_000, CANDIDATES)
    return Slate(ids, trend, none, none, none.astype(bool), ids, circle)


def _few(chance: np.random.Generator, block: Block) -> csr_matrix:
    """Readers who follow two topics or words and no papers."""
    follows = np.zeros(block.weights.shape, bool)
    for row in follows:
        row[chance.choice(SHARED, 2, replace=False)] = True
    return csr_matrix(follows.astype(float))


def _muting(chance: np.random.Generator, block: Block) -> csr_matrix:
    """The same readers, each with two mutes of topics or words besides."""
    weights = block.weights.toarray()
    for row in weights:
        row[chance.choice(np.flatnonzero(row[:SHARED] == 0), 2, replace=False)] = -1
    return csr_matrix(weights)


def _block(chance: np.random.Generator) -> Block:
    weights = np.zeros((READERS, SHARED + READERS * EXAMPLE_GROUPS))
    for reader in range(READERS):
        weights[reader, chance.choice(SHARED, FOLLOWS, replace=False)] = 1
        weights[reader, SHARED + reader * EXAMPLE_GROUPS :][:EXAMPLE_GROUPS] = 1
    sent = [
        chance.choice(CANDIDATES, SENT, replace=False).tolist() for _ in range(READERS)
    ]
    return Block(csr_matrix(weights), sent, [LENGTH] * READERS)
