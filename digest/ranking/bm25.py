"""Word index of an edition's candidates: BM25 and TF-IDF, exact where reduced vectors lose rare words."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from digest.text.tokens import content_words

Scores = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# The usual saturation and length normalisation.
BM25_K1, BM25_B = 1.2, 0.75
# A topic lists more words, but they are synonyms of each other.
FULL_ANSWER_TERMS = 6
# The examples of readers come back in many groups.
MAX_CACHED_TEXTS = 4_096


class TermIndex:
    """The words of n > 0 texts, each given as its `content_words`."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.size = len(texts)
        self._columns, counts = _count_terms(texts)
        frequencies = np.bincount(counts.indices, minlength=counts.shape[1])
        self._idf = np.log(1 + (self.size - frequencies + 0.5) / (frequencies + 0.5))
        self._unseen_idf = float(np.log(1 + (self.size + 0.5) / 0.5))
        self._saturated = _saturate(counts)
        self._tfidf = self._weigh(counts)
        self._mean = np.asarray(self._tfidf.mean(axis=0)).ravel()
        self._cached_row = lru_cache(MAX_CACHED_TEXTS)(self._tfidf_row)

    def bm25_scores(self, query: str, saturation: float = 0.0) -> Scores:
        """Score each text by BM25, relative to a full answer: float64 [n], 0 and up.

        A full answer, 1.0, has the query's six weightiest words. A word that no text has
        counts too: a text with one word of three answers a third. A word named n times
        weighs n / (1 + saturation·(n - 1)): n for 0, one for 1.
        (Robertson & Zaragoza 2009, section 3; their k3 is 1/saturation - 1.)
        """
        counts = Counter(content_words(query))
        if not counts:
            return np.zeros(self.size)
        weights = {
            word: n / (1 + saturation * (n - 1)) * self._idf_of(word)
            for word, n in counts.items()
        }
        row = np.zeros(self._idf.shape)
        for word, weight in weights.items():
            if word in self._columns:
                row[self._columns[word]] = weight
        weightiest = sorted(weights.values(), reverse=True)[:FULL_ANSWER_TERMS]
        return np.asarray(self._saturated @ row) / (sum(weightiest) * (BM25_K1 + 1))

    def term_shares(self, query: str) -> Scores:
        """The share of the idf weight of the query's words that each text has: [n] in [0, 1]."""
        terms = set(content_words(query))
        row = np.zeros(self._idf.shape)
        for word in terms & self._columns.keys():
            row[self._columns[word]] = self._idf[self._columns[word]]
        total = sum(map(self._idf_of, terms))
        if not total:
            return np.zeros(self.size)
        return np.asarray((self._saturated > 0) @ row) / total

    def centroid_cosine(self, texts: Sequence[str]) -> Scores:
        """Cosine to the centroid of `texts`, the mean of all papers removed: [n] in [-1, 1]."""
        if not texts:
            return np.zeros(self.size)
        return self._cosine_to(self._centroid(texts))

    def row_centroid_cosine(self, rows: Indices, weights: Scores) -> Scores:
        """Like `centroid_cosine`, for the weighted centroid of rows of this index."""
        return self._cosine_to(weights @ self._tfidf[rows] / weights.sum())

    def nearest_cosine(self, texts: Sequence[str], minimum: float) -> Scores:
        """Plain cosine to the nearest of `texts`: [n] in [0, 1], perhaps 0 where below `minimum`."""
        # No cosine is larger than the sum of all of them.
        bound = self._tfidf @ self._centroid(texts) * len(texts)
        near = np.flatnonzero(bound >= minimum)
        columns = np.stack([self._centroid([text]) for text in texts], axis=1)
        cosines = np.zeros(self.size)
        cosines[near] = (self._tfidf[near] @ columns).max(axis=1)
        return cosines

    def pair_cosine(self, left: Indices, right: Indices) -> Scores:
        """Plain cosine of each text to its partner: float64 [pairs]."""
        products = self._tfidf[left].multiply(self._tfidf[right])
        return np.asarray(products.sum(axis=1)).ravel()

    def _cosine_to(self, centroid: Scores) -> Scores:
        direction = centroid - self._mean
        length = float(np.linalg.norm(direction))
        if not length:
            return np.zeros(self.size)
        return np.asarray(self._tfidf @ direction) / length

    def _centroid(self, texts: Sequence[str]) -> Scores:
        centroid = np.zeros(self._idf.shape)
        for columns, weights in map(self._cached_row, texts):
            centroid[columns] += weights / len(texts)
        return centroid

    def _tfidf_row(self, text: str) -> tuple[Indices, Scores]:
        """A text as a unit row: the columns of its words, and their weights."""
        counts = Counter(word for word in content_words(text) if word in self._columns)
        columns = np.array([self._columns[word] for word in counts], np.int64)
        weights = (np.log(np.array([*counts.values()], float)) + 1) * self._idf[columns]
        return columns, weights / max(float(np.linalg.norm(weights)), 1e-12)

    def _idf_of(self, word: str) -> float:
        column = self._columns.get(word)
        return self._unseen_idf if column is None else float(self._idf[column])

    def _weigh(self, counts: csr_matrix) -> csr_matrix:
        """Sublinear TF-IDF with unit rows."""
        weights = counts.copy()
        weights.data = (np.log(weights.data) + 1) * self._idf[weights.indices]
        return csr_matrix(normalize(weights))


def _count_terms(
    texts: Sequence[Sequence[str]],
) -> tuple[dict[str, int], csr_matrix]:
    """Return the column of each word, and how often each text has it: [n, words]."""
    numbers = defaultdict[str, int]()
    numbers.default_factory = numbers.__len__
    flat = [numbers[word] for words in texts for word in words]
    ends = np.cumsum([0, *map(len, texts)])
    columns = {word: column for column, word in enumerate(sorted(numbers))}
    order = np.array([columns[word] for word in numbers], np.int64)
    shape = len(texts), max(len(columns), 1)
    counts = csr_matrix(
        (np.ones(len(flat)), order[flat] if flat else flat, ends), shape
    )
    counts.sum_duplicates()
    return columns, counts


def _saturate(counts: csr_matrix) -> csr_matrix:
    """tf·(k1+1) / (tf + k1·(1 - b + b·length/mean length)), row by row."""
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    relative = lengths / max(float(lengths.mean()), 1.0)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    saturated = counts.copy()
    norm = BM25_K1 * (1 - BM25_B + BM25_B * relative[rows])
    saturated.data = counts.data * (BM25_K1 + 1) / (counts.data + norm)
    return saturated
