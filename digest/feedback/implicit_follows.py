"""Implicit follows: a paper that a reader opened from a digest becomes a weak follow, which decays."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from accounts.models import Subscriber
from digest import follows
from digest.models import Digest, Follow, Paper, moved_since

# Opening is a weaker sign than liking: half of "more like this", a quarter of a chosen
# follow.
OPENED_WEIGHT = 0.25
# Ranking halves the weight every 30 days; halved twice, it no longer counts.
OPENED_LIFETIME = timedelta(days=60)
# Older ones show a past interest, and each costs a comparison per edition.
MAX_OPENED_PER_READER = 40
CHUNK_SIZE = 500  # digests processed together

ReaderPaper = tuple[int, str]  # a reader's id, a paper's identifier


def learn_follows(opened: Mapping[str, Collection[str]], at: datetime) -> None:
    """Store weak follows of the papers that readers opened by `at`, given by digest key.

    Readers who opted out or left are ignored, and so are digests older than their
    reader's change of address, which another person may hold. Follows and mutes that the reader
    took explicitly are not changed; a paper opened again is fresh again. Idempotent.
    """
    for keys in _chunks(sorted(opened)):
        digests = Digest.objects.filter(
            key__in=keys,
            subscriber__learns_from_clicks=True,
            subscriber__state=Subscriber.State.ACTIVE,
        ).exclude(moved_since())
        readers = digests.values_list("key", "subscriber_id")
        pairs = [(reader, paper) for key, reader in readers for paper in opened[key]]
        _store_follows(pairs, at)
        _delete_oldest({reader for reader, _ in pairs})


def forget_opened(reader: Subscriber) -> None:
    """Delete all that was learned from this reader's clicks, when they opt out."""
    opened_follows([reader.pk]).delete()


def prune_opened(now: datetime) -> None:
    """Delete follows that no longer count, and those of readers who opted out."""
    rows = Follow.objects.filter(source=Follow.Source.OPENED)
    rows.filter(
        Q(created_at__lt=now - OPENED_LIFETIME)
        | Q(subscriber__learns_from_clicks=False)
    ).delete()


def opened_follows(readers: Iterable[int]) -> QuerySet[Follow]:
    return Follow.objects.filter(
        source=Follow.Source.OPENED, subscriber__in=list(readers)
    )


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), CHUNK_SIZE):
        yield keys[start : start + CHUNK_SIZE]


@transaction.atomic
def _store_follows(pairs: Sequence[ReaderPaper], at: datetime) -> None:
    interests = _lock_interests({paper for _, paper in pairs})
    wanted = [
        (reader, interests[paper]) for reader, paper in pairs if paper in interests
    ]
    existing_ids = _follow_ids(wanted)
    rows = [
        Follow(
            subscriber_id=reader,
            interest_id=interest,
            weight=OPENED_WEIGHT,
            source=Follow.Source.OPENED,
        )
        for reader, interest in wanted
    ]
    Follow.objects.bulk_create(rows, ignore_conflicts=True)
    created = Q(pk__in=_follow_ids(wanted) - existing_ids)
    opened_again = Q(pk__in=existing_ids, created_at__lt=at)
    Follow.objects.filter(created | opened_again).update(created_at=at)


def _lock_interests(identifiers: set[str]) -> dict[str, int]:
    """Lock the interests in those of these papers that exist; return their ids by identifier."""
    papers = Paper.objects.filter(identifier__in=identifiers)
    rows = follows.lock_paper_interests(
        set(papers.values_list("identifier", flat=True))
    )
    return {row.value: row.pk for row in rows}


def _follow_ids(wanted: Sequence[tuple[int, int]]) -> set[int]:
    rows = opened_follows({reader for reader, _ in wanted}).filter(
        interest__in={interest for _, interest in wanted}
    )
    pairs = set(wanted)
    return {
        pk
        for pk, reader, interest in rows.values_list(
            "pk", "subscriber_id", "interest_id"
        )
        if (reader, interest) in pairs
    }


def _delete_oldest(readers: set[int]) -> None:
    rank = Window(
        RowNumber(),
        partition_by=F("subscriber"),
        order_by=[F("created_at").desc(), F("pk").desc()],
    )
    surplus = opened_follows(readers).annotate(rank=rank)
    surplus = surplus.filter(rank__gt=MAX_OPENED_PER_READER)
    ids = list(surplus.values_list("pk", flat=True))
    Follow.objects.filter(pk__in=ids).delete()
