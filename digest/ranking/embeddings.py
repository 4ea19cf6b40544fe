"""Embeddings: the LSA model in use and every paper's vectors.

LSA is fitted here and always used. A sentence-transformer in EMBEDDING_FOLDER is one more
term beside it: papers that lack its vector are ranked without that term.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from digest.models import EmbeddingModel, Interest, Paper
from digest.ranking import bm25, lsa, onnx_model, search_index
from digest.ranking.lsa import LsaModel, Rows
from digest.ranking.mapped_arrays import load_arrays, store_arrays
from digest.ranking.onnx_model import SentenceTransformer, UnusableModel

log = structlog.get_logger()

# Fitting 9,000 papers takes 7 s; more of them no longer change what words mean.
MAX_FIT_PAPERS = 10_000
# Refit when the corpus has grown by this factor: a new fit needs new vectors for all papers.
REFIT_GROWTH = 4
WRITE_CHUNK = 500
# Models in VAR_DIR, 25 MB each, that all processes of a machine map.
MODELS_FOLDER, MAX_MAPPED_MODELS = "prepared-models", 2
# A sentence-transformer embeds about 20 papers a second: five minutes' worth, the newest
# papers first, and the others when editions are next ranked.
MAX_DENSE_PAPERS_PER_RUN = 5_000


def current_model() -> LsaModel | None:
    """The LSA model in use, the newest row; None before the first ranking."""
    newest = EmbeddingModel.objects.order_by("created_at", "pk")
    version = newest.values_list("version", flat=True).last()
    return _load_model(version) if version else None


def refresh() -> LsaModel | None:
    """Fit a model where there is none or the corpus outgrew it, and embed papers that lack vectors.

    Then indexes papers for the search, because their entries announce new vectors. Returns the model in use; None while there is no paper at all.
    """
    model, count = current_model(), min(Paper.objects.count(), MAX_FIT_PAPERS)
    if count and (model is None or count >= REFIT_GROWTH * model.documents):
        model = _fit_model()
        _embed_missing(model)
        _use(model)
    elif model:
        _embed_missing(model)
    if model:
        _embed_searches(model)
    with suppress(UnusableModel):  # logged by dense_model
        if dense := dense_model():
            _embed_missing_dense(dense)
    search_index.index_papers()
    return model


def dense_model() -> SentenceTransformer | None:
    """The sentence-transformer of the settings; None without one, or while it cannot be used."""
    path = settings.EMBEDDING_FOLDER
    if not path:
        return None
    try:
        return onnx_model.load_folder(path)
    except UnusableModel as error:
        log.error("embedding folder unusable", error=str(error), hint=error.hint)
        return None


def rows(papers: Sequence[Paper], model: LsaModel) -> Rows:
    """LSA rows [n, d] of these papers; those without a current vector are embedded."""
    vectors = np.zeros((len(papers), model.dimensions), np.float32)
    missing = []
    for i, paper in enumerate(papers):
        if paper.vector and paper.vector_version == model.version:
            vectors[i] = np.frombuffer(paper.vector, np.float32)
        else:
            missing.append(i)
    if missing:
        vectors[missing] = model.embed([text_of(papers[i]) for i in missing])
    return vectors


def dense_rows(papers: Sequence[Paper]) -> Rows | None:
    """Rows [n, e] of the sentence-transformer, of zeros where not embedded yet; None without one.

    Never embeds: neither a mail nor a page waits for that.
    """
    model = dense_model()
    if model is None:
        return None
    vectors = np.zeros((len(papers), model.dimensions), np.float32)
    for i, paper in enumerate(papers):
        if paper.dense_vector and paper.dense_version == model.version:
            vectors[i] = np.frombuffer(paper.dense_vector, np.float32)
    return vectors


def text_of(paper: Paper) -> str:
    """The text that a paper's vectors and its likeness to others are made from."""
    return f"{paper.title}. {paper.abstract}"


@lru_cache(maxsize=2)
def _load_model(version: str) -> LsaModel:
    # A version is a digest of the content, so a cached model never goes stale.
    folder = settings.VAR / MODELS_FOLDER / version
    arrays = load_arrays(folder)
    if arrays is None:
        row = EmbeddingModel.objects.get(version=version)
        arrays = lsa.from_bytes(bytes(row.content)).to_arrays()
        store_arrays(folder, arrays, MAX_MAPPED_MODELS)
    return lsa.from_arrays(load_arrays(folder) or arrays)


def _fit_model() -> LsaModel:
    newest = Paper.objects.only("title", "abstract").order_by("-announced_on", "-pk")
    return lsa.fit_lsa([text_of(paper) for paper in newest[:MAX_FIT_PAPERS]])


def _use(model: LsaModel) -> None:
    """Make this the current model: its row is the newest."""
    content = {"content": model.to_bytes(), "papers": model.documents}
    EmbeddingModel.objects.update_or_create(
        version=model.version, defaults={**content, "created_at": timezone.now()}
    )


def _embed_missing(model: LsaModel) -> None:
    papers = Paper.objects.only("title", "abstract", "updated_at")
    missing = papers.exclude(
        vector_version=model.version, vector__isnull=False, terms__isnull=False
    )
    while chunk := list(missing.order_by("-announced_on", "-pk")[:WRITE_CHUNK]):
        vectors = model.embed([text_of(paper) for paper in chunk])
        for paper, row in zip(chunk, vectors, strict=True):
            paper.vector, paper.vector_version = row.tobytes(), model.version
            paper.terms = bm25.pack_terms(text_of(paper))
        _write(chunk, ["vector", "vector_version", "terms"])


def _embed_searches(model: LsaModel) -> None:
    searches = Interest.objects.filter(kind=Interest.Kind.SEARCH)
    missing = searches.exclude(vector_version=model.version)
    while chunk := list(missing.order_by("pk")[:WRITE_CHUNK]):
        vectors = model.embed([interest.value for interest in chunk])
        for interest, row in zip(chunk, vectors, strict=True):
            interest.vector, interest.vector_version = row.tobytes(), model.version
        Interest.objects.bulk_update(chunk, ["vector", "vector_version"])


def _embed_missing_dense(model: SentenceTransformer) -> None:
    papers = Paper.objects.only("title", "abstract", "updated_at")
    missing = papers.exclude(dense_version=model.version, dense_vector__isnull=False)
    for _ in range(0, MAX_DENSE_PAPERS_PER_RUN, WRITE_CHUNK):
        chunk = list(missing.order_by("-announced_on", "-pk")[:WRITE_CHUNK])
        vectors = model.embed([text_of(paper) for paper in chunk])
        for paper, row in zip(chunk, vectors, strict=True):
            paper.dense_vector, paper.dense_version = row.tobytes(), model.version
        _write(chunk, ["dense_vector", "dense_version"])
        if len(chunk) < WRITE_CHUNK:
            break


@transaction.atomic
def _write(papers: Sequence[Paper], columns: Sequence[str]) -> None:
    """Store these vectors, except those of papers that were revised meanwhile."""
    rows = Paper.objects.select_for_update().filter(pk__in=[p.pk for p in papers])
    updated = dict(rows.order_by("pk").values_list("pk", "updated_at"))
    same = [paper for paper in papers if updated.get(paper.pk) == paper.updated_at]
    Paper.objects.bulk_update(same, columns)
