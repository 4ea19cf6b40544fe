"""Reader profiles: what readers follow and mute, as the columns that selection computes with.

A column is one interest, or a group of papers that one reader follows. Papers that a reader
only opened form groups of their own, so that they never blur what was chosen.

A block of readers is read with five queries of plain values, whatever they follow: follows,
interests, example papers (vectors and packed words, no texts), and their stored groups.
Groups are stored with a hash of what was clustered, so they follow the reader's changes at
once, and only those that changed are computed again.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import numpy as np
import structlog
from django.db import IntegrityError, transaction
from django.db.models import Case, DateTimeField, When
from scipy.sparse import csr_matrix

from accounts.models import Subscriber
from digest.models import ExampleGroups, Follow, Interest, Paper
from digest.ranking import bm25, clustering, edition_index, embeddings
from digest.ranking.interest_blocks import PERSONAL_KINDS, ExampleRow, PersonalQuery
from digest.ranking.lsa import LsaModel, Rows
from digest.ranking.relevance import InterestQuery, Row
from digest.ranking.selection import Role

log = structlog.get_logger()

# "More like this" says what a reader liked that day; what they chose, and what they want
# no more of, holds until they change it.
FEEDBACK_HALF_LIFE_DAYS = 60.0
# Opening a paper says less, and for less long. Every interest has a place of its own in a
# digest, however little it weighs, so opened papers count only in groups of three and
# more, in two groups at most, and not at all once their weight has halved twice.
OPENED_HALF_LIFE_DAYS = 30.0
MAX_OPENED_AGE_DAYS = 60.0
MAX_OPENED_GROUPS = 2
MAX_OPENED_GROUP_SIZE = 10  # the freshest papers of a group
# What groups depend on beside the papers and the model: stored ones of other rules are
# computed again.
GROUPING_RULES = repr(
    (
        *(clustering.MAX_GROUPS, clustering.MIN_GROUP_SIZE),
        *(clustering.MIN_SILHOUETTE, clustering.MIN_OPENED_COSINE),
    )
)
CHECKED_PER_NIGHT = 500  # readers: half a second
MAX_SHARED_ROWS = 10_000  # example papers take 1.5 KB each
NO_GROUP = 255  # label of an opened paper outside all groups


class Key(NamedTuple):
    """Ids of the interests of one column, ascending, and what the column is used for."""

    interests: tuple[int, ...]
    role: Role = Role.ORDER_AND_PLACES


Profile = dict[Key, float]
Shared = TypeVar("Shared")


@dataclass
class ReaderFollows:
    """What one reader chose, and what they opened: weights by interest id.

    `unused` are interests without an effect on the order: declined, or opened long ago.
    """

    chosen: dict[int, float] = field(default_factory=dict)
    opened: dict[int, float] = field(default_factory=dict)
    unused: list[int] = field(default_factory=list)

    @property
    def interests(self) -> list[int]:
        return [*self.chosen, *self.opened, *self.unused]


class InterestRow(NamedTuple):
    """The columns of an interest that choosing reads; `vector` is a search's LSA row."""

    kind: str
    value: str
    vector: bytes = b""

    @property
    def is_paper(self) -> bool:
        return self.kind == "paper"


@dataclass
class SharedRows:
    """What is read of interests that several readers follow, by interest id."""

    interests: dict[int, InterestRow] = field(default_factory=dict)
    examples: dict[int, ExampleRow] = field(default_factory=dict)
    queries: dict[int, InterestQuery] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _shared_rows(version: str, minute: int) -> SharedRows:
    return SharedRows()


@dataclass(frozen=True)
class ReaderProfiles:
    """Profiles by reader id, and by interest id what they refer to."""

    profiles: dict[int, Profile]
    interests: dict[int, InterestRow]
    examples: dict[int, ExampleRow]  # the papers among the interests
    vectors: dict[int, Row]  # their centered LSA rows
    opened: dict[int, set[int]] = field(default_factory=dict)
    # Identifiers of all papers that each reader follows, mutes, declined or opened.
    papers: dict[int, list[str]] = field(default_factory=dict)
    shared: SharedRows = field(default_factory=SharedRows)

    @property
    def keys(self) -> list[Key]:
        return sorted({key for profile in self.profiles.values() for key in profile})

    def build_queries(self, keys: Sequence[Key]) -> list[InterestQuery | PersonalQuery]:
        ids = {key.interests[0] for key in keys if not self._is_personal(key)}
        shared = self.shared.queries
        rows = {pk: self.interests[pk] for pk in sorted(ids - shared.keys())}
        if rows:
            queries = edition_index.build_queries(rows.values())
            shared.update(zip(rows, queries, strict=True))
        return [
            self._personal_query(key)
            if self._is_personal(key)
            else shared[key.interests[0]]
            for key in keys
        ]

    def _is_personal(self, key: Key) -> bool:
        return self.interests[key.interests[0]].kind in PERSONAL_KINDS

    def _personal_query(self, key: Key) -> PersonalQuery:
        first = self.interests[key.interests[0]]
        rows = [self.examples[pk] for pk in key.interests if pk in self.examples]
        return PersonalQuery(first.kind, first.value, first.vector, tuple(rows))

    def nearest_interest(self, key: Key, row: Row) -> int:
        """Return the interest of a key that is nearest to a candidate's vector, to be the reason."""
        if len(key.interests) == 1:
            return key.interests[0]
        cosines = np.stack([self.vectors[pk] for pk in key.interests]) @ row
        return key.interests[int(np.argmax(cosines))]


def load_profiles(
    readers: Iterable[Subscriber], now: datetime, store: bool = False
) -> ReaderProfiles:
    """Read what these readers follow and mute, their example papers in groups.

    With `store`, as for mails, groups that had to be computed are stored for the next
    edition, and interests that several readers share are read once a minute.
    """
    follows = _load_follows([reader.pk for reader in readers], now)
    ids = {pk for row in follows.values() for pk in row.interests}
    model = embeddings.current_model()
    shared = SharedRows()
    if store:
        minute = int(time.monotonic() // 60)
        shared = _shared_rows(model.version if model else "", minute)
    interests = _load_interests(ids, model, shared.interests)
    examples = _load_examples(interests, model, shared.examples)
    vectors = _center(examples, model)
    papers = {
        reader: [interests[pk].value for pk in row.interests if interests[pk].is_paper]
        for reader, row in follows.items()
    }
    with_papers = [reader for reader, identifiers in papers.items() if identifiers]
    rows = ExampleGroups.objects.filter(subscriber__any_of=with_papers)
    stored = {groups.pk: groups for groups in rows}
    profiles, changed = {}, []
    for reader, row in follows.items():
        if not papers[reader]:
            profiles[reader] = {Key((pk,)): w for pk, w in row.chosen.items()}
            continue
        groups = stored.get(reader) or ExampleGroups(subscriber_id=reader)
        before = bytes(groups.liked_key), bytes(groups.opened_key)
        profiles[reader] = _group_liked(row.chosen, vectors, groups)
        profiles[reader] |= _group_opened(row.opened, vectors, groups)
        if before != (bytes(groups.liked_key), bytes(groups.opened_key)):
            changed.append(groups)
    if store and changed:
        store_groups(changed)
    opened = {reader: set(row.opened) for reader, row in follows.items()}
    return ReaderProfiles(
        profiles, interests, examples, vectors, opened, papers, shared
    )


def store_groups(rows: Sequence[ExampleGroups]) -> None:
    columns = ["liked_key", "liked_groups", "opened_key", "opened_groups"]
    # A reader may be erased meanwhile; the groups are computed again at the next edition.
    with suppress(IntegrityError), transaction.atomic():
        ExampleGroups.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["subscriber"],
            update_fields=columns,
        )


def check_some_groups(now: datetime) -> int:
    """Check the stored groups of CHECKED_PER_NIGHT readers, other ones each night."""
    last = ExampleGroups.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    start = int(np.random.default_rng(now.toordinal()).integers(last + 1))
    rows = Subscriber.objects.filter(pk__gte=start, example_groups__isnull=False)
    return check_stored_groups(list(rows.order_by("pk")[:CHECKED_PER_NIGHT]), now)


def check_stored_groups(readers: Sequence[Subscriber], now: datetime) -> int:
    """Compare stored groups with newly computed ones; log and count the readers whose differ."""
    with_stored = load_profiles(readers, now).profiles
    follows = _load_follows([reader.pk for reader in readers], now)
    ids = {pk for row in follows.values() for pk in row.interests}
    model = embeddings.current_model()
    examples = _load_examples(_load_interests(ids, model, {}), model, {})
    vectors = _center(examples, model)
    different = [
        reader
        for reader, row in follows.items()
        if with_stored[reader]
        != _group_liked(row.chosen, vectors, ExampleGroups())
        | _group_opened(row.opened, vectors, ExampleGroups())
    ]
    for reader in different:
        log.error("stored groups of example papers are wrong", reader=reader)
    ExampleGroups.objects.filter(pk__in=different).delete()
    return len(different)


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
    follows: dict[int, ReaderFollows] = defaultdict(ReaderFollows)
    # Most follows were chosen and do not decay: reading their times is half of the cost.
    is_lasting = When(source=Follow.Source.CHOSEN, then=None)
    rows = Follow.objects.filter(subscriber__any_of=readers).values_list(
        *("subscriber_id", "interest_id", "weight", "source"),
        Case(is_lasting, default="created_at", output_field=DateTimeField()),
    )
    for reader, interest, weight, source, since in rows:
        own = follows[reader]
        days = max((now - since).total_seconds() / 86_400, 0) if since else 0
        is_opened = source == Follow.Source.OPENED
        if not weight or (is_opened and days >= MAX_OPENED_AGE_DAYS):
            own.unused.append(interest)
        elif is_opened:
            own.opened[interest] = weight * 0.5 ** (days / OPENED_HALF_LIFE_DAYS)
        elif since and weight > 0:
            own.chosen[interest] = weight * 0.5 ** (days / FEEDBACK_HALF_LIFE_DAYS)
        else:
            own.chosen[interest] = weight
    return follows


def _load_interests(
    ids: set[int], model: LsaModel | None, shared: dict[int, InterestRow]
) -> dict[int, InterestRow]:
    """Rows by id: those of `shared`, to which others than searches are added, or read ones."""
    version = model.version if model else ""
    columns = "pk", "kind", "value", "vector", "vector_version"
    interests = {pk: shared[pk] for pk in ids & shared.keys()}
    for portion in edition_index.split_ids(ids - shared.keys()):
        rows = Interest.objects.filter(pk__any_of=portion).values_list(*columns)
        for pk, kind, value, vector, row_version in rows:
            is_current = vector is not None and row_version == version
            interests[pk] = InterestRow(
                kind, value, bytes(vector) if is_current else b""
            )
    searches = {pk for pk, row in interests.items() if row.kind == "search"}
    _remember(shared, {pk: interests[pk] for pk in interests.keys() - searches})
    # Searches that were followed since the last ranking.
    new = [pk for pk in sorted(searches) if not interests[pk].vector]
    if model and new:
        for pk, vector in zip(
            new, model.embed([interests[pk].value for pk in new]), strict=True
        ):
            interests[pk] = interests[pk]._replace(vector=vector.tobytes())
    return interests


def _load_examples(
    interests: Mapping[int, InterestRow],
    model: LsaModel | None,
    shared: dict[int, ExampleRow],
) -> dict[int, ExampleRow]:
    """Rows of the papers among these interests, by interest id: of `shared`, or read."""
    ids = {row.value: pk for pk, row in interests.items() if row.is_paper}
    examples = {pk: shared[pk] for pk in ids.values() if pk in shared}
    unread = [identifier for identifier, pk in ids.items() if pk not in examples]
    if not unread:
        return examples
    dense = embeddings.dense_model()
    versions = [m.version if m else None for m in (model, dense)]
    columns = "identifier", "vector", "vector_version", "terms"
    for portion in edition_index.split_ids(sorted(unread)):
        papers = Paper.objects.filter(identifier__any_of=portion)
        dense_columns = ("dense_vector", "dense_version") if dense else ()
        for identifier, vector, version, terms, *rest in papers.values_list(
            *columns, *dense_columns
        ):
            if terms and vector and version == versions[0]:
                dense_vector = rest[0] if rest and rest[1] == versions[1] else None
                examples[ids[identifier]] = ExampleRow(
                    bytes(vector), bytes(terms), bytes(dense_vector or b"")
                )
    missing = [value for value, pk in ids.items() if pk not in examples]
    if missing:  # papers that were stored or revised since the last ranking
        for identifier, text in edition_index.load_texts(missing).items():
            vector = text.vector
            if model and not vector:
                vector = model.embed([text.text])[0].tobytes()
            examples[ids[identifier]] = ExampleRow(
                vector, bm25.pack_terms(text.text), text.dense_vector
            )
    _remember(shared, examples)
    return examples


def _remember(shared: dict[int, Shared], rows: Mapping[int, Shared]) -> None:
    """Add rows to shared ones, which are dropped where they are too many."""
    if len(shared) + len(rows) > MAX_SHARED_ROWS:
        shared.clear()
    shared.update(rows)


def _center(
    examples: Mapping[int, ExampleRow], model: LsaModel | None
) -> dict[int, Row]:
    """Centered LSA rows by interest id; none without a model."""
    if model is None or not examples:
        return {}
    rows = [np.frombuffer(example.vector, np.float32) for example in examples.values()]
    return dict(zip(examples, model.center(np.stack(rows)), strict=True))


def _group_liked(
    weights: Mapping[int, float], vectors: Mapping[int, Row], stored: ExampleGroups
) -> Profile:
    """One column for all liked papers, and one for each group, as heavy as its heaviest paper."""
    liked = sorted(pk for pk, weight in weights.items() if weight > 0 and pk in vectors)
    papers = set(liked)
    profile = {Key((pk,)): w for pk, w in weights.items() if pk not in papers}
    if liked:
        stored.liked_key, stored.liked_groups, groups = _cluster(
            liked,
            vectors,
            clustering.group_examples,
            bytes(stored.liked_key),
            bytes(stored.liked_groups),
        )
        is_split = len(groups) > 1
        if is_split:
            profile[Key(tuple(liked), Role.ORDER)] = max(weights[pk] for pk in liked)
        for group, share in zip(groups, clustering.group_weights(groups), strict=True):
            members = tuple(liked[i] for i in group)
            role = Role.PLACES if is_split else Role.ORDER_AND_PLACES
            profile[Key(members, role)] = share * max(weights[pk] for pk in members)
    return profile


def _group_opened(
    opened: Mapping[int, float], vectors: Mapping[int, Row], stored: ExampleGroups
) -> Profile:
    """Group the papers that the reader opened, each group as heavy as its freshest paper."""
    ids = sorted(pk for pk in opened if pk in vectors)
    if len(ids) < clustering.MIN_GROUP_SIZE:
        return {}
    stored.opened_key, stored.opened_groups, groups = _cluster(
        ids,
        vectors,
        clustering.group_opened,
        bytes(stored.opened_key),
        bytes(stored.opened_groups),
    )
    groups = groups[:MAX_OPENED_GROUPS]
    profile: Profile = {}
    for group, share in zip(groups, clustering.group_weights(groups), strict=True):
        freshest = sorted((ids[i] for i in group), key=lambda pk: (-opened[pk], -pk))
        members = tuple(sorted(freshest[:MAX_OPENED_GROUP_SIZE]))
        profile[Key(members)] = share * opened[freshest[0]]
    return profile


def _cluster(
    ids: Sequence[int],
    vectors: Mapping[int, Row],
    group: Callable[[Rows], list[list[int]]],
    stored_key: bytes,
    stored_groups: bytes,
) -> tuple[bytes, bytes, list[list[int]]]:
    """The key, the packed form and the groups of these papers: the stored ones if the key is theirs."""
    if len(ids) < clustering.MIN_GROUP_SIZE * 2 and group is clustering.group_examples:
        return b"", b"", [[*range(len(ids))]]
    rows = np.stack([vectors[pk] for pk in ids])
    key = blake2b(rows.tobytes() + GROUPING_RULES.encode(), digest_size=16).digest()
    if key == stored_key:
        return key, stored_groups, _unpack_groups(stored_groups)
    groups = group(rows)
    return key, _pack_groups(groups, len(ids)), groups


def _pack_groups(groups: Sequence[Sequence[int]], size: int) -> bytes:
    """The number of each paper's group, one byte a paper."""
    labels = np.full(size, NO_GROUP, np.uint8)
    for number, members in enumerate(groups[:NO_GROUP]):
        labels[members] = number
    return labels.tobytes()


def _unpack_groups(packed: bytes) -> list[list[int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for i, number in enumerate(packed):
        if number != NO_GROUP:
            groups[number].append(i)
    return [groups[number] for number in sorted(groups)]
