"""Search: papers of all days by meaning, for the pages."""

from datetime import datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from django.db.models import Count, Max, QuerySet

from digest.models import Paper
from digest.ranking import embedding
from digest.ranking.vectors import Model, Rows

RELATED = 0.1  # cosine below which two texts have nothing to do with each other
ALIKE = 0.3  # cosine from which a paper is worth naming beside another

Index = tuple[npt.NDArray[np.int64], Rows]


def search(query: str, limit: int = 120) -> list[tuple[Paper, float]]:
    """Papers by cosine to the query, then by id; none for an empty query.

    Words that the model has never met have no meaning to it: a query of only such words
    finds them in titles, the newest first, with a cosine of 0.
    """
    model = embedding.current()
    if not query.strip() or model is None:
        return []
    row = model.embed([query])[0]
    if row.any():
        return _nearest(model, row, limit, RELATED)
    named = Paper.objects.filter(title__icontains=query.strip())
    return [(paper, 0.0) for paper in named[:limit]]


def similar(paper: Paper, limit: int = 5) -> list[tuple[Paper, float]]:
    """The papers most like this one, itself left out."""
    model = embedding.current()
    if model is None:
        return []
    row = embedding.rows([paper], model)[0]
    near = _nearest(model, row, limit + 1, ALIKE)
    return [(other, cosine) for other, cosine in near if other.pk != paper.pk][:limit]


def _nearest(
    model: Model, row: npt.NDArray[np.float32], limit: int, least: float
) -> list[tuple[Paper, float]]:
    ids, known = _index(model)
    # Rounded, so that equal papers tie on every machine and go by their ids.
    cosines = np.round((known @ row).astype(np.float64), 6)
    order = np.lexsort((ids, -cosines))[:limit]
    found = [(int(ids[i]), float(cosines[i])) for i in order if cosines[i] >= least]
    papers = Paper.objects.defer("title_raw", "abstract_raw", "vector").in_bulk(
        [pk for pk, _ in found]
    )
    return [(papers[pk], cosine) for pk, cosine in found if pk in papers]


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
