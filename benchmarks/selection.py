"""How long an edition takes to prepare, an interest to evaluate, a block of readers to serve.

Invented texts and readers, no database: what selection itself costs.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_matrix

from digest.ranking import vectors
from digest.ranking.relevance import MUTE_FROM, Field, PaperText, Wish
from digest.ranking.selection import Block, Slate, select

CANDIDATES = 2_000  # the most that an edition holds
READERS = 250  # a batch
INTERESTS = 500  # that a batch's readers have among them
FOLLOWS = 5  # a reader's

Made = TypeVar("Made")
Result = dict[str, float | int]


def measure() -> dict[str, Result]:
    """Seconds and readers a second, on one core."""
    chance = np.random.default_rng(0)
    papers = [_paper(chance) for _ in range(CANDIDATES)]
    model, fit = _timed(lambda: vectors.fit([paper.text for paper in papers]))
    rows, embed = _timed(lambda: model.embed([paper.text for paper in papers]))
    field, prepare = _timed(lambda: Field(papers, rows, model))
    wishes = [_wish(chance, papers, n) for n in range(INTERESTS)]
    found, evaluate = _timed(
        lambda: np.array([field.evaluate(wish) for wish in wishes])
    )
    mute_from = [MUTE_FROM[wish.kind] for wish in wishes]
    slate, block = _slate(chance), _block(chance)
    _, choose = _timed(lambda: select(slate, found, mute_from, block))
    return {
        "edition": {
            "candidates": CANDIDATES,
            "fit_s": fit,
            "embed_s": embed,
            "prepare_s": prepare,
        },
        "interests": {"interests": INTERESTS, "each_ms": evaluate / INTERESTS * 1000},
        "selection": {
            "readers": READERS,
            "each_us": choose / READERS * 1e6,
            "readers_per_s": READERS / choose,
        },
    }


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.perf_counter()
    made = work()
    return made, time.perf_counter() - start


def _words(chance: np.random.Generator, n: int) -> str:
    # Zipf's law, as words have it: a few everywhere, most of them rare.
    return " ".join(f"word{number}" for number in chance.zipf(1.3, n) % 20_000)


def _paper(chance: np.random.Generator) -> PaperText:
    authors = tuple(f"Given{a} Family{b}" for a, b in chance.integers(0, 999, (5, 2)))
    return PaperText(_words(chance, 9), _words(chance, 170), authors, ("cs.LG",))


def _wish(chance: np.random.Generator, papers: list[PaperText], number: int) -> Wish:
    kind = list(MUTE_FROM)[number % len(MUTE_FROM)]
    paper = papers[int(chance.integers(len(papers)))]
    value = {"author": paper.authors[0], "category": "cs.LG"}.get(kind, paper.title)
    return Wish(kind, value, examples=(paper,) if kind in ("paper", "topic") else ())


def _slate(chance: np.random.Generator) -> Slate:
    none = np.zeros(CANDIDATES, np.int64)
    ids = np.arange(1, CANDIDATES + 1)
    return Slate(
        ids, chance.random(CANDIDATES), none, none, none.astype(bool), ids, ids
    )


def _block(chance: np.random.Generator) -> Block:
    weights = random_matrix(
        READERS, INTERESTS, FOLLOWS / INTERESTS, "csr", random_state=0
    )
    weights.data = np.where(chance.random(weights.data.size) < 0.1, -1.0, 1.0)
    sent = [
        chance.choice(CANDIDATES, 100, replace=False).tolist() for _ in range(READERS)
    ]
    return Block(csr_matrix(weights), sent, [10] * READERS)
