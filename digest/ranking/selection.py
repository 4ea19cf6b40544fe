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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Whole = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Relevance = npt.NDArray[np.float32]

SCALE = 10_000  # steps of a score from 0 to 1; finer differences are noise
# A match below it may be chance: the paper may still come for its trend, but no mail
# claims an interest for it. Read by hand over the shipped sample (six topics and three
# searches): 22 of 23 matches from here up were right, one of three just below it.
CLAIM_THRESHOLD = 0.28
TREND_BONUS = 0.15  # what the most trending paper gains on an equally relevant one
# Of the best match too weak to be claimed, what it adds to the trend of a paper that
# fills the mail: the trending papers nearest to the reader come first.
HINT_WEIGHT = 0.5
# Of the match with a muted interest, where it is enough to be claimed but not to mute.
MUTE_PENALTY = 0.5
MAX_PINS = 3
# Places of an interest's own: its share of the digest by weight, at least one, and no more
# than this; else one that matches thirty papers would leave no place for a rarer one.
MAX_PLACES_PER_INTEREST = 3
MAX_PER_AUTHOR_GROUP = 3  # papers of one group of authors, pins included
BARS = GROUP_AND_DUPLICATE, DUPLICATE, NONE = range(
    3
)  # what keeps a paper out, in turn
TRENDING = -1  # in the place of an interest: picked for its trend, or pinned

# A key is one whole number to sort by: claimed before trending, then boost, then score.
BOOST = 4 * SCALE  # what a step of boost adds: more than any score
TIER = 8 * BOOST  # what being claimed adds: more than all boosts
TOP = BLOCKED = 2 * TIER  # more than any key, and than any push
FIRST_PASS = 400  # trending papers looked at first
# More than a hint adds to the trend of a paper that no interest claims.
MAX_HINT = int(CLAIM_THRESHOLD * SCALE * HINT_WEIGHT) + 1


class Choice(NamedTuple):
    """A candidate's index, and the index of the interest it is for, or TRENDING."""

    candidate: int
    interest: int


@dataclass(frozen=True)
class Slate:
    """The n candidates of an edition: arrays [n]; `pin` is 0 where there is none.

    Candidates with the same `near_duplicate` are nearly the same text, those with the same `author_group`
    come from one group of authors; both are any whole numbers.
    """

    ids: Whole
    trend: Reals
    boost: Whole
    pin: Whole
    hidden: Flags
    near_duplicate: Whole
    author_group: Whole


@dataclass(frozen=True)
class Block:
    """R readers and the I interests that any of them has, in the order of their ids.

    `weights` [R, I] in [-1, 1]: positive follows, negative mutes. `sent`: per reader the
    indices of candidates that were mailed already. `lengths`: at most so many picks.
    `trending`: per reader the least and the most of them that no interest claims, pins
    not counted; none given is (0, length) for everybody.

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
    slate: Slate, relevance: Relevance, mute_from: Sequence[float], block: Block
) -> list[list[Choice]]:
    """The picks of every reader, in the order of the mail.

    `relevance` is [I, n] in [0, 1]; `mute_from` [I] says from which relevance a negative
    weight takes a paper away, CLAIM_THRESHOLD at least. Pins lead; then the reader's relevant
    papers; the trending ones fill what is left.
    """
    table = _Table(slate, relevance, np.asarray(mute_from, np.float64))
    follows = _follows(block.weights)
    offers = _offers(table, {each for own in follows for each in own if each[1] > 0})
    mutes = _mutes(table, {each for own in follows for each in own if each[1] < 0})
    trending = block.trending or [(0, length) for length in block.lengths]
    rows = zip(follows, block.sent, block.lengths, trending, strict=True)
    return [_choose(table, _reader(table, offers, mutes, *row)) for row in rows]


_Stance = tuple[int, float]  # an interest and its weight; many readers share one
_Offer = dict[int, int]  # the columns that a stance claims and their ranks, best first
_Push = dict[
    int, int
]  # how far mutes push down columns; BLOCKED where they take one away


class _Reader(NamedTuple):
    liked: list[_Stance]  # their interests ascend
    offers: list[_Offer]  # of each of them
    push: _Push
    closed: set[int]  # columns that were sent or are muted
    length: int
    trending: tuple[int, int]


class _Table:
    """The candidates as columns, best first for a reader without interests, hidden last.

    A rank is one whole number for a key, a column and an interest, and the least is the
    best: the highest key, then the earliest column, then the first interest.
    """

    def __init__(self, slate: Slate, relevance: Relevance, mute_from: Reals) -> None:
        trend = whole(slate.trend)
        order = np.lexsort((slate.ids, -trend, -slate.boost, slate.hidden))
        self.order, self.candidates = order, order.tolist()
        self.place = np.argsort(order)
        self.columns = self.place.tolist()
        self.shown = int(np.count_nonzero(~slate.hidden))
        boosted = (slate.boost + 2) * BOOST + SCALE  # above 0 however far pushed down
        prior = whole(slate.trend * TREND_BONUS)
        self.if_claimed = (prior + boosted + TIER)[order]
        self.if_trending = (trend + boosted)[order[: self.shown]]
        self.near_duplicate = slate.near_duplicate[order].tolist()
        self.author_group = slate.author_group[order].tolist()
        self.relevance, self.mute_from = relevance, whole(mute_from)
        self.size, self.interests = max(order.size, 1), max(len(relevance), 1)
        self.claims = self._claims()
        pins = _pins(slate.pin[order[: self.shown]])
        self.pins = [(TOP * self.size + column) * self.interests for column in pins]
        self.unclaimed = (TOP - TIER) * self.size * self.interests  # from this rank

    def ranks(self, keys: Whole, columns: Whole) -> Whole:
        """Ranks that lack their interest yet."""
        return (TOP - keys) * self.size + columns

    def column(self, rank: int) -> int:
        return rank // self.interests % self.size

    def choice(self, rank: int) -> Choice:
        interest = TRENDING if rank >= self.unclaimed else rank % self.interests
        return Choice(self.candidates[self.column(rank)], interest)

    def _claims(self) -> csr_matrix:
        """The relevance of every interest, where that is enough and the paper is shown."""
        cells = np.flatnonzero(self.relevance >= np.float32(CLAIM_THRESHOLD))
        columns = self.place[cells % self.size]
        starts = np.searchsorted(cells, np.arange(len(self.relevance) + 1) * self.size)
        found = self.relevance.ravel()[cells] * (columns < self.shown)
        return csr_matrix((found, columns, starts), shape=self.relevance.shape)


def _follows(weights: csr_matrix) -> list[list[_Stance]]:
    """What each reader follows and mutes, by interest."""
    rows = csr_matrix(weights)
    rows.sort_indices()
    cells = list(zip(rows.indices.tolist(), rows.data.tolist(), strict=True))
    return [cells[start:end] for start, end in pairwise(rows.indptr.tolist())]


class _Cells:
    """What stances' interests claim, cell by cell: its stance, column and relevance."""

    def __init__(self, table: _Table, stances: Iterable[_Stance]) -> None:
        self.stances = sorted(stances)
        self.interests = np.array([interest for interest, _ in self.stances], np.int64)
        claims = table.claims[self.interests]
        self.number = np.repeat(np.arange(self.interests.size), np.diff(claims.indptr))
        self.columns, self.found = claims.indices.astype(np.int64), claims.data
        weights = np.array([weight for _, weight in self.stances], np.float64)
        self.score = self.found * weights[self.number]

    def by_stance(
        self, number: Whole, columns: Whole, values: Whole
    ) -> dict[_Stance, dict[int, int]]:
        """Of each stance its columns and their values, in their order."""
        ends = np.searchsorted(number, np.arange(len(self.stances) + 1)).tolist()
        cells = columns.tolist(), values.tolist()
        return {
            stance: dict(zip(*(part[start:end] for part in cells), strict=True))
            for stance, (start, end) in zip(self.stances, pairwise(ends), strict=True)
        }


def _offers(table: _Table, stances: set[_Stance]) -> dict[_Stance, _Offer]:
    """What each stance claims: one sort for all, each behind a number of its own."""
    cells, span = _Cells(table, stances), TOP * table.size  # more than any rank here
    match = whole(cells.score)
    ranks = table.ranks(match + table.if_claimed[cells.columns], cells.columns)
    ordered = np.sort((cells.number * span + ranks)[match > 0])
    number, ranks = np.divmod(ordered, span)
    full = ranks * table.interests + cells.interests[number]
    return cells.by_stance(number, ranks % table.size, full)


def _mutes(table: _Table, stances: set[_Stance]) -> dict[_Stance, _Push]:
    """How far each muting stance pushes down what it claims."""
    cells = _Cells(table, stances)
    push = whole(cells.score * -MUTE_PENALTY)
    limits = table.mute_from[cells.interests[cells.number]]
    push[whole(cells.found) >= limits] = BLOCKED
    return cells.by_stance(cells.number, cells.columns, push)


def _reader(
    table: _Table,
    offers: dict[_Stance, _Offer],
    mutes: dict[_Stance, _Push],
    follows: Sequence[_Stance],
    sent: Sequence[int],
    length: int,
    trending: tuple[int, int],
) -> _Reader:
    liked = [stance for stance in follows if stance[1] > 0]
    muted = [stance for stance in follows if stance[1] < 0]
    own = [offers[stance] for stance in liked]
    closed, push = set(map(table.columns.__getitem__, sent)), _Push()
    for column, by in chain.from_iterable(mutes[stance].items() for stance in muted):
        push[column] = max(by, push.get(column, 0))
    if push:
        own = [_pushed(table, offer, push) for offer in own]
        closed.update(column for column, by in push.items() if by == BLOCKED)
    return _Reader(liked, own, push, closed, length, trending)


def _pushed(table: _Table, offer: _Offer, push: _Push) -> _Offer:
    """What is left of an offer where the reader's mutes push down, or away."""
    met = push.keys() & offer.keys()
    if not met:
        return offer
    left, step = dict(offer), table.size * table.interests
    for column in met:
        match = TOP - left[column] // step - table.if_claimed[column]
        left[column] += push[column] * step
        if match <= push[column]:
            del left[column]
    return dict(sorted(left.items(), key=itemgetter(1)))


def _choose(table: _Table, reader: _Reader) -> list[Choice]:
    picked = _Picked(table, reader)
    pinned = picked.take_all(table.pins, bar=NONE)
    kept = reader.trending[0] * picked.room // max(reader.length, 1)
    _represent(reader, picked, kept)
    if picked.room:
        _fill(table, reader, picked, kept)
    best = _best(reader, picked.ranks)
    return [table.choice(rank) for rank in best[:pinned] + sorted(best[pinned:])]


def _best(reader: _Reader, picked: dict[int, int]) -> list[int]:
    """The best rank of each picked column, whatever interest it was picked for."""
    ranks = dict(picked)
    for offer in reader.offers:
        for column in ranks.keys() & offer.keys():
            ranks[column] = min(ranks[column], offer[column])
    return list(ranks.values())


def _places(reader: _Reader) -> list[int]:
    """Of each interest, the places that are its own; no more than MAX_PLACES_PER_INTEREST are used."""
    weights = [weight for _, weight in reader.liked]
    total, length = sum(weights), reader.length - reader.trending[0]
    return [max(int(weight / total * length + 1e-9), 1) for weight in weights]


def _first(offer: _Offer, closed: set[int]) -> int | None:
    """The best rank in an offer that is not closed."""
    for column, rank in offer.items():
        if column not in closed:
            return rank
    return None


def _represent(reader: _Reader, picked: "_Picked", kept: int) -> None:
    """The first papers of each interest in turn, the interest of the best paper first.

    A paper that came for another interest counts for this one too.
    """
    both = zip(reader.offers, _places(reader), strict=True)
    served = sorted(
        (first, own, iter(offer.values()))
        for offer, own in both
        if (first := _first(offer, reader.closed)) is not None
    )
    for turn in range(MAX_PLACES_PER_INTEREST):
        for _, own, ranks in served:
            if own > turn and picked.room > kept:
                any(map(picked.take, ranks))


def _fill(table: _Table, reader: _Reader, picked: "_Picked", kept: int) -> None:
    """Fill the digest with the best that is left."""
    most = reader.trending[1]
    picked.take_all(_claimed(reader), kept)
    most -= picked.take_all(_trending(table, reader), picked.room - most)
    for bar in BARS if reader.trending[1] >= reader.length else BARS[:-1]:
        picked.take_all(_claimed(reader), 0, bar)
        most -= picked.take_all(_trending(table, reader), picked.room - most, bar)


def _claimed(reader: _Reader) -> Iterator[int]:
    """The ranks of what an interest claims, best first."""
    yield from sorted(chain.from_iterable(offer.values() for offer in reader.offers))


def _trending(table: _Table, reader: _Reader) -> Iterator[int]:
    """The ranks of what no interest claims, best first; some come twice.

    The first columns are looked at first, as far as no later one can surpass them: most
    digests are full then.
    """
    claimed: set[int] = set().union(*reader.offers)
    for look in (FIRST_PASS, table.shown):
        keys = table.if_trending[:look] + _hints(table, reader, min(look, table.shown))
        later = table.if_trending[look] + MAX_HINT if look < table.shown else 0
        columns = np.flatnonzero(keys >= later)
        for rank in np.sort(table.ranks(keys[columns], columns)).tolist():
            if rank % table.size not in claimed:
                yield rank * table.interests


def _hints(table: _Table, reader: _Reader, look: int) -> Whole:
    """What a reader's likes and mutes add to the trend of the first columns."""
    hints = np.zeros(look, np.int64)
    if reader.liked:
        interests, weights = map(np.array, zip(*reader.liked, strict=True))
        found = np.take(table.relevance[interests], table.order[:look], axis=1)
        score = whole((found * weights[:, None]).max(axis=0))
        hints = (score * HINT_WEIGHT).astype(np.int64)
    for column, by in reader.push.items():
        if column < look:
            hints[column] -= by
    return hints


class _Picked:
    """The columns picked so far with the rank of each, and what may still join them."""

    def __init__(self, table: _Table, reader: _Reader) -> None:
        self.ranks: dict[int, int] = {}  # in the order they came
        self.room = reader.length
        self._table, self._closed = table, reader.closed
        self._near_duplicates: set[int] = set()
        self._author_groups: dict[int, int] = {}

    def take(self, rank: int, bar: int = GROUP_AND_DUPLICATE) -> bool:
        """Whether the column is among the picks now: it was, or it fits beside them.

        There must be room.
        """
        table = self._table
        column = rank // table.interests % table.size
        if column in self.ranks:
            return True
        if column in self._closed:
            return False
        near_duplicate, author_group = (
            table.near_duplicate[column],
            table.author_group[column],
        )
        met = self._author_groups.get(author_group, 0)
        if bar <= DUPLICATE and near_duplicate in self._near_duplicates:
            return False
        if bar <= GROUP_AND_DUPLICATE and met >= MAX_PER_AUTHOR_GROUP:
            return False
        self.ranks[column] = rank
        self.room -= 1
        self._near_duplicates.add(near_duplicate)
        self._author_groups[author_group] = met + 1
        return True

    def take_all(
        self, ranks: Iterable[int], left: int = 0, bar: int = GROUP_AND_DUPLICATE
    ) -> int:
        """Take what fits of these until so much room is left; how many were taken."""
        before, rest = self.room, iter(ranks)
        while self.room > max(left, 0) and (rank := next(rest, None)) is not None:
            self.take(rank, bar)
        return before - self.room


def whole(values: npt.NDArray[np.floating]) -> Whole:
    """Scores as whole numbers of SCALE steps."""
    return np.asarray(np.rint(values * SCALE), np.int64)


def _pins(pin: Whole) -> list[int]:
    """The pinned columns in the order of their pins."""
    return sorted(np.flatnonzero(pin).tolist(), key=lambda c: (pin[c], c))[:MAX_PINS]
