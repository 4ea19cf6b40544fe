"""Search: papers of all days by meaning and by the readers they share, for the pages."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from django.db.models import Count, Max, QuerySet

from accounts.models import Subscriber
from digest.models import Follow, Interest, Paper
from digest.ranking import co_readership, embeddings
from digest.ranking.co_readership import Company
from digest.ranking.lsa import Model, Rows

RELATED = 0.1  # cosine below which two texts have nothing to do with each other
ALIKE = 0.3  # cosine, and company, from which a paper is worth naming beside another
# Follows that say which papers share readers: 12 MB and a quarter of a second an hour.
LATEST = 500_000
NEAREST = 200  # papers of most company that are looked at

Index = tuple[npt.NDArray[np.int64], Rows]


def search(query: str, limit: int = 120) -> list[tuple[Paper, float]]:
    """Papers by cosine to the query, then by id; none for an empty query.

    Words that the model has never met have no meaning to it: a query of only such words
    finds them in titles, the newest first, with a cosine of 0.
    """
    model = embeddings.current()
    if not query.strip() or model is None:
        return []
    row = model.embed([query])[0]
    if row.any():
        return _nearest(model, row, limit, RELATED)
    named = Paper.objects.filter(title__icontains=query.strip())
    return [(paper, 0.0) for paper in named[:limit]]


def related(
    papers: Sequence[Paper], now: datetime, limit: int = 5, but: Collection[str] = ()
) -> list[tuple[Paper, bool]]:
    """The papers most related to these, without them and those called `but`.

    True with each that enough readers follow who also follow one of these. What readers
    follow is read once an hour.
    """
    model = embeddings.current()
    if model is None or not papers:
        return []
    ids, known = _index(model)
    near = _company_of([paper.identifier for paper in papers], now)
    beside = np.zeros(ids.size)
    there = np.isin(ids, list(near))
    beside[there] = [near[pk] for pk in ids[there].tolist()]
    scores = co_readership.related(known, embeddings.rows(papers, model), beside)
    left = Paper.objects.filter(identifier__in=but).values_list("pk", flat=True)
    scores[np.isin(ids, [*left, *(paper.pk for paper in papers)])] = 0
    return [(paper, paper.pk in near) for paper, _ in _best(ids, scores, limit, ALIKE)]


def _nearest(
    model: Model, row: npt.NDArray[np.float32], limit: int, least: float
) -> list[tuple[Paper, float]]:
    ids, known = _index(model)
    # Rounded, so that equal papers tie on every machine and go by their ids.
    cosines = np.asarray(known @ row, np.float64).round(6)
    return _best(ids, cosines, limit, least)


def _best(
    ids: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    limit: int,
    least: float,
) -> list[tuple[Paper, float]]:
    order = np.lexsort((ids, -scores))[:limit]
    found = [(int(ids[i]), float(scores[i])) for i in order if scores[i] >= least]
    papers = Paper.objects.defer("title_raw", "abstract_raw", "vector").in_bulk(
        [pk for pk, _ in found]
    )
    return [(papers[pk], score) for pk, score in found if pk in papers]


def _index(model: Model) -> Index:
    """The vectors of all papers under this model, read again when any has changed."""
    state = _embedded(model.version).aggregate(
        n=Count("pk"), last=Max("pk"), at=Max("updated_at")
    )
    return _read(
        model.version, model.dimensions, state["n"], state["last"], state["at"]
    )


@lru_cache(maxsize=1)
def _read(
    version: str, size: int, count: int, last: int | None, changed: datetime | None
) -> Index:
    pairs = list(_embedded(version).order_by("pk").values_list("pk", "vector"))
    ids = np.array([pk for pk, _ in pairs], np.int64)
    vectors = b"".join(bytes(vector or b"") for _, vector in pairs)
    return ids, np.frombuffer(vectors, np.float32).reshape(len(pairs), size)


def _embedded(version: str) -> QuerySet[Paper]:
    return Paper.objects.filter(vector_version=version, vector__isnull=False)


def _company_of(identifiers: Collection[str], now: datetime) -> dict[int, float]:
    """How much company other papers keep with these, by their ids; most have none."""
    likes = Interest.objects.filter(kind=Interest.Kind.PAPER)
    mine = likes.filter(value__in=identifiers).values_list("pk", flat=True)
    found, near = _company(int(now.timestamp()) // 3600).of(list(mine))
    scores = dict(zip(found[:NEAREST].tolist(), near.tolist(), strict=False))
    named = dict(likes.filter(pk__in=scores).values_list("value", "pk"))
    known = Paper.objects.filter(identifier__in=named)
    pairs = known.values_list("pk", "identifier")
    return {pk: scores[named[identifier]] for pk, identifier in pairs}


@lru_cache(maxsize=1)
def _company(hour: int) -> Company:
    """Who follows which papers, read anew every hour.

    Only what readers said themselves, and let us learn from, and only while they are ours.
    """
    told = Follow.objects.filter(interest__kind=Interest.Kind.PAPER, weight__gt=0)
    told = told.exclude(source=Follow.Source.OPENED)
    ours = told.filter(
        subscriber__state=Subscriber.State.ACTIVE, subscriber__learns_from_clicks=True
    )
    newest = ours.order_by("-pk").values_list("subscriber_id", "interest_id")[:LATEST]
    pairs = np.fromiter(chain.from_iterable(newest.iterator(10_000)), np.int64)
    return Company(pairs[::2], pairs[1::2])
