"""Stances: what readers follow and mute, as the columns that selection computes with.

A column is one interest, or a group of example papers that one reader follows: the key is
the ids of its interests. Groups are found anew for every edition, so they follow at once
what a reader says.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy.sparse import csr_matrix

from accounts.models import Subscriber
from digest.models import Follow, Interest
from digest.ranking import prepare, taste
from digest.ranking.relevance import MUTE_FROM, Row, Wish

# A press of "more" says what a reader liked that day: half of it is left after two months.
# What they chose, and what they want no more of, holds until they change it.
HINT_HALVES_IN = 60.0  # days

Key = tuple[int, ...]  # ids of interests, ascending
Stance = dict[Key, float]


@dataclass(frozen=True)
class Stances:
    """Of each reader by id, the weight of each key; and every interest by its id."""

    readers: dict[int, Stance]
    interests: dict[int, Interest]
    vectors: dict[int, Row]  # of the papers among them

    @property
    def keys(self) -> list[Key]:
        return sorted({key for stance in self.readers.values() for key in stance})

    def wishes(self, keys: Sequence[Key]) -> list[Wish]:
        rows = [self.interests[pk] for pk in sorted({pk for key in keys for pk in key})]
        single = dict(zip((row.pk for row in rows), prepare.wishes(rows), strict=True))
        return [_joined([single[pk] for pk in key]) for key in keys]

    def nearest(self, key: Key, row: Row) -> int:
        """Of a key's interests the one nearest to a candidate's vector, to be the reason."""
        if len(key) == 1:
            return key[0]
        return max(key, key=lambda pk: (float(self.vectors[pk] @ row), -pk))


def of(readers: Iterable[Subscriber], now: datetime) -> Stances:
    """What these readers follow and mute, their example papers in groups."""
    stances = _weights([reader.pk for reader in readers], now)
    interests = _interests({pk for stance in stances.values() for pk in stance})
    vectors = prepare.vectors_of(interests.values())
    grouped = {reader: _grouped(stance, vectors) for reader, stance in stances.items()}
    return Stances(grouped, interests, vectors)


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


def mute_from(wishes: Iterable[Wish]) -> list[float]:
    """From which relevance each of them mutes where its weight is negative."""
    return [MUTE_FROM[wish.kind] for wish in wishes]


def _weights(readers: Sequence[int], now: datetime) -> dict[int, dict[int, float]]:
    rows = Follow.objects.filter(subscriber__in=readers)
    stances: dict[int, dict[int, float]] = defaultdict(dict)
    for reader, interest, weight, source, said in rows.values_list(
        "subscriber_id", "interest_id", "weight", "source", "created_at"
    ):
        if source == Follow.Source.FEEDBACK and weight > 0:
            days = max((now - said).total_seconds() / 86_400, 0)
            weight *= 0.5 ** (days / HINT_HALVES_IN)
        stances[reader][interest] = weight
    return stances


def _interests(ids: set[int]) -> dict[int, Interest]:
    found: dict[int, Interest] = {}
    for portion in prepare.chunks(sorted(ids)):
        found |= Interest.objects.in_bulk(portion)
    return found


def _grouped(stance: Mapping[int, float], vectors: Mapping[int, Row]) -> Stance:
    """The reader's liked papers in groups, each as heavy as its heaviest paper."""
    liked = sorted(pk for pk, weight in stance.items() if weight > 0 and pk in vectors)
    found: Stance = {(pk,): w for pk, w in stance.items() if pk not in liked}
    if liked:
        groups = taste.groups(np.stack([vectors[pk] for pk in liked]))
        for group, share in zip(groups, taste.weights(groups), strict=True):
            key = tuple(liked[i] for i in group)
            found[key] = share * max(stance[pk] for pk in key)
    return found


def _joined(wishes: Sequence[Wish]) -> Wish:
    if len(wishes) == 1:
        return wishes[0]
    examples = tuple(example for wish in wishes for example in wish.examples)
    return Wish(wishes[0].kind, " ".join(w.value for w in wishes), examples=examples)
