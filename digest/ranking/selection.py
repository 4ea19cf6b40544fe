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
CLAIMED_FROM = 0.28
TREND_PRIOR = 0.15  # what the most trending paper gains on an equally relevant one
# Of the best match too weak to be claimed, what it adds to the trend of a paper that
# fills the mail: the trending papers nearest to the reader come first.
NEARER = 0.5
# Of the match with a muted interest, where it is enough to be claimed but not to mute.
PUSH_DOWN = 0.5
MOST_PINS = 3
# Places of an interest's own: its share of the digest by weight, at least one, and no more
# than this; else one that matches thirty papers would leave no place for a rarer one.
MOST_PLACES = 3
MOST_OF_A_CIRCLE = 3  # papers of one group of authors, pins included
BARS = CIRCLE_AND_TWIN, TWIN, NONE = range(3)  # what keeps a paper out, in turn
TRENDING = -1  # in the place of an interest: picked for its trend, or pinned

# A key is one whole number to sort by: claimed before trending, then boost, then score.
BOOST = 4 * SCALE  # what a step of boost adds: more than any score
TIER = 8 * BOOST  # what being claimed adds: more than all boosts
TOP = 2 * TIER  # more than any key
LOOK = 400  # trending papers looked at first
# More than a hint adds to the trend of a paper that no interest claims.
REACH = int(CLAIMED_FROM * SCALE * NEARER) + 1


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
    weight takes a paper away. Pins lead; then the reader's relevant papers; the trending
    ones fill what is left.
    """
    table = _Table(slate, relevance, np.asarray(mute_from, np.float64))
    readers = _readers(table, block)
    offers = _offers(table, {stance for reader in readers for stance in reader.liked})
    return [
        _choose(table, reader, [offers[stance] for stance in reader.liked])
        for reader in readers
    ]


_Stance = tuple[int, float]  # an interest and its weight; many readers share one
_Offer = dict[int, int]  # the columns that a stance claims and their ranks, best first


class _Reader(NamedTuple):
    liked: list[_Stance]  # their interests ascend
    closed: set[int]  # candidates that were sent or are muted
    push: dict[int, int]  # how far mutes push down a column
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
        self.shown = int(np.count_nonzero(~slate.hidden))
        boosted = (slate.boost + 2) * BOOST + SCALE  # above 0 however far pushed down
        prior = whole(slate.trend * TREND_PRIOR)
        self.if_claimed = (prior + boosted + TIER)[order]
        self.if_trending = (trend + boosted)[order[: self.shown]]
        self.twin = slate.twin[order].tolist()
        self.circle = slate.circle[order].tolist()
        self.relevance, self.mute_from = relevance, whole(mute_from)
        self.size, self.interests = max(order.size, 1), max(len(relevance), 1)
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

    def claims(self) -> csr_matrix:
        """What every interest finds that is shown, where it is enough to say so."""
        cells = np.flatnonzero(self.relevance >= np.float32(CLAIMED_FROM))
        columns = self.place[cells % self.size]
        starts = np.searchsorted(cells, np.arange(len(self.relevance) + 1) * self.size)
        found = self.relevance.ravel()[cells] * (columns < self.shown)
        return csr_matrix((found, columns, starts), shape=self.relevance.shape)


def _readers(table: _Table, block: Block) -> list[_Reader]:
    weights = csr_matrix(block.weights)
    weights.sort_indices()
    cells = list(zip(weights.indices.tolist(), weights.data.tolist(), strict=True))
    follows = [cells[start:end] for start, end in pairwise(weights.indptr.tolist())]
    trending = block.trending or [(0, length) for length in block.lengths]
    rows = zip(follows, block.sent, block.lengths, trending, strict=True)
    return [_reader(table, *row) for row in rows]


def _reader(
    table: _Table,
    follows: Sequence[_Stance],
    sent: Sequence[int],
    length: int,
    trending: tuple[int, int],
) -> _Reader:
    liked = [stance for stance in follows if stance[1] > 0]
    muted = [stance for stance in follows if stance[1] < 0]
    gone, push = _mutes(table, muted) if muted else ([], {})
    return _Reader(liked, {*sent, *gone}, push, length, trending)


def _mutes(table: _Table, muted: Sequence[_Stance]) -> tuple[list[int], dict[int, int]]:
    """The candidates that a reader's mutes take away, and how far they push columns."""
    interests, weights = map(np.array, zip(*muted, strict=True))
    found = table.relevance[interests]
    gone = (whole(found) >= table.mute_from[interests, None]).any(axis=0)
    score = np.where(found >= np.float32(CLAIMED_FROM), found * -weights[:, None], 0)
    push = whole(score.max(axis=0) * PUSH_DOWN)
    pushed = np.flatnonzero(push)
    columns, by = table.place[pushed].tolist(), push[pushed].tolist()
    return np.flatnonzero(gone).tolist(), dict(zip(columns, by, strict=True))


def _offers(table: _Table, stances: set[_Stance]) -> dict[_Stance, _Offer]:
    """What each stance claims: one sort for all, each behind a number of its own."""
    if not stances:
        return {}
    interests, weights = map(np.array, zip(*stances, strict=True))
    claims = table.claims()[interests]
    stance = np.repeat(np.arange(interests.size), np.diff(claims.indptr))
    match, columns = whole(claims.data * weights[stance]), claims.indices
    ranks = table.ranks(match + table.if_claimed[columns], columns.astype(np.int64))
    span = TOP * table.size  # more than any of these ranks
    cells = np.sort((stance * span + ranks)[match > 0])
    ends = np.searchsorted(cells, np.arange(interests.size + 1) * span).tolist()
    ranks = cells % span * table.interests + interests[cells // span]
    offers = list(zip((cells % table.size).tolist(), ranks.tolist(), strict=True))
    return {
        stance: dict(offers[start:end])
        for stance, (start, end) in zip(stances, pairwise(ends), strict=True)
    }


def _pushed(table: _Table, offer: _Offer, push: dict[int, int]) -> _Offer:
    """What is left of an offer where the reader's mutes push down, or away."""
    if push.keys().isdisjoint(offer):
        return offer
    step = table.size * table.interests
    ranks = sorted(
        rank + push.get(column, 0) * step
        for column, rank in offer.items()
        if TOP - rank // step - table.if_claimed[column] > push.get(column, 0)
    )
    return {table.column(rank): rank for rank in ranks}


def _choose(table: _Table, reader: _Reader, offers: list[_Offer]) -> list[Choice]:
    if reader.push:
        offers = [_pushed(table, offer, reader.push) for offer in offers]
    picked = _Picked(table, reader)
    pinned = picked.take_all(table.pins, bar=NONE)
    kept = reader.trending[0] * picked.room // max(reader.length, 1)
    _represent(picked, offers, _places(reader), kept)
    if picked.room:
        _fill(table, reader, picked, offers, kept)
    ranks = [_best(offers, column, rank) for column, rank in picked.ranks.items()]
    return [table.choice(rank) for rank in ranks[:pinned] + sorted(ranks[pinned:])]


def _best(offers: Sequence[_Offer], column: int, otherwise: int) -> int:
    """The best rank of a column with any of the reader's interests."""
    ranks = [offer[column] for offer in offers if column in offer]
    return min(ranks, default=otherwise)


def _places(reader: _Reader) -> list[int]:
    """Of each interest, the places that are its own."""
    weights = [weight for _, weight in reader.liked]
    total, length = sum(weights), reader.length - reader.trending[0]
    shares = (int(weight / total * length + 1e-9) for weight in weights)
    return [min(max(share, 1), MOST_PLACES) for share in shares]


def _represent(
    picked: "_Picked", offers: Sequence[_Offer], places: Sequence[int], kept: int
) -> None:
    """The first papers of each interest in turn, the interest of the best paper first.

    A paper that came for another interest counts for this one too.
    """
    both = zip(offers, places, strict=True)
    found = [(offer.values(), own) for offer, own in both if offer]
    served = sorted((next(iter(ranks)), own, iter(ranks)) for ranks, own in found)
    for turn in range(MOST_PLACES):
        for _, own, ranks in served:
            if own > turn and picked.room > kept:
                any(map(picked.take, ranks))


def _fill(
    table: _Table, reader: _Reader, picked: "_Picked", offers: list[_Offer], kept: int
) -> None:
    """Fill the digest with the best that is left."""
    most = reader.trending[1]
    picked.take_all(_claimed(offers), kept)
    most -= picked.take_all(_trending(table, reader, offers), picked.room - most)
    for bar in BARS if reader.trending[1] >= reader.length else BARS[:-1]:
        picked.take_all(_claimed(offers), 0, bar)
        trending = _trending(table, reader, offers)
        most -= picked.take_all(trending, picked.room - most, bar)


def _claimed(offers: Sequence[_Offer]) -> Iterator[int]:
    """The ranks of what an interest claims, best first."""
    yield from sorted(chain.from_iterable(offer.values() for offer in offers))


def _trending(
    table: _Table, reader: _Reader, offers: Sequence[_Offer]
) -> Iterator[int]:
    """The ranks of what no interest claims, best first; some come twice.

    The first columns are looked at first, as far as no later one can surpass them: most
    digests are full then.
    """
    claimed: set[int] = set().union(*offers)
    for look in (LOOK, table.shown):
        keys = table.if_trending[:look] + _hints(table, reader, min(look, table.shown))
        later = table.if_trending[look] + REACH if look < table.shown else 0
        columns = np.flatnonzero(keys >= later)
        for rank in np.sort(table.ranks(keys[columns], columns)).tolist():
            if rank % table.size not in claimed:
                yield rank * table.interests


def _hints(table: _Table, reader: _Reader, look: int) -> Whole:
    """What the reader's stances make of the first columns where they do not claim them."""
    hints = np.zeros(look, np.int64)
    if reader.liked:
        interests, weights = map(np.array, zip(*reader.liked, strict=True))
        found = np.take(table.relevance[interests], table.order[:look], axis=1)
        score = whole((found * weights[:, None]).max(axis=0))
        hints = (score * NEARER).astype(np.int64)
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
        self._twins: set[int] = set()
        self._circles: dict[int, int] = {}

    def take(self, rank: int, bar: int = CIRCLE_AND_TWIN) -> bool:
        """Whether the column is among the picks now: it was, or it fits beside them."""
        table = self._table
        column = rank // table.interests % table.size
        if column in self.ranks:
            return True
        if not self.room or table.candidates[column] in self._closed:
            return False
        twin, circle = table.twin[column], table.circle[column]
        met = self._circles.get(circle, 0)
        if bar <= TWIN and twin in self._twins:
            return False
        if bar <= CIRCLE_AND_TWIN and met >= MOST_OF_A_CIRCLE:
            return False
        self.ranks[column] = rank
        self.room -= 1
        self._twins.add(twin)
        self._circles[circle] = met + 1
        return True

    def take_all(
        self, ranks: Iterable[int], left: int = 0, bar: int = CIRCLE_AND_TWIN
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
    return sorted(np.flatnonzero(pin).tolist(), key=lambda c: (pin[c], c))[:MOST_PINS]
