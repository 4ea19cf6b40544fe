"""Opened: a paper that a reader opened from a digest becomes a weak follow, which fades."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from accounts.models import Subscriber
from digest import follows
from digest.models import Digest, Follow, Paper, moved_since

# To open is not to like: half a press of "more", a quarter of what was chosen.
WEIGHT = 0.25
# Ranking halves the weight every 30 days; twice halved, it no longer counts.
KEPT = timedelta(days=60)
# Of one reader. Older ones say what interested them then, and each costs a comparison.
MOST = 40
PORTION = 500  # digests looked at together

Opened = tuple[int, str]  # a reader's id, a paper's identifier


def learn(opened: Mapping[str, Collection[str]], at: datetime) -> None:
    """Remember what readers opened by `at`: papers by the key of the digest they were opened from.

    Left out is who does not want that, who left, and whoever may hold a digest by now
    that was sent to an address its reader moved from. A stance that the reader took
    themselves stays as it is; a paper that is opened again is fresh again. Learning the
    same twice changes nothing.
    """
    for keys in _portions(sorted(opened)):
        learners = Digest.objects.filter(
            key__in=keys,
            subscriber__learns_from_clicks=True,
            subscriber__state=Subscriber.State.ACTIVE,
        ).exclude(moved_since())
        readers = learners.values_list("key", "subscriber_id")
        pairs = [(reader, paper) for key, reader in readers for paper in opened[key]]
        _remember(pairs, at)
        _drop_oldest({reader for reader, _ in pairs})


def forget(reader: Subscriber) -> None:
    """Forget all that this reader opened: they do not want to be learned from."""
    of_readers([reader.pk]).delete()


def trim(now: datetime) -> None:
    """Forget what was opened so long ago that it no longer counts, and what should not have been learned."""
    rows = Follow.objects.filter(source=Follow.Source.OPENED)
    rows.filter(
        Q(created_at__lt=now - KEPT) | Q(subscriber__learns_from_clicks=False)
    ).delete()


def of_readers(readers: Iterable[int]) -> QuerySet[Follow]:
    return Follow.objects.filter(
        source=Follow.Source.OPENED, subscriber__in=list(readers)
    )


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(keys), PORTION):
        yield keys[first : first + PORTION]


@transaction.atomic
def _remember(pairs: Sequence[Opened], at: datetime) -> None:
    interests = _interests({paper for _, paper in pairs})
    wanted = [
        (reader, interests[paper]) for reader, paper in pairs if paper in interests
    ]
    before = _held(wanted)
    made = [
        Follow(
            subscriber_id=reader,
            interest_id=interest,
            weight=WEIGHT,
            source=Follow.Source.OPENED,
        )
        for reader, interest in wanted
    ]
    Follow.objects.bulk_create(made, ignore_conflicts=True)
    made_now = Q(pk__in=_held(wanted) - before)
    older = Q(pk__in=before, created_at__lt=at)
    Follow.objects.filter(made_now | older).update(created_at=at)


def _interests(identifiers: set[str]) -> dict[str, int]:
    """The ids of the interests in these papers, as far as we have the papers; they are held."""
    known = Paper.objects.filter(identifier__in=identifiers)
    rows = follows.lock_paper_interests(set(known.values_list("identifier", flat=True)))
    return {row.value: row.pk for row in rows}


def _held(wanted: Sequence[tuple[int, int]]) -> set[int]:
    """Ids of the rows of these readers and interests that were learned."""
    rows = of_readers({reader for reader, _ in wanted}).filter(
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


def _drop_oldest(readers: set[int]) -> None:
    place = Window(
        RowNumber(),
        partition_by=F("subscriber"),
        order_by=[F("created_at").desc(), F("pk").desc()],
    )
    beyond = of_readers(readers).annotate(place=place).filter(place__gt=MOST)
    Follow.objects.filter(pk__in=list(beyond.values_list("pk", flat=True))).delete()
