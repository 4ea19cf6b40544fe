"""Search papers of all days by meaning, and find related ones, for the pages."""

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
from digest.ranking.co_readership import CoReadership
from digest.ranking.lsa import LsaModel, Rows
from digest.text.arxiv_ids import find_arxiv_ids

# Cosine below which two texts have nothing to do with each other.
MIN_SEARCH_COSINE = 0.1
# Cosine or co-readership from which a paper is worth naming beside another.
MIN_RELATED_SCORE = 0.3
# The newest follows that co-readership reads: 12 MB and a quarter of a second an hour.
MAX_FOLLOWS = 500_000
MAX_NEIGHBOURS = 200

Index = tuple[npt.NDArray[np.int64], Rows]


def search(query: str, limit: int = 120) -> list[tuple[Paper, float]]:
    """Find papers by cosine to the query, then by id; none for an empty query.

    A query that names papers, by identifier or address, finds exactly these.
    The model has no vector for a query of unknown words: such a query finds them in
    titles, the newest first, with a cosine of 0.
    """
    if identifiers := find_arxiv_ids(query):
        papers = Paper.objects.in_bulk(identifiers[:limit], field_name="identifier")
        if papers:
            return [(papers[i], 1.0) for i in identifiers if i in papers]
    model = embeddings.current_model()
    if not query.strip() or model is None:
        return []
    row = model.center(model.embed([query]))[0]
    if row.any():
        return _find_nearest(model, row, limit)
    by_title = Paper.objects.filter(title__icontains=query.strip())
    return [(paper, 0.0) for paper in by_title[:limit]]


def related(
    papers: Sequence[Paper],
    now: datetime,
    limit: int = 5,
    exclude: Collection[str] = (),
) -> list[tuple[Paper, bool]]:
    """Find the papers most related to these, without them and the identifiers in `exclude`.

    True with each that enough readers follow who also follow one of `papers`. Follows are
    read once an hour.
    """
    model = embeddings.current_model()
    if model is None or not papers:
        return []
    ids, rows = _index(model)
    shared = _co_readership_scores([paper.identifier for paper in papers], now)
    co_scores = np.array([shared.get(pk, 0.0) for pk in ids.tolist()])
    followed = model.center(embeddings.rows(papers, model))
    scores = co_readership.score_related(rows, followed, co_scores)
    excluded = Paper.objects.filter(identifier__in=exclude).values_list("pk", flat=True)
    scores[np.isin(ids, [*excluded, *(paper.pk for paper in papers)])] = 0
    best = _load_best(ids, scores, limit, MIN_RELATED_SCORE)
    return [(paper, paper.pk in shared) for paper, _ in best]


def _find_nearest(
    model: LsaModel, row: npt.NDArray[np.float32], limit: int
) -> list[tuple[Paper, float]]:
    ids, rows = _index(model)
    # Rounded, so that equal papers tie on every machine and go by their ids.
    cosines = np.asarray(rows @ row, np.float64).round(6)
    return _load_best(ids, cosines, limit, MIN_SEARCH_COSINE)


def _load_best(
    ids: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    limit: int,
    minimum: float,
) -> list[tuple[Paper, float]]:
    order = np.lexsort((ids, -scores))[:limit]
    best = [(int(ids[i]), float(scores[i])) for i in order if scores[i] >= minimum]
    papers = Paper.objects.defer(
        "title_raw", "abstract_raw", "vector", "dense_vector"
    ).in_bulk([pk for pk, _ in best])
    return [(papers[pk], score) for pk, score in best if pk in papers]


def _index(model: LsaModel) -> Index:
    """The centered rows of all papers under this model, read again when any has changed."""
    state = _embedded(model.version).aggregate(
        n=Count("pk"), last=Max("pk"), at=Max("updated_at")
    )
    return _read_index(model, state["n"], state["last"], state["at"])


@lru_cache(maxsize=1)
def _read_index(
    model: LsaModel, count: int, last: int | None, changed: datetime | None
) -> Index:
    stored = _embedded(model.version).order_by("pk")
    pairs = list(stored.values_list("pk", "vector"))
    ids = np.array([pk for pk, _ in pairs], np.int64)
    vectors = b"".join(bytes(vector or b"") for _, vector in pairs)
    rows = np.frombuffer(vectors, np.float32).reshape(len(pairs), model.dimensions)
    return ids, model.center(rows)


def _embedded(version: str) -> QuerySet[Paper]:
    return Paper.objects.filter(vector_version=version, vector__isnull=False)


def _co_readership_scores(
    identifiers: Collection[str], now: datetime
) -> dict[int, float]:
    """Co-readership scores of other papers with these, by paper id; most have none."""
    interests = Interest.objects.filter(kind=Interest.Kind.PAPER)
    own = interests.filter(value__in=identifiers).values_list("pk", flat=True)
    hour = int(now.timestamp()) // 3600
    ids, near = _load_co_readership(hour).neighbours(list(own))
    scores = dict(zip(ids[:MAX_NEIGHBOURS].tolist(), near.tolist(), strict=False))
    by_identifier = dict(interests.filter(pk__in=scores).values_list("value", "pk"))
    papers = Paper.objects.filter(identifier__in=by_identifier)
    return {
        pk: scores[by_identifier[identifier]]
        for pk, identifier in papers.values_list("pk", "identifier")
    }


@lru_cache(maxsize=1)
def _load_co_readership(hour: int) -> CoReadership:
    """Read who follows which papers, once an hour.

    Only papers that active readers chose or liked themselves, and only of readers who let
    us learn from them.
    """
    liked = Follow.objects.filter(interest__kind=Interest.Kind.PAPER, weight__gt=0)
    own = liked.exclude(source=Follow.Source.OPENED).filter(
        subscriber__state=Subscriber.State.ACTIVE, subscriber__learns_from_clicks=True
    )
    newest = own.order_by("-pk").values_list("subscriber_id", "interest_id")
    pairs = np.fromiter(
        chain.from_iterable(newest[:MAX_FOLLOWS].iterator(10_000)), np.int64
    )
    return CoReadership(pairs[::2], pairs[1::2])
