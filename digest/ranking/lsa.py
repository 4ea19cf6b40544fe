"""Vectors: texts become short unit rows, so that likeness of meaning is a product.

TF-IDF on words and word pairs, reduced by a truncated SVD (latent semantic analysis):
nothing to download, the same rows on every run. A model is plain arrays and words; it is
kept without pickle, for a row of the database must never be able to run code.
"""

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

from digest.text.tokens import unigrams_and_bigrams

Rows = npt.NDArray[np.float32]

# 256 found no more on the topics set and doubles every row. Never more than half the
# documents: with as many dimensions as documents nothing is drawn together.
DIMENSIONS = 128
MAX_TERMS = 30_000  # most frequent words and pairs; the kept model is then about 8 MB
RARE = 2  # documents a term must occur in, once there are FEW documents
FEW = 20
# The corpus mean is removed in proportion n / (n + 50): with a handful of papers the
# mean *is* what they are about.
MEAN_AFTER = 50


class Model(Protocol):
    """Whatever turns texts into vectors; equal versions give the same ones."""

    @property
    def dimensions(self) -> int: ...

    @property
    def version(self) -> str:
        """At most 16 characters."""

    @property
    def documents(self) -> int:
        """How many it was fitted on."""

    def embed(self, texts: Sequence[str]) -> Rows:
        """Unit rows, float32 [n, d]; a row of zeros for a text that says nothing to it."""

    def dumps(self) -> bytes:
        """What its row of the database keeps of it."""


@dataclass(frozen=True)
class Fitted:
    """A model of our own: `terms`, their idf [t], components [d, t] and the mean [d]."""

    terms: tuple[str, ...]
    idf: Rows
    components: Rows
    mean: Rows
    documents: int

    @property
    def dimensions(self) -> int:
        return int(self.components.shape[0])

    @cached_property
    def _counter(self) -> CountVectorizer:
        return CountVectorizer(analyzer=unigrams_and_bigrams, vocabulary=self.terms)

    @cached_property
    def version(self) -> str:
        """A digest of the content: equal models, and only those, share it."""
        seen = hashlib.sha256("\n".join(self.terms).encode())
        for array in (self.idf, self.components, self.mean):
            seen.update(array.tobytes())
        return seen.hexdigest()[:16]

    def embed(self, texts: Sequence[str]) -> Rows:
        """Unit rows, float32 [n, d]; a row of zeros where no term is known."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        known = _weigh(csr_matrix(self._counter.transform(texts)), self.idf)
        rows = _project(known, self.components)
        rows -= np.any(rows, axis=1)[:, None] * self.mean
        return np.asarray(normalize(rows), np.float32)

    def dumps(self) -> bytes:
        """The model as an .npz without pickled objects."""
        file = io.BytesIO()
        words = np.frombuffer(json.dumps(self.terms).encode(), np.uint8)
        np.savez_compressed(
            file,
            terms=words,
            idf=self.idf,
            components=self.components.astype(np.float16),
            mean=self.mean,
            documents=np.int64(self.documents),
        )
        return file.getvalue()


def loads(data: bytes) -> Fitted:
    """The model that `dumps` kept; equal to it, version included."""
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        return Fitted(
            tuple(json.loads(kept["terms"].tobytes())),
            kept["idf"],
            kept["components"].astype(np.float32),
            kept["mean"],
            int(kept["documents"]),
        )


def fit(texts: Sequence[str]) -> Fitted:
    """A model of these texts (one or more); the same texts give the same model."""
    if not texts:
        raise ValueError("a model needs at least one text")
    terms, counts = _vocabulary(texts)
    idf = _idf(counts)
    known = _weigh(counts, idf)
    components = _components(known)
    share = len(texts) / (len(texts) + MEAN_AFTER)
    mean = np.asarray(_project(known, components).mean(axis=0) * share, np.float32)
    return Fitted(terms, idf, components, mean, len(texts))


def _vocabulary(texts: Sequence[str]) -> tuple[tuple[str, ...], csr_matrix]:
    rare = RARE if len(texts) >= FEW else 1
    counter = CountVectorizer(
        analyzer=unigrams_and_bigrams, min_df=rare, max_features=MAX_TERMS
    )
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # not one word among them: a model that knows nothing
        return ("",), csr_matrix(np.zeros((len(texts), 1), np.int64))
    return tuple(counter.get_feature_names_out()), csr_matrix(counts)


def _idf(counts: csr_matrix) -> Rows:
    """ln((1 + n) / (1 + documents with the term)) + 1, as scikit-learn smooths it."""
    n = counts.shape[0]
    found = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.asarray(np.log((1 + n) / (1 + found)) + 1, np.float32)


def _weigh(counts: csr_matrix, idf: Rows) -> csr_matrix:
    """Sublinear TF-IDF with unit rows."""
    weighed = counts.astype(np.float32)
    weighed.data = np.log(weighed.data) + 1
    weighed.data *= idf[weighed.indices]
    return csr_matrix(normalize(weighed))


def _project(known: csr_matrix, components: Rows) -> Rows:
    """Unit rows in the reduced space [n, d].

    Of unit length before the mean is removed: of a text of rare words little is left
    after the projection, and less the mean all such texts would be alike.
    """
    return np.asarray(normalize(known @ components.T), np.float32)


def _components(known: csr_matrix) -> Rows:
    """The leading right singular vectors [d, t], rounded to what `dumps` keeps."""
    size = min(DIMENSIONS, math.ceil(known.shape[0] / 2), known.shape[1])
    _, _, components = randomized_svd(known, size, random_state=0)
    return np.asarray(components, np.float16).astype(np.float32)
