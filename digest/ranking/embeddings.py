"""Embedding: the model in use, kept in its row, and every paper's vector under it."""

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from digest.models import EmbeddingModel, Paper
from digest.ranking import lsa, onnx_model
from digest.ranking.lsa import Model, Rows
from digest.ranking.onnx_model import Folder, Unusable, of_a_folder

log = structlog.get_logger()

# Fitting 9,000 papers takes 7 s; more of them no longer change what words mean.
FIT_ON = 10_000  # the newest papers
GROWTH = 4  # times the papers of the last fit before it is worth new vectors for all
CHUNK = 500  # papers embedded between two writes: half a minute of a folder's model
# A folder's model makes about 20 vectors a second: five minutes' worth, the newest papers
# first, and the others with the next ranks.
AT_ONCE = 5_000


def current() -> Model | None:
    """The model in use: the newest row that this machine can use; None before the first rank.

    A folder's model gets its row only when papers have its vectors, so that whoever mails
    or shows papers never has to wait for them.
    """
    version = _newest(EmbeddingModel.objects.all())
    if version and of_a_folder(version):
        with suppress(Unusable):  # `refresh` says it
            folder = _folder()
            if folder and version.startswith(folder.mark):
                return _load(version, folder)
        version = _newest(_rows(None))
    return _load(version, None) if version else None


def refresh() -> Model | None:
    """Bring the model that the settings ask for up to date, and embed what lacks it.

    It is made where there is none or the corpus outgrew it, and takes another's place
    once every paper has its vector: with a folder, that can take several ranks. Returns
    the model in use; None while there is no paper at all.
    """
    try:
        folder = _folder()
    except Unusable as error:
        log.error("embedding folder unusable", error=str(error), hint=error.hint)
        return current()  # the disk may be back tomorrow: no vector is made anew
    if model := _due(folder):
        whole = _embed_missing(model, AT_ONCE if folder else math.inf)
        if whole or current() is None:
            _use(model)
    return current()


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


def _due(folder: Folder | None) -> Model | None:
    """The model that all papers should have vectors of; None without a paper."""
    version = _newest(_rows(folder))
    model = _load(version, folder) if version else None
    count = min(Paper.objects.count(), onnx_model.FIT_ON if folder else FIT_ON)
    outgrown = model is None or count >= GROWTH * model.documents
    return _fit(folder) if count and outgrown else model


def _rows(folder: Folder | None) -> QuerySet[EmbeddingModel]:
    """The rows of this folder's models, or of those that were fitted here."""
    if folder:
        return EmbeddingModel.objects.filter(version__startswith=folder.mark)
    return EmbeddingModel.objects.exclude(version__contains="-")


def _newest(rows: QuerySet[EmbeddingModel]) -> str | None:
    return rows.order_by("created_at", "pk").values_list("version", flat=True).last()


@lru_cache(maxsize=2)
def _load(version: str, folder: Folder | None) -> Model:
    # A version names its content, so what is once read stays right.
    content = bytes(EmbeddingModel.objects.get(version=version).content)
    return onnx_model.loads(folder, content) if folder else lsa.loads(content)


def _folder() -> Folder | None:
    """The folder of the settings, where they name one, loaded. Raises Unusable."""
    path = settings.EMBEDDING_FOLDER
    return onnx_model.load(path) if path else None


def _fit(folder: Folder | None) -> Model:
    papers = Paper.objects.only("title", "abstract")
    if not folder:
        newest = papers.order_by("-announced_on", "-pk")[:FIT_ON]
        return lsa.fit([text(paper) for paper in newest])
    # The oldest are the same, and so is the version, until all papers have vectors.
    oldest = papers.order_by("pk")[: onnx_model.FIT_ON]
    return onnx_model.fit(folder, [text(paper) for paper in oldest])


def _embed_missing(model: Model, most: float) -> bool:
    """Embed papers that lack a vector, the newest first; True where none is left."""
    known = Paper.objects.order_by("-announced_on", "-pk")
    known = known.only("title", "abstract", "updated_at")
    lacking = known.exclude(vector_version=model.version, vector__isnull=False)
    done = 0
    while done < most and (chunk := list(lacking[:CHUNK])):
        made = model.embed([text(paper) for paper in chunk])
        for paper, row in zip(chunk, made, strict=True):
            paper.vector, paper.vector_version = row.tobytes(), model.version
        _write(chunk)
        done += len(chunk)
    return not lacking.exists()


@transaction.atomic
def _write(papers: Sequence[Paper]) -> None:
    """Keep these vectors, except of papers that were revised while theirs were made."""
    held = Paper.objects.select_for_update().filter(pk__in=[p.pk for p in papers])
    now = dict(held.order_by("pk").values_list("pk", "updated_at"))
    same = [paper for paper in papers if now.get(paper.pk) == paper.updated_at]
    Paper.objects.bulk_update(same, ["vector", "vector_version"])


def _use(model: Model) -> None:
    """From now on this is everybody's model: its row is the newest."""
    if _newest(EmbeddingModel.objects.all()) != model.version:
        content = {"content": model.dumps(), "papers": model.documents}
        EmbeddingModel.objects.update_or_create(
            version=model.version, defaults={**content, "created_at": timezone.now()}
        )
