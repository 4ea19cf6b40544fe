"""Reader profiles: what readers follow and mute, as the columns that selection computes with.

A column is one interest, or a group of papers that one reader follows. Groups are computed
anew for every edition, so they follow the reader's changes at once. Papers that a reader
only opened form groups of their own, so that they never blur what was chosen.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from accounts.models import Subscriber
from digest.models import Follow, Interest
from digest.ranking import clustering, edition_index
from digest.ranking.relevance import InterestQuery, Row
from digest.ranking.selection import Role

# "More like this" says what a reader liked that day; what they chose, and what they want
# no more of, holds until they change it.
FEEDBACK_HALF_LIFE_DAYS = 60.0
# Opening a paper says less, and for less long. Every interest has a place of its own in a
# digest, however little it weighs, so opened papers count only in groups of three and
# more, in two groups at most, and not at all once their weight has halved twice.
OPENED_HALF_LIFE_DAYS = 30.0
MAX_OPENED_AGE_DAYS = 60.0
MAX_OPENED_GROUPS = 2
# The freshest papers of a group. Ten cost 4 ms a reader and edition, forty 8.
MAX_OPENED_GROUP_SIZE = 10


class Key(NamedTuple):
    """Ids of the interests of one column, ascending, and what the column is used for."""

    interests: tuple[int, ...]
    role: Role = Role.ORDER_AND_PLACES


Profile = dict[Key, float]


@dataclass
class ReaderFollows:
    """What one reader chose, and what they opened: weights by interest id."""

    chosen: dict[int, float] = field(default_factory=dict)
    opened: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ReaderProfiles:
    """Profiles by reader id, and every interest by its id."""

    profiles: dict[int, Profile]
    interests: dict[int, Interest]
    vectors: dict[int, Row]  # of the papers among the interests
    opened: dict[int, set[int]] = field(default_factory=dict)

    @property
    def keys(self) -> list[Key]:
        return sorted({key for profile in self.profiles.values() for key in profile})

    def build_queries(self, keys: Sequence[Key]) -> list[InterestQuery]:
        ids = {pk for key in keys for pk in key.interests}
        rows = [self.interests[pk] for pk in sorted(ids)]
        queries = edition_index.build_queries(rows)
        by_id = {row.pk: query for row, query in zip(rows, queries, strict=True)}
        return [_join_queries(key, by_id) for key in keys]

    def nearest_interest(self, key: Key, row: Row) -> int:
        """Return the interest of a key that is nearest to a candidate's vector, to be the reason."""
        if len(key.interests) == 1:
            return key.interests[0]
        return max(key.interests, key=lambda pk: (float(self.vectors[pk] @ row), -pk))


def load_profiles(readers: Iterable[Subscriber], now: datetime) -> ReaderProfiles:
    """Read what these readers follow and mute, their example papers in groups."""
    follows = _load_follows([reader.pk for reader in readers], now)
    ids = {pk for row in follows.values() for pk in (*row.chosen, *row.opened)}
    interests = _load_interests(ids)
    vectors = edition_index.load_interest_vectors(interests.values())
    profiles = {
        reader: _group_liked(row.chosen, vectors) | _group_opened(row.opened, vectors)
        for reader, row in follows.items()
    }
    opened = {reader: set(row.opened) for reader, row in follows.items()}
    return ReaderProfiles(profiles, interests, vectors, opened)


def weight_matrix(
    profiles: Sequence[Mapping[Key, float]], keys: Sequence[Key]
) -> csr_matrix:
    columns = {key: i for i, key in enumerate(keys)}
    cells = [
        (weight, row, columns[key])
        for row, profile in enumerate(profiles)
        for key, weight in profile.items()
    ]
    weights, rows, places = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix(
        (weights, (rows, places)), shape=(len(profiles), len(keys)), dtype=float
    )


def _load_follows(readers: Sequence[int], now: datetime) -> dict[int, ReaderFollows]:
    rows = Follow.objects.filter(subscriber__in=readers).exclude(weight=0)
    follows: dict[int, ReaderFollows] = defaultdict(ReaderFollows)
    for reader, interest, weight, source, created_at in rows.values_list(
        "subscriber_id", "interest_id", "weight", "source", "created_at"
    ):
        days = max((now - created_at).total_seconds() / 86_400, 0)
        if source != Follow.Source.OPENED:
            follows[reader].chosen[interest] = _decay(source, weight, days)
        elif days < MAX_OPENED_AGE_DAYS:
            follows[reader].opened[interest] = _decay(source, weight, days)
    return follows


def _decay(source: str, weight: float, days: float) -> float:
    if source == Follow.Source.OPENED:
        return float(weight * 0.5 ** (days / OPENED_HALF_LIFE_DAYS))
    if source == Follow.Source.FEEDBACK and weight > 0:
        return float(weight * 0.5 ** (days / FEEDBACK_HALF_LIFE_DAYS))
    return weight


def _load_interests(ids: set[int]) -> dict[int, Interest]:
    interests: dict[int, Interest] = {}
    for portion in edition_index.split_ids(sorted(ids)):
        interests |= Interest.objects.in_bulk(portion)
    return interests


def _group_liked(weights: Mapping[int, float], vectors: Mapping[int, Row]) -> Profile:
    """One column for all liked papers, and one for each group, as heavy as its heaviest paper."""
    liked = sorted(pk for pk, weight in weights.items() if weight > 0 and pk in vectors)
    profile = {Key((pk,)): w for pk, w in weights.items() if pk not in liked}
    if liked:
        groups = clustering.group_examples(np.stack([vectors[pk] for pk in liked]))
        is_split = len(groups) > 1
        if is_split:
            profile[Key(tuple(liked), Role.ORDER)] = max(weights[pk] for pk in liked)
        for group, share in zip(groups, clustering.group_weights(groups), strict=True):
            members = tuple(liked[i] for i in group)
            role = Role.PLACES if is_split else Role.ORDER_AND_PLACES
            profile[Key(members, role)] = share * max(weights[pk] for pk in members)
    return profile


def _group_opened(opened: Mapping[int, float], vectors: Mapping[int, Row]) -> Profile:
    """Group the papers that the reader opened, each group as heavy as its freshest paper."""
    ids = sorted(pk for pk in opened if pk in vectors)
    if not ids:
        return {}
    groups = clustering.group_opened(np.stack([vectors[pk] for pk in ids]))
    groups = groups[:MAX_OPENED_GROUPS]
    profile: Profile = {}
    for group, share in zip(groups, clustering.group_weights(groups), strict=True):
        freshest = sorted((ids[i] for i in group), key=lambda pk: (-opened[pk], -pk))
        members = tuple(sorted(freshest[:MAX_OPENED_GROUP_SIZE]))
        profile[Key(members)] = share * opened[freshest[0]]
    return profile


def _join_queries(key: Key, queries: Mapping[int, InterestQuery]) -> InterestQuery:
    if len(key.interests) == 1:
        return queries[key.interests[0]]
    members = [queries[pk] for pk in key.interests]
    return InterestQuery(
        members[0].kind,
        " ".join(query.value for query in members),
        examples=tuple(example for query in members for example in query.examples),
    )
