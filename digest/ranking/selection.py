"""Selection: which papers each reader of a block gets, and the interest each is for.

Precedence: already sent > reader's mute > hide > pin > boost > score. A paper's score is
the best of the reader's interests, not their sum: a paper that is exactly one of them is
worth more than one that is a little of each, and the best one is also the reason.
Every interest has places of its own, by its weight; near-duplicates and one group of
authors do not fill the rest while there is anything else. How many papers come for their
trend alone is the reader's to say. Scores are whole numbers before they are compared, ties
go by (trend, id), and a row is computed from its reader alone, so that nobody's picks
depend on who else is in the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Whole = npt.NDArray[np.int64]
Keys = npt.NDArray[np.int32]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SCALE = 10_000  # steps of a score from 0 to 1; finer differences are noise
# A match below it may be chance: the paper may still come for its trend, but no mail
# claims an interest for it. Read by hand over the shipped sample (six topics and three
# searches): 22 of 23 matches from here up were right, one of three just below it.
CLAIMED_FROM = 0.28
TREND_PRIOR = 0.15  # what the most trending paper gains on an equally relevant one
# Of the best match too weak to be claimed, what it adds to the trend of a paper that
# fills the mail: the trending papers nearest to the reader come first.
NEARER = 0.5
PUSH_DOWN = 0.5  # of the match with a muted interest, where it is not enough to mute
MOST_PINS = 3
# Places of an interest's own: its share of the digest by weight, at least one, and no more
# than this; else one that matches thirty papers would leave no place for a rarer one.
MOST_PLACES = 3
MOST_OF_A_CIRCLE = 3  # papers of one group of authors, pins included
BARS = CIRCLE_AND_TWIN, TWIN, NONE = range(3)  # what keeps a paper out, in turn
TRENDING = -1  # in the place of an interest: picked for its trend, or pinned

CHUNK = 16  # stances computed at a time: what they need then stays in the cache
NO_PUSH = np.int32(0)
TIER = 8 * 4 * SCALE  # what being claimed adds to a key; a step of boost adds 4 * SCALE


class Choice(NamedTuple):
    """A candidate's index, and the index of the interest it is for, or TRENDING."""

    candidate: int
    interest: int


@dataclass(frozen=True)
class Slate:
    """The n candidates of an edition: arrays [n]; `pin` is 0 where there is none.

    Candidates with the same `twin` are nearly the same text, those with the same `circle`
    come from one group of authors; both are any whole numbers.
    """

    ids: Whole
    trend: Reals
    boost: Whole
    pin: Whole
    hidden: Flags
    twin: Whole
    circle: Whole


@dataclass(frozen=True)
class Block:
    """R readers and the I interests that any of them has, in the order of their ids.

    `weights` [R, I]: positive follows, negative mutes. `sent`: per reader the indices of
    candidates that were mailed already. `lengths`: at most so many picks. `trending`: per
    reader the least and the most of them that no interest claims, pins not counted; none
    given is (0, length) for everybody.

    The least is kept free for the best trending papers; pins take their places from both
    sides alike. Where one side has too few papers the other fills the mail, but never
    with more trending papers than the most: with (0, 0) it holds what the reader follows
    and pins, or nothing.
    """

    weights: csr_matrix
    sent: Sequence[Sequence[int]]
    lengths: Sequence[int]
    trending: Sequence[tuple[int, int]] = ()


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
    weights = csr_matrix(block.weights)
    weights.sort_indices()
    table = _Table(slate, relevance, np.asarray(mute_from, np.float64), weights)
    trending = block.trending or [(0, length) for length in block.lengths]
    spans = pairwise(weights.indptr.tolist())
    readers = zip(spans, block.sent, block.lengths, trending, strict=True)
    return [table.choose(*reader) for reader in readers]


class _Table:
    """The candidates sorted by (trend, id), so that an earlier column wins a tie.

    What many readers share is computed once: each pair of an interest and a weight is one
    stance, with its matches, keys and ranked columns.
    """

    def __init__(
        self,
        slate: Slate,
        relevance: npt.NDArray[np.float32],
        mute_from: Reals,
        weights: csr_matrix,
    ) -> None:
        trend = whole(slate.trend)
        self.order = np.lexsort((slate.ids, -trend))
        self.place = np.empty_like(self.order)
        self.place[self.order] = np.arange(self.order.size)
        self.trend = trend[self.order].astype(np.int32)
        self.prior = whole(slate.trend * TREND_PRIOR)[self.order].astype(np.int32)
        self.base = ((slate.boost[self.order] + 4) * 4 * SCALE + SCALE).astype(np.int32)
        self.shut = np.flatnonzero(slate.hidden[self.order])
        self.pins = _pins(slate.pin[self.order])
        self.twin = slate.twin[self.order].tolist()
        self.circle = slate.circle[self.order].tolist()
        self._relevance = relevance
        self.mute_from = whole(mute_from)
        self.interests = weights.indices.astype(np.int64)
        self.weights = weights.data
        self._stand()

    def _stand(self) -> None:
        """The distinct stances of the block: what each makes of every candidate."""
        pairs = self.interests + 1j * self.weights  # sorts by interest, then weight
        distinct, self.stances = np.unique(pairs, return_inverse=True)
        interests, weights = distinct.real.astype(np.int64), distinct.imag
        shape = interests.size, self.order.size
        self.matches, self.hints, self.keys = (np.empty(shape, np.int32) for _ in "mhk")
        for first in range(0, interests.size, CHUNK):
            rows = slice(first, first + CHUNK)
            found = self.relevance(interests[rows]).astype(np.float64)
            raw = found * np.maximum(weights[rows], 0)[:, None]
            raw *= SCALE
            np.rint(raw, out=raw)
            self.matches[rows] = raw * (found >= CLAIMED_FROM)
            self.hints[rows] = raw * NEARER
            self.keys[rows] = self._keys(self.matches[rows], self.hints[rows], NO_PUSH)
        self.ranked: dict[int, list[int]] = {}

    def relevance(self, interests: Whole) -> npt.NDArray[np.float32]:
        """Of these interests, in the order of the columns."""
        return np.take(self._relevance[interests], self.order, axis=1)

    def choose(
        self,
        span: tuple[int, int],
        sent: Sequence[int],
        length: int,
        trending: tuple[int, int],
    ) -> list[Choice]:
        """The picks of the reader whose stances these are; their interests ascend."""
        start, end = span
        weights = self.weights[start:end]
        liked = weights > 0
        stances = self.stances[start:end][liked]
        closed = self.place[list(sent)] if sent else self.shut[:0]
        push = self._push(start, end) if (weights < 0).any() else None
        free = np.ones(self.order.size, bool)
        free[self.shut] = free[closed] = False
        if push is None:
            keys = self.keys[stances]
            ranked = [self._ranked(stance) for stance in stances.tolist()]
        else:
            free[self._muted(start, end)] = False
            keys = self._keys(self.matches[stances], self.hints[stances], push)
            reaches = self.matches[stances] > push
            ranked = [_ranked(*row) for row in zip(keys, reaches, strict=True)]
        best = self._best(keys, push)
        picked = _Picked(self.twin, self.circle, free, length)
        for column in self.pins:
            picked.take(column, NONE)
        pinned = len(picked.columns)
        least, most = trending
        kept = least * picked.room // max(length, 1)
        picked.room -= kept
        _represent(picked, keys, ranked, _places(weights[liked], length - least))
        picked.take_all(_ranked(best, free & (best >= TIER)), picked.room)
        picked.room += kept
        _fill(picked, best, most, BARS if most >= length else BARS[:-1])
        taken = list(picked.columns)
        rest = sorted(taken[pinned:], key=lambda c: (-best[c], c))
        columns = np.array(taken[:pinned] + rest, np.int64)
        return self._choices(columns, self.interests[start:end][liked], stances, push)

    def _push(self, start: int, end: int) -> Keys:
        """How far the reader's mutes push down each candidate."""
        weights = -self.weights[start:end]
        found = self.relevance(self.interests[start:end][weights > 0])
        pushed = whole(found * weights[weights > 0][:, None] * PUSH_DOWN)
        return np.asarray(pushed.max(axis=0), np.int32)

    def _muted(self, start: int, end: int) -> Flags:
        """The candidates that the reader's mutes take away."""
        disliked = self.interests[start:end][self.weights[start:end] < 0]
        reached = whole(self.relevance(disliked)) >= self.mute_from[disliked][:, None]
        return np.asarray(reached.any(axis=0))

    def _keys(self, match: Keys, hint: Keys, push: Keys | np.int32) -> Keys:
        """One whole number to sort by: claimed before trending, then boost, then score."""
        trending = self.trend + hint
        keys = np.where(match > push, match + (self.prior + TIER), trending)
        return np.asarray(keys + (self.base - push), np.int32)

    def _best(self, keys: Keys, push: Keys | None) -> Keys:
        """The best key of each candidate over the reader's interests."""
        if len(keys):
            return np.asarray(keys.max(axis=0))
        least = self.trend + self.base
        return least if push is None else np.asarray(least - push)

    def _ranked(self, stance: int) -> list[int]:
        """The columns that a stance claims, best first."""
        if stance not in self.ranked:
            row = self.keys[stance], self.matches[stance] > 0
            self.ranked[stance] = _ranked(*row)
        return self.ranked[stance]

    def _choices(
        self, columns: Whole, interests: Whole, stances: Whole, push: Keys | None
    ) -> list[Choice]:
        candidates = self.order[columns].tolist()
        if not stances.size:
            return [Choice(candidate, TRENDING) for candidate in candidates]
        matches = self.matches[stances[:, None], columns]
        least = np.zeros(columns.size) if push is None else push[columns]
        claimed = matches.max(axis=0) > least
        winners = np.where(claimed, interests[matches.argmax(axis=0)], TRENDING)
        return list(map(Choice, candidates, winners.tolist()))


class _Picked:
    """The columns picked so far, and what may still join them."""

    def __init__(
        self, twin: list[int], circle: list[int], free: Flags, length: int
    ) -> None:
        self.columns: dict[int, None] = {}  # in their order
        self.free, self.room = free, length
        self._twin, self._circle = twin, circle
        self._twins: set[int] = set()
        self._circles: dict[int, int] = {}

    def take(self, column: int, bar: int = CIRCLE_AND_TWIN) -> bool:
        """Whether the column is among the picks now: it was, or it fits beside them."""
        if column in self.columns:
            return True
        twin, circle = self._twin[column], self._circle[column]
        met = self._circles.get(circle, 0)
        if not self.room or not self.free[column]:
            return False
        if bar <= TWIN and twin in self._twins:
            return False
        if bar <= CIRCLE_AND_TWIN and met >= MOST_OF_A_CIRCLE:
            return False
        self.columns[column] = None
        self.room -= 1
        self._twins.add(twin)
        self._circles[circle] = met + 1
        return True

    def take_all(
        self, columns: Sequence[int], most: int, bar: int = CIRCLE_AND_TWIN
    ) -> int:
        """Take what fits of these in their order, at most so many; how many they were."""
        before, last = self.room, max(self.room - most, 0)
        for column in columns:
            if self.room == last:
                break
            self.take(column, bar)
        return before - self.room


def whole(values: npt.NDArray[np.floating]) -> Whole:
    """Scores as whole numbers of SCALE steps."""
    return np.asarray(np.rint(values * SCALE), np.int64)


def _pins(pin: Whole) -> list[int]:
    """The pinned columns in the order of their pins."""
    return sorted(np.flatnonzero(pin).tolist(), key=lambda c: (pin[c], c))[:MOST_PINS]


def _places(weights: Reals, length: int) -> list[int]:
    """Of each interest, the places that are its own."""
    shares = (weights / weights.sum() * length + 1e-9).tolist()
    return [min(max(int(share), 1), MOST_PLACES) for share in shares]


def _ranked(keys: Keys, among: Flags) -> list[int]:
    """The columns among these, best first."""
    columns = np.flatnonzero(among)
    return columns[np.argsort(-keys[columns], kind="stable")].tolist()  # type: ignore[no-any-return]


def _represent(
    picked: _Picked, keys: Keys, ranked: list[list[int]], places: list[int]
) -> None:
    """The first papers of each interest in turn, the interest of the best paper first.

    A paper that came for another interest counts for this one too.
    """
    served = [i for i, columns in enumerate(ranked) if columns]
    served.sort(key=lambda i: (-keys[i, ranked[i][0]], ranked[i][0]))
    offers = [(iter(ranked[i]), places[i]) for i in served]
    for turn in range(MOST_PLACES):
        for columns, own in offers:
            if own > turn and picked.room:
                any(picked.take(column) for column in columns)


def _fill(picked: _Picked, best: Keys, most: int, bars: Sequence[int]) -> None:
    """Take trending papers, then whatever the bars let in, claimed ones first."""
    claimed = _ranked(best, picked.free & (best >= TIER))
    trending = _ranked(best, picked.free & (best < TIER))
    most -= picked.take_all(trending, most)
    for bar in bars:
        picked.take_all(claimed, picked.room, bar)
        most -= picked.take_all(trending, most, bar)
