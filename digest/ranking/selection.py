"""Select which papers each reader of a block gets, and the interest each is for.

Precedence: already sent > reader's mute > hide > pin > boost > score. A paper's score is
the best of the reader's interests, not their sum: a paper that is exactly one of them is
worth more than one that is a little of each, and the best one is also the reason. Every
interest has places of its own, by its weight; near-duplicates and one author group do not
fill the rest while there is anything else. The reader bounds how many papers come for
their trend alone.

Scores are whole numbers before they are compared, ties go by (trend, id), and a row is
computed from its reader alone, so that picks never depend on the other readers of a block.
`score_breakdown` has the same arithmetic for one paper; the tests compare both.
"""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import chain, islice, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from digest.ranking.score_breakdown import (
    HINT_WEIGHT,
    MATCH_THRESHOLD,
    MUTE_PENALTY,
    SCALE,
    TREND_BONUS,
)

Whole = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Relevance = npt.NDArray[np.float32]

MAX_PINS = 3
# An interest's places are its share of the digest by weight, at least one and at most this
# many, so that one that matches thirty papers leaves places for a rarer one.
MAX_PLACES_PER_INTEREST = 3
MAX_PER_AUTHOR_GROUP = 3  # pins included
# What keeps a paper out, relaxed in turn.
DIVERSITY_LEVELS = GROUP_AND_DUPLICATE, DUPLICATE, NO_LIMIT = range(3)
TRENDING = -1  # instead of an interest: picked for its trend, or pinned

# A key is one whole number to sort by: matches before trending papers, then boost, then
# score.
BOOST_STEP = 4 * SCALE  # more than any score
MATCH_STEP = 8 * BOOST_STEP  # more than all boosts
MAX_KEY = BLOCKED = 2 * MATCH_STEP  # more than any key, and than any penalty
NO_RANK = np.iinfo(np.int64).max
# The trending papers looked at first: more than MAX_HINT of trend, a percentile, spans.
FIRST_PASS, FIRST_PASS_SHARE = 400, 0.25
MAX_HINT = int(MATCH_THRESHOLD * SCALE * HINT_WEIGHT) + 1


class Role(IntEnum):
    """What an interest is used for.

    A reader's example papers are one interest that orders, and groups of them that have
    places: a wrong split then costs a few places, not the order.
    """

    ORDER_AND_PLACES = 0
    ORDER = 1
    PLACES = 2

    __hash__ = int.__hash__  # an enum's own is slow, and keys of profiles contain roles


class Choice(NamedTuple):
    """A candidate's index, the index of the interest it is for, or TRENDING, and whether that interest may be claimed."""

    candidate: int
    interest: int
    is_claimed: bool = False


@dataclass(frozen=True)
class Slate:
    """The n candidates of an edition: arrays [n]; `pin` is 0 where there is none.

    Candidates with the same `near_duplicate` have nearly the same text, those with the same
    `author_group` share their senior author; both are any whole numbers. `trend_weight`: what the highest trend
    adds to a match.
    """

    ids: Whole
    trend: Reals
    boost: Whole
    pin: Whole
    hidden: Flags
    near_duplicate: Whole
    author_group: Whole
    trend_weight: float = TREND_BONUS


@dataclass(frozen=True)
class Matches:
    """What I interests make of n candidates.

    `relevance` [I, n] in [0, 1]; `claimed` [I, n]: whether a mail may claim the interest;
    `mute_from` [I]: the relevance from which a negative weight mutes, MATCH_THRESHOLD at
    least.
    """

    relevance: Relevance
    claimed: Flags
    mute_from: Sequence[float]


@dataclass(frozen=True)
class Block:
    """R readers and the I interests that any of them has, in the order of their ids.

    `weights` [R, I] in [-1, 1]: positive follows, negative mutes. `sent`: per reader the
    indices of candidates that were mailed already. `lengths`: the most picks. `trending`:
    per reader the least and the most trending picks, pins not counted; (0, length) for all
    where empty. `roles` [I]: ORDER_AND_PLACES for all where empty.

    The least is kept free for the best trending papers; pins take their places from both
    sides alike. Where one side has too few papers the other fills the mail, but never with
    more trending papers than the most: with (0, 0) it holds what the reader follows and
    pins, or nothing.
    """

    weights: csr_matrix
    sent: Sequence[Sequence[int]]
    lengths: Sequence[int]
    trending: Sequence[tuple[int, int]] = ()
    roles: Sequence[Role] = ()


def select(slate: Slate, matches: Matches, block: Block) -> list[list[Choice]]:
    """Select the picks of every reader, in the order of the mail.

    Pins lead; then the reader's relevant papers; the trending ones fill what is left.
    """
    table = _Table(slate, matches)
    weights = csr_matrix(block.weights)
    weights.sort_indices()
    by_reader = _weights_by_reader(weights)
    every = {pair for row in by_reader for pair in row}
    offers = _rank_offers(table, {pair for pair in every if pair[1] > 0})
    penalties = _compute_penalties(table, {pair for pair in every if pair[1] < 0})
    bounds = block.trending or [(0, length) for length in block.lengths]
    roles = block.roles or [Role.ORDER_AND_PLACES] * len(matches.relevance)
    rows = zip(by_reader, block.sent, block.lengths, bounds, strict=True)
    readers = [_reader(table, offers, penalties, roles, *row) for row in rows]
    picks = [_choose(table, reader) for reader in readers]
    return _order_picks(table, weights, roles, readers, picks)


_Weight = tuple[int, float]  # an interest and its weight; many readers share one
_Penalties = dict[int, int]  # by column; BLOCKED where a mute takes it away


class _Offer(NamedTuple):
    """The columns that match an interest, best first, and their ranks as an array and a list."""

    columns: Whole
    ranks: Whole
    listed: list[int]


class _Reader(NamedTuple):
    ordering: list[_Weight]  # by interest
    offers: list[_Offer]  # of each that orders
    with_places: list[tuple[float, _Offer]]  # weights and offers of interests
    penalties: _Penalties
    closed: set[int]  # columns that were sent or are muted
    length: int
    trending: tuple[int, int]


class _Table:
    """The candidates as columns, best first for a reader without interests, hidden last.

    A rank is one whole number for a key, a column and an interest, and the least is the
    best: the highest key, then the earliest column, then the first interest.
    """

    def __init__(self, slate: Slate, matches: Matches) -> None:
        trend = to_steps(slate.trend)
        order = np.lexsort((slate.ids, -trend, -slate.boost, slate.hidden))
        self.order = order
        self.place = np.argsort(order)
        self.columns = self.place.tolist()
        self.shown = int(np.count_nonzero(~slate.hidden))
        self.first_pass = max(FIRST_PASS, math.ceil(self.shown * FIRST_PASS_SHARE))
        # Above 0 whatever the penalty.
        boosted = (slate.boost + 2) * BOOST_STEP + SCALE
        bonus = to_steps(slate.trend * slate.trend_weight)
        self.key_of_match = (bonus + boosted + MATCH_STEP)[order]
        self.key_of_trend = (trend + boosted)[order[: self.shown]]
        self.near_duplicate = slate.near_duplicate[order].tolist()
        self.author_group = slate.author_group[order].tolist()
        self.relevance, self.claimed = matches.relevance, matches.claimed
        self.mute_from = to_steps(np.asarray(matches.mute_from, np.float64))
        self.size, self.interests = max(order.size, 1), max(len(self.relevance), 1)
        self.cells = self._matching_cells()
        pins = _pinned_columns(slate.pin[order[: self.shown]])
        self.pins = [(MAX_KEY * self.size + column) * self.interests for column in pins]
        # Ranks from here on are trending papers.
        self.first_trending = (MAX_KEY - MATCH_STEP) * self.size * self.interests

    def ranks(self, keys: Whole, columns: Whole) -> Whole:
        return (MAX_KEY - keys) * self.size + columns

    def column(self, rank: int) -> int:
        return rank // self.interests % self.size

    @cached_property
    def first_relevance(self) -> Relevance:
        """The relevance [I, first_pass] of the columns that are looked at first."""
        return self.relevance[:, self.order[: min(self.first_pass, self.shown)]]

    def _matching_cells(self) -> csr_matrix:
        """The relevance of every interest, where that is enough and the paper is shown."""
        cells = np.flatnonzero(self.relevance >= np.float32(MATCH_THRESHOLD))
        columns = self.place[cells % self.size]
        starts = np.searchsorted(cells, np.arange(len(self.relevance) + 1) * self.size)
        values = self.relevance.ravel()[cells] * (columns < self.shown)
        return csr_matrix((values, columns, starts), shape=self.relevance.shape)


def _weights_by_reader(rows: csr_matrix) -> list[list[_Weight]]:
    cells = list(zip(rows.indices.tolist(), rows.data.tolist(), strict=True))
    return [cells[start:end] for start, end in pairwise(rows.indptr.tolist())]


class _Cells:
    """The matching cells of weighted interests: their number, column and relevance."""

    def __init__(self, table: _Table, weights: Iterable[_Weight]) -> None:
        self.weights = sorted(weights)
        self.interests = np.array([interest for interest, _ in self.weights], np.int64)
        rows = table.cells[self.interests]
        self.number = np.repeat(np.arange(self.interests.size), np.diff(rows.indptr))
        self.columns, self.relevance = rows.indices.astype(np.int64), rows.data
        values = np.array([weight for _, weight in self.weights], np.float64)
        self.score = self.relevance * values[self.number]

    def by_weight(
        self, number: Whole, columns: Whole, values: Whole
    ) -> dict[_Weight, tuple[Whole, Whole]]:
        """The columns of each weighted interest and their values, in their order."""
        ends = np.searchsorted(number, np.arange(len(self.weights) + 1)).tolist()
        return {
            weight: (columns[start:end], values[start:end])
            for weight, (start, end) in zip(self.weights, pairwise(ends), strict=True)
        }


def _rank_offers(table: _Table, weights: set[_Weight]) -> dict[_Weight, _Offer]:
    """Rank what each weighted interest offers, in one sort for all of them."""
    cells, span = _Cells(table, weights), MAX_KEY * table.size  # more than any rank
    match = to_steps(cells.score)
    ranks = table.ranks(match + table.key_of_match[cells.columns], cells.columns)
    ordered = np.sort((cells.number * span + ranks)[match > 0])
    number, ranks = np.divmod(ordered, span)
    full_ranks = ranks * table.interests + cells.interests[number]
    offers = cells.by_weight(number, ranks % table.size, full_ranks)
    return {
        weight: _Offer(columns, own_ranks, own_ranks.tolist())
        for weight, (columns, own_ranks) in offers.items()
    }


def _compute_penalties(
    table: _Table, weights: set[_Weight]
) -> dict[_Weight, _Penalties]:
    cells = _Cells(table, weights)
    penalties = to_steps(cells.score * -MUTE_PENALTY)
    thresholds = table.mute_from[cells.interests[cells.number]]
    penalties[to_steps(cells.relevance) >= thresholds] = BLOCKED
    arrays = cells.by_weight(cells.number, cells.columns, penalties)
    return {
        weight: dict(zip(columns.tolist(), values.tolist(), strict=True))
        for weight, (columns, values) in arrays.items()
    }


def _reader(
    table: _Table,
    offers: dict[_Weight, _Offer],
    penalties: dict[_Weight, _Penalties],
    roles: Sequence[Role],
    weights: Sequence[_Weight],
    sent: Sequence[int],
    length: int,
    trending: tuple[int, int],
) -> _Reader:
    followed = [weight for weight in weights if weight[1] > 0]
    muted = [weight for weight in weights if weight[1] < 0]
    closed, total = set(map(table.columns.__getitem__, sent)), _Penalties()
    for column, penalty in chain.from_iterable(penalties[w].items() for w in muted):
        total[column] = max(penalty, total.get(column, 0))
    own = {weight: offers[weight] for weight in followed}
    if total:
        dense = np.zeros(table.size, np.int64)
        dense[list(total.keys())] = list(total.values())
        own = {w: _apply_penalties(table, offer, dense) for w, offer in own.items()}
        closed.update(column for column, p in total.items() if p == BLOCKED)
    ordering = [w for w in followed if roles[w[0]] != Role.PLACES]
    with_places = [(w[1], own[w]) for w in followed if roles[w[0]] != Role.ORDER]
    return _Reader(
        ordering,
        [own[weight] for weight in ordering],
        with_places,
        total,
        closed,
        length,
        trending,
    )


def _apply_penalties(table: _Table, offer: _Offer, penalties: Whole) -> _Offer:
    """What an offer becomes when each column [n] loses its penalty."""
    own = penalties[offer.columns]
    if not own.any():
        return offer
    step = table.size * table.interests
    match = MAX_KEY - offer.ranks // step - table.key_of_match[offer.columns]
    ranks = offer.ranks + own * step
    rest = np.flatnonzero(match > own)
    rest = rest[np.argsort(ranks[rest])]
    return _Offer(offer.columns[rest], ranks[rest], ranks[rest].tolist())


def _choose(table: _Table, reader: _Reader) -> tuple[int, dict[int, int]]:
    """The number of pins, which come first, and the picked columns with their ranks."""
    picked = _Picked(table, reader)
    pinned = picked.take_all(table.pins, diversity=NO_LIMIT)
    reserved = reader.trending[0] * picked.places // max(reader.length, 1)
    _represent(table, reader, picked, reserved)
    if picked.places:
        _fill(table, reader, picked, reserved)
    return pinned, picked.ranks


def _order_picks(
    table: _Table,
    rows: csr_matrix,
    roles: Sequence[Role],
    readers: Sequence[_Reader],
    picks: Sequence[tuple[int, dict[int, int]]],
) -> list[list[Choice]]:
    """Order the picks of all readers by the interests that order, and name one for each.

    The best interest is named, or the best one that may be claimed. A paper that only a
    place was given to is ordered by its relevance below the threshold.
    """
    cells = [
        (number, column, rank, place < pinned, reader.penalties.get(column, 0))
        for number, (reader, (pinned, ranks)) in enumerate(
            zip(readers, picks, strict=True)
        )
        for place, (column, rank) in enumerate(ranks.items())
    ]
    numbers, columns, ranks, is_pinned, penalties = (
        np.array(cells, np.int64).reshape(-1, 5).T
    )
    candidates = table.order[columns]
    best, nearest, claimed = _best_ranks(
        table, rows, roles, numbers, columns, penalties
    )
    fills = (best == NO_RANK) & (ranks >= table.first_trending)
    best = np.where(fills, ranks, np.where(best == NO_RANK, nearest, best))
    interests = np.where(fills, TRENDING, best % table.interests)
    is_claimed = ~fills
    is_claimed[~fills] = table.claimed[interests[~fills], candidates[~fills]]
    other = ~fills & ~is_claimed & (claimed != NO_RANK)
    interests[other] = claimed[other] % table.interests
    order = np.lexsort(
        (np.where(is_pinned, np.arange(best.size) - best.size, best), numbers)
    )
    arrays = candidates, interests, is_claimed | other
    choices = map(Choice, *(array[order].tolist() for array in arrays))
    return [list(islice(choices, len(ranks))) for _, ranks in picks]


def _best_ranks(
    table: _Table,
    rows: csr_matrix,
    roles: Sequence[Role],
    numbers: Whole,
    columns: Whole,
    penalties: Whole,
) -> tuple[Whole, Whole, Whole]:
    """The best ranks of p picks, each of `numbers` one reader's column: three arrays [p].

    Among the interests that order and match, among all that order, and among those that
    match and may be claimed; NO_RANK where there is none.
    """
    followed = np.flatnonzero(rows.data > 0)
    ends = np.searchsorted(followed, rows.indptr)
    counts = np.diff(ends)[numbers]
    # Every pick beside every interest that its reader follows.
    pick = np.repeat(np.arange(numbers.size), counts)
    offset = ends[numbers] - (np.cumsum(counts) - counts)
    cell = followed[np.arange(pick.size) + offset[pick]]
    interest = rows.indices[cell].astype(np.int64)
    orders = np.array(roles, np.int64)[interest] != Role.PLACES
    column, penalty = columns[pick], penalties[pick]
    place = interest, table.order[column]
    relevance = table.relevance[place]
    score = to_steps(relevance * rows.data[cell])
    keys = table.key_of_match[column] + score - penalty
    ranks = table.ranks(keys, column) * table.interests + interest
    matches = (relevance >= np.float32(MATCH_THRESHOLD)) & (score > penalty)

    def best(where: Flags) -> Whole:
        least = np.full(numbers.size, NO_RANK)
        np.minimum.at(least, pick[where], ranks[where])
        return least

    claimable = matches & table.claimed[place]
    return best(matches & orders), best(orders), best(claimable)


def _places(reader: _Reader) -> list[int]:
    """How many places each interest has; MAX_PLACES_PER_INTEREST of them are used."""
    total = sum(weight for weight, _ in reader.with_places)
    length = reader.length - reader.trending[0]
    return [
        max(int(weight / total * length + 1e-9), 1) for weight, _ in reader.with_places
    ]


def _first_open_rank(table: _Table, reader: _Reader, offer: _Offer) -> int | None:
    for rank in offer.listed:
        if table.column(rank) not in reader.closed:
            return rank
    return None


def _represent(
    table: _Table, reader: _Reader, picked: "_Picked", reserved: int
) -> None:
    """Pick the first papers of each interest in turn, the interest of the best paper first.

    A paper that came for another interest counts for this one too.
    """
    both = zip(reader.with_places, _places(reader), strict=True)
    served = sorted(
        (first, places, iter(offer.listed))
        for (_, offer), places in both
        if (first := _first_open_rank(table, reader, offer)) is not None
    )
    for turn in range(MAX_PLACES_PER_INTEREST):
        for _, places, ranks in served:
            if places > turn and picked.places > reserved:
                any(map(picked.take, ranks))


def _fill(table: _Table, reader: _Reader, picked: "_Picked", reserved: int) -> None:
    """Fill the digest with the best that is left."""
    most = reader.trending[1]
    picked.take_all(_matching_ranks(reader), reserved)
    most -= picked.take_all(_trending_ranks(table, reader), picked.places - most)
    full = reader.trending[1] >= reader.length
    for diversity in DIVERSITY_LEVELS if full else DIVERSITY_LEVELS[:-1]:
        picked.take_all(_matching_ranks(reader), 0, diversity)
        trending = _trending_ranks(table, reader)
        most -= picked.take_all(trending, picked.places - most, diversity)


def _matching_ranks(reader: _Reader) -> Iterator[int]:
    """The ranks of what matches an interest, best first; what matches only a group last."""
    groups = (offer.listed for _, offer in reader.with_places)
    return chain(
        heapq.merge(*(offer.listed for offer in reader.offers)), heapq.merge(*groups)
    )


def _trending_ranks(table: _Table, reader: _Reader) -> Iterator[int]:
    """The ranks of what matches no interest, best first; some come twice.

    The first columns are looked at first, as far as no later one can surpass them: most
    digests are full then.
    """
    offers = [*reader.offers, *(offer for _, offer in reader.with_places)]
    is_trending = np.ones(table.shown, bool)
    for offer in offers:
        is_trending[offer.columns] = False
    for look in (table.first_pass, table.shown):
        keys = table.key_of_trend[:look] + _hints(table, reader, min(look, table.shown))
        later = table.key_of_trend[look] + MAX_HINT if look < table.shown else 0
        columns = np.flatnonzero((keys >= later) & is_trending[:look])
        for rank in np.sort(table.ranks(keys[columns], columns)).tolist():
            yield rank * table.interests


def _hints(table: _Table, reader: _Reader, look: int) -> Whole:
    """What a reader's interests and mutes add to the trend of the first columns."""
    hints = np.zeros(look, np.int64)
    if reader.ordering:
        interests, weights = map(np.array, zip(*reader.ordering, strict=True))
        rows = table.first_relevance[interests]
        if look > table.first_pass:
            rows = table.relevance[np.ix_(interests, table.order[:look])]
        scores = to_steps((rows * weights[:, None]).max(axis=0))
        hints = (scores * HINT_WEIGHT).astype(np.int64)
    for column, penalty in reader.penalties.items():
        if column < look:
            hints[column] -= penalty
    return hints


class _Picked:
    """The columns picked so far with the rank of each, and what may still join them."""

    def __init__(self, table: _Table, reader: _Reader) -> None:
        self.ranks: dict[int, int] = {}  # in the order they came
        self.places = reader.length
        self._table, self._closed = table, reader.closed
        self._near_duplicates: set[int] = set()
        self._author_groups: dict[int, int] = {}

    def take(self, rank: int, diversity: int = GROUP_AND_DUPLICATE) -> bool:
        """Whether the column is among the picks now: it was, or it fits beside them.

        A place must be free.
        """
        table = self._table
        column = rank // table.interests % table.size
        if column in self.ranks:
            return True
        if column in self._closed:
            return False
        duplicate, group = table.near_duplicate[column], table.author_group[column]
        count = self._author_groups.get(group, 0)
        if diversity <= DUPLICATE and duplicate in self._near_duplicates:
            return False
        if diversity <= GROUP_AND_DUPLICATE and count >= MAX_PER_AUTHOR_GROUP:
            return False
        self.ranks[column] = rank
        self.places -= 1
        self._near_duplicates.add(duplicate)
        self._author_groups[group] = count + 1
        return True

    def take_all(
        self,
        ranks: Iterable[int],
        left: int = 0,
        diversity: int = GROUP_AND_DUPLICATE,
    ) -> int:
        """Take those that fit until this many places are left; return how many were taken."""
        before, rest = self.places, iter(ranks)
        while self.places > max(left, 0) and (rank := next(rest, None)) is not None:
            self.take(rank, diversity)
        return before - self.places


def to_steps(values: npt.NDArray[np.floating]) -> Whole:
    """Scores as whole numbers of SCALE steps."""
    return np.asarray(np.rint(values * SCALE), np.int64)


def _pinned_columns(pin: Whole) -> list[int]:
    return sorted(np.flatnonzero(pin).tolist(), key=lambda c: (pin[c], c))[:MAX_PINS]
