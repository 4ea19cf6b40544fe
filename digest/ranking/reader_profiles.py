"""Stances: what readers follow and mute, as the columns that selection computes with.

A column is one interest, or a group of papers that one reader follows: the key is the ids
of its interests. Groups are found anew for every edition, so they follow at once what a
reader says. Papers that a reader only opened form groups of their own, so that they never
blur what was chosen.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from scipy.sparse import csr_matrix

from accounts.models import Subscriber
from digest.models import Follow, Interest
from digest.ranking import clustering, edition_index
from digest.ranking.relevance import MUTE_FROM, InterestQuery, Row

# A press of "more" says what a reader liked that day: half of it is left after two months.
# What they chose, and what they want no more of, holds until they change it.
HINT_HALVES_IN = 60.0  # days

# To have opened a paper says less, and for less long. Every interest has a place of its own in
# a digest however little it weighs, so what was opened counts only where three papers and
# more are of one kind, in two kinds at most, and not at all once its weight halved twice.
OPENED_HALVES_IN = 30.0  # days
OPENED_COUNTS_FOR = 60.0  # days
MOST_OPENED_KINDS = 2
# Of a kind, the freshest. Ten cost 4 ms a reader and edition, forty 8, and say what the
# reader liked longer ago.
MOST_OF_A_KIND = 10

Key = tuple[int, ...]  # ids of interests, ascending
Stance = dict[Key, float]


@dataclass
class Said:
    """What one reader follows and mutes, and what they opened: weights by the interest's id."""

    taken: dict[int, float] = field(default_factory=dict)
    opened: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stances:
    """Of each reader by id, the weight of each key; and every interest by its id.

    `opened`: of each reader the interests that they did not choose, papers they opened.
    """

    readers: dict[int, Stance]
    interests: dict[int, Interest]
    vectors: dict[int, Row]  # of the papers among them
    opened: dict[int, set[int]] = field(default_factory=dict)

    @property
    def keys(self) -> list[Key]:
        return sorted({key for stance in self.readers.values() for key in stance})

    def requested_interests(self, keys: Sequence[Key]) -> list[InterestQuery]:
        rows = [self.interests[pk] for pk in sorted({pk for key in keys for pk in key})]
        single = dict(
            zip(
                (row.pk for row in rows),
                edition_index.requested_interests(rows),
                strict=True,
            )
        )
        return [_joined([single[pk] for pk in key]) for key in keys]

    def nearest(self, key: Key, row: Row) -> int:
        """Of a key's interests the one nearest to a candidate's vector, to be the reason."""
        if len(key) == 1:
            return key[0]
        return max(key, key=lambda pk: (float(self.vectors[pk] @ row), -pk))


def of(readers: Iterable[Subscriber], now: datetime) -> Stances:
    """What these readers follow and mute, their example papers in groups."""
    said = _said([reader.pk for reader in readers], now)
    ids = {pk for one in said.values() for pk in (*one.taken, *one.opened)}
    interests = _interests(ids)
    vectors = edition_index.vectors_of(interests.values())
    grouped = {
        reader: _grouped(one.taken, vectors) | _kinds(one.opened, vectors)
        for reader, one in said.items()
    }
    opened = {reader: set(one.opened) for reader, one in said.items()}
    return Stances(grouped, interests, vectors, opened)


def matrix(stances: Sequence[Mapping[Key, float]], keys: Sequence[Key]) -> csr_matrix:
    """Weights [readers, keys]."""
    columns = {key: i for i, key in enumerate(keys)}
    cells = [
        (weight, row, columns[key])
        for row, stance in enumerate(stances)
        for key, weight in stance.items()
    ]
    weights, rows, places = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix(
        (weights, (rows, places)), shape=(len(stances), len(keys)), dtype=float
    )


def mute_from(requested_interests: Iterable[InterestQuery]) -> list[float]:
    """From which relevance each of them mutes where its weight is negative."""
    return [MUTE_FROM[wish.kind] for wish in requested_interests]


def _said(readers: Sequence[int], now: datetime) -> dict[int, Said]:
    rows = Follow.objects.filter(subscriber__in=readers)
    found: dict[int, Said] = defaultdict(Said)
    for reader, interest, weight, source, said in rows.values_list(
        "subscriber_id", "interest_id", "weight", "source", "created_at"
    ):
        days = max((now - said).total_seconds() / 86_400, 0)
        if source != Follow.Source.OPENED:
            found[reader].taken[interest] = _left(source, weight, days)
        elif days < OPENED_COUNTS_FOR:
            found[reader].opened[interest] = _left(source, weight, days)
    return found


def _left(source: str, weight: float, days: float) -> float:
    """Of a weight, what is left so many days later."""
    if source == Follow.Source.OPENED:
        return float(weight * 0.5 ** (days / OPENED_HALVES_IN))
    if source == Follow.Source.FEEDBACK and weight > 0:
        return float(weight * 0.5 ** (days / HINT_HALVES_IN))
    return weight


def _interests(ids: set[int]) -> dict[int, Interest]:
    found: dict[int, Interest] = {}
    for portion in edition_index.chunks(sorted(ids)):
        found |= Interest.objects.in_bulk(portion)
    return found


def _grouped(stance: Mapping[int, float], vectors: Mapping[int, Row]) -> Stance:
    """The reader's liked papers in groups, each as heavy as its heaviest paper."""
    liked = sorted(pk for pk, weight in stance.items() if weight > 0 and pk in vectors)
    found: Stance = {(pk,): w for pk, w in stance.items() if pk not in liked}
    if liked:
        groups = clustering.groups(np.stack([vectors[pk] for pk in liked]))
        for group, share in zip(groups, clustering.weights(groups), strict=True):
            key = tuple(liked[i] for i in group)
            found[key] = share * max(stance[pk] for pk in key)
    return found


def _kinds(opened: Mapping[int, float], vectors: Mapping[int, Row]) -> Stance:
    """The kinds of papers that the reader opened several of, each as heavy as its freshest paper."""
    known = sorted(pk for pk in opened if pk in vectors)
    if not known:
        return {}
    groups = clustering.alike(np.stack([vectors[pk] for pk in known]))[
        :MOST_OPENED_KINDS
    ]
    found: Stance = {}
    for group, share in zip(groups, clustering.weights(groups), strict=True):
        fresh = sorted((known[i] for i in group), key=lambda pk: (-opened[pk], -pk))
        found[tuple(sorted(fresh[:MOST_OF_A_KIND]))] = share * opened[fresh[0]]
    return found


def _joined(requested_interests: Sequence[InterestQuery]) -> InterestQuery:
    if len(requested_interests) == 1:
        return requested_interests[0]
    examples = tuple(
        example for wish in requested_interests for example in wish.examples
    )
    return InterestQuery(
        requested_interests[0].kind,
        " ".join(w.value for w in requested_interests),
        examples=examples,
    )
