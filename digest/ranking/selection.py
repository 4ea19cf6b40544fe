"""Selection: which papers each reader of a block gets, and the interest each is for.

Precedence: already sent > reader's mute > hide > pin > boost > score. A paper's score is
the best of the reader's interests, not their sum: a paper that is exactly one of them is
worth more than one that is a little of each, and the best one is also the reason.
Scores are whole numbers before they are compared, ties go by (trend, id), and a row is
computed from its reader alone, so that nobody's picks depend on who else is in the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Whole = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SCALE = 10_000  # steps of a score from 0 to 1; finer differences are noise
# A match below it may be chance: the paper may still come for its trend, but no mail
# claims an interest for it. Read by hand from the sample's days, where every match above
# it was right and more than half of those below were not.
CLAIMED_FROM = 0.25
TREND_PRIOR = 0.15  # what the most trending paper gains on an equally relevant one
PUSH_DOWN = 0.5  # of the match with a muted interest, where it is not enough to mute
MOST_PINS = 3
# So many papers of each interest come first where they are at least so relevant: else an
# interest that matches thirty papers would leave no place for a rarer one.
GUARANTEED = 2
REPRESENTED_FROM = int(0.25 * SCALE)
TRENDING = -1  # in the place of an interest: picked for its trend, or pinned


class Choice(NamedTuple):
    """A candidate's index, and the index of the interest it is for, or TRENDING."""

    candidate: int
    interest: int


@dataclass(frozen=True)
class Slate:
    """The n candidates of an edition: arrays [n]; `pin` is 0 where there is none."""

    ids: Whole
    trend: Reals
    boost: Whole
    pin: Whole
    hidden: Flags


@dataclass(frozen=True)
class Block:
    """R readers and the I interests that any of them has, in the order of their ids.

    `weights` [R, I]: positive follows, negative mutes. `sent`: per reader the indices of
    candidates that were mailed already. `lengths`: at most so many picks.
    """

    weights: csr_matrix
    sent: Sequence[Sequence[int]]
    lengths: Sequence[int]


def select(
    slate: Slate,
    relevance: npt.NDArray[np.float32],
    mute_from: Sequence[float],
    block: Block,
) -> list[list[Choice]]:
    """The picks of every reader, in the order of the mail.

    `relevance` is [I, n] in [0, 1]; `mute_from` [I] says from which relevance a negative
    weight takes a paper away. Pins lead; then the reader's relevant papers; the trending
    ones fill what is left.
    """
    table = _Table(slate, relevance, np.asarray(mute_from, np.float64))
    weights = csr_matrix(block.weights)
    weights.sort_indices()
    rows = pairwise(weights.indptr)
    return [
        table.choose(
            weights.indices[start:end].astype(np.int64),
            weights.data[start:end],
            sent,
            length,
        )
        for (start, end), sent, length in zip(
            rows, block.sent, block.lengths, strict=True
        )
    ]


class _Table:
    """The candidates sorted by (trend, id), so that an earlier column wins a tie."""

    def __init__(
        self, slate: Slate, relevance: npt.NDArray[np.float32], mute_from: Reals
    ) -> None:
        self.trend = whole(slate.trend)
        self.order = np.lexsort((slate.ids, -self.trend))
        self.place = np.empty_like(self.order)
        self.place[self.order] = np.arange(self.order.size)
        self.trend = self.trend[self.order]
        self.prior = whole(slate.trend * TREND_PRIOR)[self.order]
        self.boost = slate.boost[self.order]
        self.open = ~slate.hidden[self.order]
        self.pins = _pins(slate.pin[self.order])
        self.relevance = relevance[:, self.order].astype(np.float64)
        claimed = self.relevance >= CLAIMED_FROM
        self.claims = np.where(claimed, self.relevance, 0.0)
        self.mute_from = whole(mute_from)

    def choose(
        self, interests: Whole, weights: Reals, sent: Sequence[int], length: int
    ) -> list[Choice]:
        """One reader's picks; `interests` ascend."""
        liked, disliked = weights > 0, weights < 0
        free, push = self._left(interests[disliked], -weights[disliked], sent)
        follows = interests[liked]
        matches = self._matches(follows, weights[liked])
        best = matches.max(axis=0, initial=0)
        keys = self._keys(best, push)
        picked = [c for c in self.pins if free[c]][:length]
        free[picked] = False
        rest = self._represent(matches, push, free, length - len(picked))
        free[rest] = False
        rest += _top(keys, free, length - len(picked) - len(rest))
        picked += sorted(rest, key=lambda c: (-keys[c], c))
        return [
            Choice(
                int(self.order[c]), _winner(follows, matches[:, c], best[c] - push[c])
            )
            for c in picked
        ]

    def _left(
        self, muted: Whole, weights: Reals, sent: Sequence[int]
    ) -> tuple[Flags, Whole]:
        """What is not sent, muted or hidden, and how far mutes push down the others."""
        free = self.open.copy()
        free[self.place[list(sent)]] = False
        if not muted.size:
            return free, np.zeros(free.shape, np.int64)
        found = self.relevance[muted]
        free &= ~(whole(found) >= self.mute_from[muted][:, None]).any(axis=0)
        return free, whole(found * weights[:, None] * PUSH_DOWN).max(axis=0)

    def _matches(self, follows: Whole, weights: Reals) -> Whole:
        return whole(self.claims[follows] * weights[:, None])

    def _keys(self, match: Whole, push: Whole) -> Whole:
        """One whole number to sort by: relevant before trending, then boost, then score."""
        relevant = match > push
        score = np.where(relevant, match + self.prior, self.trend) - push
        return (relevant * 8 + self.boost + 4) * (4 * SCALE) + score + SCALE

    def _represent(
        self, matches: Whole, push: Whole, free: Flags, room: int
    ) -> list[int]:
        """The first papers of each interest in turn, the best-served interest first."""
        tops = []
        for match in matches:
            keys = self._keys(match, push)
            good = free & (match - push >= REPRESENTED_FROM)
            tops.append([(-keys[c], c) for c in _top(keys, good, GUARANTEED)])
        chosen: dict[int, None] = {}
        for turn in range(GUARANTEED):
            for _, c in sorted(top[turn] for top in tops if len(top) > turn):
                chosen.setdefault(c)
        return list(chosen)[: max(room, 0)]


def whole(values: npt.NDArray[np.floating]) -> Whole:
    """Scores as whole numbers of SCALE steps."""
    return np.asarray(np.rint(values * SCALE), np.int64)


def _pins(pin: Whole) -> list[int]:
    """The pinned columns in the order of their pins."""
    return sorted(np.flatnonzero(pin).tolist(), key=lambda c: (pin[c], c))[:MOST_PINS]


def _top(keys: Whole, free: Flags, n: int) -> list[int]:
    """The n free columns with the highest keys, an earlier column first among equals."""
    columns = np.flatnonzero(free)
    if n <= 0 or not columns.size:
        return []
    ranks = keys[columns] * keys.size + (keys.size - columns)
    n = min(n, columns.size)
    best = np.argpartition(-ranks, n - 1)[:n]
    return [int(c) for c in columns[best[np.argsort(-ranks[best])]]]


def _winner(follows: Whole, match: Whole, relevant: int) -> int:
    return int(follows[match.argmax()]) if relevant > 0 else TRENDING
