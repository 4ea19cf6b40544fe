"""Lexicon: the words of an edition's candidates, for likeness that needs no fitted model.

Names, new terms and rare words are what the reduced vectors lose; here they are whole.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from digest.text.tokens import content_words

Scores = npt.NDArray[np.float64]

K1, B = 1.2, 0.75  # BM25's usual saturation and length correction
FULL = 6  # words of a full answer: a topic lists more, but they are synonyms
# Texts kept cut into words: the examples of readers come back in many groups.
KEPT = 4_096

Columns = npt.NDArray[np.int64]
Sparse = tuple[Columns, Scores]  # columns and what stands in them


class Lexicon:
    """The words of n > 0 texts: how well each answers a query, or resembles others."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.size = len(texts)
        self._columns, counts = _count(texts)
        found = np.bincount(counts.indices, minlength=counts.shape[1])
        self._idf = np.log(1 + (self.size - found + 0.5) / (found + 0.5))
        self._unseen = float(np.log(1 + (self.size + 0.5) / 0.5))
        self._saturated = _saturate(counts)
        self._weighed = self._weigh(counts)
        self._mean = np.asarray(self._weighed.mean(axis=0)).ravel()
        self._row = lru_cache(KEPT)(self._cut)

    def answers(self, query: str, sated: float = 0.0) -> Scores:
        """BM25 of the query's words over what a full answer gets: float64 [n], 0 and up.

        A full answer, 1.0, has the query's six weightiest words. A word that no text has
        counts too: a text with one word of three answers a third. A word named n times
        weighs n / (1 + sated·(n - 1)): each time anew for 0, once for 1.
        (Robertson & Zaragoza 2009, section 3; their k3 is 1/sated - 1.)
        """
        asked = Counter(content_words(query))
        if not asked:
            return np.zeros(self.size)
        weights = {
            word: n / (1 + sated * (n - 1)) * self._weight(word)
            for word, n in asked.items()
        }
        row = np.zeros(self._idf.shape)
        for word, weight in weights.items():
            if word in self._columns:
                row[self._columns[word]] = weight
        full = sum(sorted(weights.values(), reverse=True)[:FULL]) * (K1 + 1)
        return np.asarray(self._saturated @ row) / full

    def resembles(self, texts: Sequence[str]) -> Scores:
        """Cosine to the centre of `texts`, less what all papers share: [n] in [-1, 1]."""
        if not texts:
            return np.zeros(self.size)
        return self._towards(self._centre(texts))

    def agrees(self, rows: Columns, weights: Scores) -> Scores:
        """Like `resembles`, but to the weighed centre of some of its own texts."""
        return self._towards(weights @ self._weighed[rows] / weights.sum())

    def duplicates(self, texts: Sequence[str], least: float) -> Scores:
        """Plain cosine to the nearest of `texts`, 1.0 for the same words: [n] in [0, 1].

        Below `least` it may be 0: no cosine is more than all of them together.
        """
        together = self._weighed @ self._centre(texts) * len(texts)
        near = np.flatnonzero(together >= least)
        rows = np.stack([self._centre([text]) for text in texts], axis=1)
        found = np.zeros(self.size)
        found[near] = (self._weighed[near] @ rows).max(axis=1)
        return found

    def pairs(self, left: Columns, right: Columns) -> Scores:
        """Plain cosine of each of these texts to its partner: float64 [pairs]."""
        both = self._weighed[left].multiply(self._weighed[right])
        return np.asarray(both.sum(axis=1)).ravel()

    def _towards(self, centre: Scores) -> Scores:
        special = centre - self._mean
        length = float(np.linalg.norm(special))
        if not length:
            return np.zeros(self.size)
        return np.asarray(self._weighed @ special) / length

    def _centre(self, texts: Sequence[str]) -> Scores:
        """The mean of the texts' unit rows."""
        centre = np.zeros(self._idf.shape)
        for columns, weights in map(self._row, texts):
            centre[columns] += weights / len(texts)
        return centre

    def _cut(self, text: str) -> Sparse:
        """A text as a unit row: the columns of its words, and their weights."""
        counts = Counter(word for word in content_words(text) if word in self._columns)
        columns = np.array([self._columns[word] for word in counts], np.int64)
        weights = (np.log(np.array([*counts.values()], float)) + 1) * self._idf[columns]
        return columns, weights / max(float(np.linalg.norm(weights)), 1e-12)

    def _weight(self, word: str) -> float:
        column = self._columns.get(word)
        return self._unseen if column is None else float(self._idf[column])

    def _weigh(self, counts: csr_matrix) -> csr_matrix:
        """Sublinear TF-IDF with unit rows."""
        weighed = counts.copy()
        weighed.data = (np.log(weighed.data) + 1) * self._idf[weighed.indices]
        return csr_matrix(normalize(weighed))


def _count(texts: Sequence[str]) -> tuple[dict[str, int], csr_matrix]:
    """The column of each word, and how often each text has it: [n, words]."""
    counter = CountVectorizer(analyzer=content_words)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # not one word among them
        return {}, csr_matrix(np.zeros((len(texts), 1)))
    return counter.vocabulary_, csr_matrix(counts, dtype=np.float64)


def _saturate(counts: csr_matrix) -> csr_matrix:
    """tf·(k1+1) / (tf + k1·(1 - b + b·length/mean length)), row by row."""
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    relative = lengths / max(float(lengths.mean()), 1.0)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    saturated = counts.copy()
    norm = K1 * (1 - B + B * relative[rows])
    saturated.data = counts.data * (K1 + 1) / (counts.data + norm)
    return saturated
