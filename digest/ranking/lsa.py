"""LSA: texts become short unit rows, so that similarity of meaning is a product.

TF-IDF on words and word pairs, reduced by a truncated SVD (latent semantic analysis):
nothing to download, the same rows on every run. The stored model is arrays and words
without pickle, because a database row must never be able to run code.
"""

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from digest.ranking.mapped_arrays import Arrays
from digest.text.tokens import unigrams_and_bigrams

Rows = npt.NDArray[np.float32]

# 256 gain nothing on the topics set and double every row. Never more than half the
# documents: with as many dimensions as documents nothing is generalised.
DIMENSIONS = 128
MAX_TERMS = (
    50_000  # most frequent words and pairs; the stored model is then about 13 MB
)
# Documents that a term must occur in, in corpora that are not tiny.
MIN_DOCUMENTS_PER_TERM = 2
TINY_CORPUS_DOCUMENTS = 20
# The corpus mean is removed in proportion n / (n + 50), because the mean of a handful of
# papers is what they are about.
MEAN_SHRINKAGE_DOCUMENTS = 50


# scikit-learn is imported only where a model is fitted: it takes 50 MB and half a second
# of every process, and workers need no more of it than these two functions.


def normalize_rows(rows: npt.NDArray[np.floating]) -> Rows:
    """Unit rows [n, d], float32; rows of zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


def normalize_matrix(matrix: csr_matrix) -> csr_matrix:
    """The same for a sparse matrix, of the type that it has."""
    counts = np.diff(matrix.indptr)
    owners = np.repeat(np.arange(counts.size), counts)
    lengths = np.sqrt(np.bincount(owners, np.square(matrix.data), counts.size))
    data = matrix.data / np.where(lengths > 0, lengths, 1)[owners]
    parts = data.astype(matrix.dtype), matrix.indices, matrix.indptr
    return csr_matrix(parts, shape=matrix.shape)


@dataclass(frozen=True, eq=False)
class LsaModel:
    """`terms`, their idf [t], components [d, t] and the mean of the corpus [d]."""

    terms: tuple[str, ...]
    idf: Rows
    components: Rows
    mean: Rows
    documents: int

    @property
    def dimensions(self) -> int:
        return int(self.components.shape[0])

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}

    @cached_property
    def version(self) -> str:
        """A digest of the content: equal models, and only those, share it."""
        digest = hashlib.sha256("\n".join(self.terms).encode())
        for array in (self.idf, self.components, self.mean):
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def embed(self, texts: Sequence[str]) -> Rows:
        """Unit rows, float32 [n, d]; a row of zeros where no term is known."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        counts = self._count_known_terms(texts)
        return _project(_weigh(counts, self.idf), self.components)

    def _count_known_terms(self, texts: Sequence[str]) -> csr_matrix:
        columns = [
            [self._columns[term] for term in terms if term in self._columns]
            for terms in map(unigrams_and_bigrams, texts)
        ]
        ends = np.cumsum([0, *map(len, columns)])
        flat = np.array([column for row in columns for column in row], np.int64)
        shape = len(texts), len(self.terms)
        counts = csr_matrix((np.ones(flat.size), flat, ends), shape)
        counts.sum_duplicates()
        return counts

    def center(self, rows: Rows) -> Rows:
        """Remove the corpus mean from unit rows, so that a cosine of 0 is chance."""
        if not rows.size:
            return rows
        centered = rows - np.any(rows, axis=1)[:, None] * self.mean
        return normalize_rows(centered)

    def to_bytes(self) -> bytes:
        """The model as an .npz without pickled objects."""
        file = io.BytesIO()
        terms = np.frombuffer(json.dumps(self.terms).encode(), np.uint8)
        np.savez_compressed(
            file,
            terms=terms,
            idf=self.idf,
            components=self.components.astype(np.float16),
            mean=self.mean,
            documents=np.int64(self.documents),
        )
        return file.getvalue()

    def to_arrays(self) -> Arrays:
        """The model for other processes to map."""
        return {
            "terms": np.frombuffer(json.dumps(self.terms).encode(), np.uint8),
            "idf": self.idf,
            "components": self.components,
            "mean": self.mean,
            "documents": np.array(self.documents),
        }


def from_arrays(arrays: Arrays) -> LsaModel:
    return LsaModel(
        tuple(json.loads(arrays["terms"].tobytes())),
        arrays["idf"],
        arrays["components"],
        arrays["mean"],
        int(arrays["documents"]),
    )


def from_bytes(data: bytes) -> LsaModel:
    """Load what `to_bytes` wrote; equal to it, version included."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return LsaModel(
            tuple(json.loads(arrays["terms"].tobytes())),
            arrays["idf"],
            arrays["components"].astype(np.float32),
            arrays["mean"],
            int(arrays["documents"]),
        )


def fit_lsa(texts: Sequence[str]) -> LsaModel:
    """Fit a model to one or more texts; the same texts give the same model."""
    if not texts:
        raise ValueError("a model needs at least one text")
    terms, counts = _count_terms(texts)
    idf = _smoothed_idf(counts)
    weights = _weigh(counts, idf)
    components = _fit_components(weights)
    share = len(texts) / (len(texts) + MEAN_SHRINKAGE_DOCUMENTS)
    mean = np.asarray(_project(weights, components).mean(axis=0) * share, np.float32)
    return LsaModel(terms, idf, components, mean, len(texts))


def _count_terms(texts: Sequence[str]) -> tuple[tuple[str, ...], csr_matrix]:
    from sklearn.feature_extraction.text import CountVectorizer

    is_tiny = len(texts) < TINY_CORPUS_DOCUMENTS
    vectorizer = CountVectorizer(
        analyzer=unigrams_and_bigrams,
        min_df=1 if is_tiny else MIN_DOCUMENTS_PER_TERM,
        max_features=MAX_TERMS,
    )
    try:
        counts = vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word: a model without terms
        return ("",), csr_matrix(np.zeros((len(texts), 1), np.int64))
    return tuple(vectorizer.get_feature_names_out()), csr_matrix(counts)


def _smoothed_idf(counts: csr_matrix) -> Rows:
    """ln((1 + n) / (1 + documents with the term)) + 1, as scikit-learn smooths it."""
    n = counts.shape[0]
    frequencies = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.asarray(np.log((1 + n) / (1 + frequencies)) + 1, np.float32)


def _weigh(counts: csr_matrix, idf: Rows) -> csr_matrix:
    """Sublinear TF-IDF with unit rows."""
    weights = counts.astype(np.float32)
    weights.data = np.log(weights.data) + 1
    weights.data *= idf[weights.indices]
    return normalize_matrix(weights)


def _project(weights: csr_matrix, components: Rows) -> Rows:
    """Unit rows in the reduced space [n, d].

    Of unit length before a mean is removed: the projection of a text of rare words is
    short, and minus the mean all such texts would be alike.
    """
    return normalize_rows(np.asarray(weights @ components.T))


def _fit_components(weights: csr_matrix) -> Rows:
    """The leading right singular vectors [d, t], rounded to what `to_bytes` stores."""
    from sklearn.utils.extmath import randomized_svd

    size = min(DIMENSIONS, math.ceil(weights.shape[0] / 2), weights.shape[1])
    _, _, components = randomized_svd(weights, size, random_state=0)
    return np.asarray(components, np.float16).astype(np.float32)
