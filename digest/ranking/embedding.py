"""Embedding: the fitted model in its row, and every paper's vector under it."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from digest.models import Paper, VectorModel
from digest.ranking import vectors
from digest.ranking.vectors import Model, Rows

# Fitting 9,000 papers takes 7 s; more of them no longer change what words mean.
FIT_ON = 10_000  # the newest papers
GROWTH = 4  # times the papers of the last fit before it is worth new vectors for all
CHUNK = 2_000  # papers embedded between two writes


def current() -> Model | None:
    """The model in use: the newest one; None before the first rank."""
    version = (
        VectorModel.objects.order_by("created_at", "pk")
        .values_list("version", flat=True)
        .last()
    )
    return _load(version) if version else None


@lru_cache(maxsize=2)
def _load(version: str) -> Model:
    # A version names its content, so what is once read stays right.
    return vectors.loads(bytes(VectorModel.objects.get(version=version).content))


def refresh() -> Model | None:
    """Fit a model where there is none or the corpus outgrew it, then embed what lacks it.

    None while there is no paper at all.
    """
    count = min(Paper.objects.count(), FIT_ON)
    newest = VectorModel.objects.order_by("created_at", "pk").last()
    if count and (newest is None or count >= GROWTH * newest.papers):
        _fit()
    model = current()
    if model:
        _embed_missing(model)
    return model


def rows(papers: Sequence[Paper], model: Model) -> Rows:
    """Unit rows [n, d] of these papers; those without a current vector are embedded."""
    found = np.zeros((len(papers), model.dimensions), np.float32)
    lacking = []
    for i, paper in enumerate(papers):
        if paper.vector and paper.vector_version == model.version:
            found[i] = np.frombuffer(paper.vector, np.float32)
        else:
            lacking.append(i)
    if lacking:
        found[lacking] = model.embed([text(papers[i]) for i in lacking])
    return found


def text(paper: Paper) -> str:
    """What a paper's vector and its likeness to others are made from."""
    return f"{paper.title}. {paper.abstract}"


def _fit() -> None:
    papers = Paper.objects.order_by("-announced_on", "-pk")[:FIT_ON]
    texts = [text(paper) for paper in papers.only("title", "abstract")]
    model = vectors.fit(texts)
    content = {"content": model.dumps(), "papers": len(texts)}
    VectorModel.objects.get_or_create(version=model.version, defaults=content)


def _embed_missing(model: Model) -> None:
    lacking = Paper.objects.exclude(vector_version=model.version, vector__isnull=False)
    while chunk := list(lacking.only("title", "abstract").order_by("pk")[:CHUNK]):
        for paper, row in zip(
            chunk, model.embed([text(p) for p in chunk]), strict=True
        ):
            paper.vector, paper.vector_version = row.tobytes(), model.version
        Paper.objects.bulk_update(chunk, ["vector", "vector_version"], batch_size=500)
