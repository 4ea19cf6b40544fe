"""Word index of an edition's candidates: BM25 and TF-IDF, exact where reduced vectors lose rare words."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from digest.ranking.lsa import normalize_matrix
from digest.ranking.mapped_arrays import Arrays, PackedTexts
from digest.text.tokens import content_words

Scores = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# The usual saturation and length normalisation.
BM25_K1, BM25_B = 1.2, 0.75
# A topic lists more words, but they are synonyms of each other.
FULL_ANSWER_TERMS = 6
# A centroid that is the mean of all texts has no direction.
MIN_DIRECTION_LENGTH = 1e-3
# The examples of readers come back in many groups.
MAX_CACHED_TEXTS = 4_096
# A text's words as they are stored beside its vector, after a byte with the number of the
# format: 64 bits of each word's hash, and how often the text has it.
TERM = np.dtype([("word", "<u8"), ("count", "u1")])
TERMS_FORMAT = b"\x01"
LOG_COUNTS = np.log(np.maximum(np.arange(256), 1))


class TermIndex:
    """The words of n > 0 texts, each given as its `content_words`."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.size = len(texts)
        self.columns, counts = _count_terms(texts)
        frequencies = np.bincount(counts.indices, minlength=counts.shape[1])
        self.idf = np.log(1 + (self.size - frequencies + 0.5) / (frequencies + 0.5))
        self.saturated = _saturate(counts)
        self.tfidf = self._weigh(counts)
        self.mean = np.asarray(self.tfidf.mean(axis=0)).ravel()
        self._complete()

    def to_arrays(self) -> Arrays:
        hashes, hashed = self.hashed_columns
        words = PackedTexts.pack([list(self.columns)])
        arrays: Arrays = {"words": words.text, "hashes": hashes, "hashed": hashed}
        for name, matrix in (("saturated", self.saturated), ("tfidf", self.tfidf)):
            arrays |= matrix_arrays(name, matrix)
        return arrays | {"idf": self.idf, "mean": self.mean}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "TermIndex":
        index = cls.__new__(cls)
        text = arrays["words"]
        (words,) = PackedTexts(text, np.array([0, text.size]))
        index.columns = {word: column for column, word in enumerate(words)}
        index.idf, index.mean = arrays["idf"], arrays["mean"]
        index.saturated = load_matrix(arrays, "saturated", index.idf.size)
        index.tfidf = load_matrix(arrays, "tfidf", index.idf.size)
        index.hashed_columns = arrays["hashes"], arrays["hashed"]
        index._complete()
        return index

    def _complete(self) -> None:
        """Set what is quickly computed from the arrays."""
        self.size = self.tfidf.shape[0]
        self._unseen_idf = float(np.log(1 + (self.size + 0.5) / 0.5))
        self._cached_row = lru_cache(MAX_CACHED_TEXTS)(self._tfidf_row)

    def bm25_scores(self, query: str, saturation: float = 0.0) -> Scores:
        """Score each text by BM25, relative to a full answer: float64 [n], 0 and up.

        A full answer, 1.0, has the query's six weightiest words. A word that no text has
        counts too: a text with one word of three answers a third. A word named n times
        weighs n / (1 + saturation·(n - 1)): n for 0, one for 1.
        (Robertson & Zaragoza 2009, section 3; their k3 is 1/saturation - 1.)
        """
        columns, weights = self.bm25_query(Counter(content_words(query)), saturation)
        row = np.zeros(self.idf.shape)
        row[columns] = weights
        return np.asarray(self.saturated @ row)

    def bm25_query(
        self, counts: Mapping[str, int], saturation: float
    ) -> tuple[Indices, Scores]:
        """The columns of a query's words, and what each adds per saturated frequency."""
        weights = {
            word: n / (1 + saturation * (n - 1)) * self._idf_of(word)
            for word, n in counts.items()
        }
        weightiest = sorted(weights.values(), reverse=True)[:FULL_ANSWER_TERMS]
        present = [word for word in counts if word in self.columns]
        values = np.array([weights[word] for word in present], np.float64)
        columns = np.array([self.columns[word] for word in present], np.int64)
        return columns, values / max(sum(weightiest) * (BM25_K1 + 1), 1e-12)

    def term_shares(self, query: str) -> Scores:
        """The share of the idf weight of the query's words that each text has: [n] in [0, 1]."""
        columns, weights = self.share_query(set(content_words(query)))
        row = np.zeros(self.idf.shape)
        row[columns] = weights
        return np.asarray((self.saturated > 0) @ row)

    def share_query(self, words: Set[str]) -> tuple[Indices, Scores]:
        """The columns of a query's words, and the share of its idf weight that each has."""
        present = sorted(self.columns[word] for word in words & self.columns.keys())
        columns = np.array(present, np.int64)
        total = sum(map(self._idf_of, sorted(words)))
        return columns, self.idf[columns] / max(total, 1e-12)

    def centroid_cosine(self, texts: Sequence[str]) -> Scores:
        """Cosine to the centroid of `texts`, the mean of all papers removed: [n] in [-1, 1]."""
        if not texts:
            return np.zeros(self.size)
        return self._cosine_to(self.centroid_of(texts))

    def row_centroid_cosine(self, rows: Indices, weights: Scores) -> Scores:
        """Like `centroid_cosine`, for the weighted centroid of rows of this index."""
        return self._cosine_to(weights @ self.tfidf[rows] / weights.sum())

    def cosines(self, texts: Sequence[str]) -> Scores:
        """Plain cosine to each of `texts`: [n, texts] in [0, 1]."""
        columns = np.stack([self.centroid_of([text]) for text in texts], axis=1)
        return np.asarray(self.tfidf @ columns)

    def pair_cosine(self, left: Indices, right: Indices) -> Scores:
        """Plain cosine of each text to its partner: float64 [pairs]."""
        products = self.tfidf[left].multiply(self.tfidf[right])
        return np.asarray(products.sum(axis=1)).ravel()

    def _cosine_to(self, centroid: Scores) -> Scores:
        direction = centroid - self.mean
        length = float(np.linalg.norm(direction))
        if length < MIN_DIRECTION_LENGTH:
            return np.zeros(self.size)
        return np.asarray(self.tfidf @ direction) / length

    def centroid_of(self, texts: Sequence[str]) -> Scores:
        centroid = np.zeros(self.idf.shape)
        for columns, weights in map(self._cached_row, texts):
            centroid[columns] += weights / len(texts)
        return centroid

    def _tfidf_row(self, text: str) -> tuple[Indices, Scores]:
        """A text as a unit row: the columns of its words, and their weights."""
        counts = Counter(word for word in content_words(text) if word in self.columns)
        columns = np.array([self.columns[word] for word in counts], np.int64)
        weights = (np.log(np.array([*counts.values()], float)) + 1) * self.idf[columns]
        return columns, weights / max(float(np.linalg.norm(weights)), 1e-12)

    def tfidf_rows(self, texts: Sequence[bytes]) -> csr_matrix:
        """Packed texts as unit rows: csr [texts, words]."""
        prefix = len(TERMS_FORMAT)
        flat = np.frombuffer(b"".join(text[prefix:] for text in texts), TERM)
        sizes = [(len(text) - prefix) // TERM.itemsize for text in texts]
        rows = np.repeat(np.arange(len(texts)), sizes)
        words = np.ascontiguousarray(flat["word"])
        hashes, columns = self.hashed_columns
        place = np.minimum(np.searchsorted(hashes, words), hashes.size - 1)
        is_present = hashes[place] == words
        columns, rows = columns[place[is_present]], rows[is_present]
        weights = (LOG_COUNTS[flat["count"][is_present]] + 1) * self.idf[columns]
        squares = np.bincount(rows, weights**2, len(texts))
        weights /= np.sqrt(np.maximum(squares, 1e-24))[rows]
        ends = np.searchsorted(rows, np.arange(len(texts) + 1))
        shape = len(texts), self.idf.size
        return csr_matrix((weights.astype(np.float32), columns, ends), shape)

    @cached_property
    def hashed_columns(self) -> tuple[npt.NDArray[np.uint64], Indices]:
        """The hashes of all words in ascending order, and their columns."""
        # A hash that no word has, so that an index without words can be searched.
        hashes = [0, *map(hash_word, self.columns)]
        columns = np.array([0, *self.columns.values()], np.int64)
        words = np.array(hashes, np.uint64)
        order = np.argsort(words)
        return words[order], columns[order]

    def _idf_of(self, word: str) -> float:
        column = self.columns.get(word)
        return self._unseen_idf if column is None else float(self.idf[column])

    def _weigh(self, counts: csr_matrix) -> csr_matrix:
        """Sublinear TF-IDF with unit rows."""
        weights = counts.copy()
        weights.data = (np.log(weights.data) + 1) * self.idf[weights.indices]
        return normalize_matrix(weights)


@dataclass(frozen=True)
class WordIndex:
    """The texts in which each word occurs, stop words included: an inverted index.

    Those of the word numbered i are texts[starts[i] : starts[i + 1]], in ascending order.
    """

    numbers: Mapping[str, int]
    starts: Indices
    texts: npt.NDArray[np.int32]

    @classmethod
    def build(cls, texts: Iterable[Iterable[str]]) -> "WordIndex":
        numbers = defaultdict[str, int]()
        numbers.default_factory = numbers.__len__
        words = [[numbers[word] for word in sorted(set(text))] for text in texts]
        flat = np.array([number for row in words for number in row], np.int64)
        order = np.argsort(flat, kind="stable")
        owners = np.repeat(np.arange(len(words), dtype=np.int32), [*map(len, words)])
        starts = np.searchsorted(flat[order], np.arange(len(numbers) + 1))
        return cls(dict(numbers), starts, owners[order])

    def to_arrays(self) -> Arrays:
        words = PackedTexts.pack([list(self.numbers)])
        return {"words": words.text, "starts": self.starts, "texts": self.texts}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "WordIndex":
        text = arrays["words"]
        (words,) = PackedTexts(text, np.array([0, text.size]))
        numbers = {word: number for number, word in enumerate(words)}
        return cls(numbers, arrays["starts"], arrays["texts"])

    def words_in(self, least: int) -> Iterator[tuple[str, int]]:
        """Yield the words that at least so many texts have, and their number of texts."""
        counts = np.diff(self.starts).tolist()
        for word, number in self.numbers.items():
            if counts[number] >= least:
                yield word, counts[number]

    def texts_with_all(self, words: Iterable[str]) -> npt.NDArray[np.int32]:
        """The texts that have all of one or more words, the rarest looked up first."""
        numbers = [self.numbers.get(word, -1) for word in set(words)]
        if -1 in numbers:
            return self.texts[:0]
        bounds = [(self.starts[i], self.starts[i + 1]) for i in numbers]
        lists = sorted((self.texts[a:b] for a, b in bounds), key=len)
        result = lists[0]
        for texts in lists[1:]:
            places = np.minimum(np.searchsorted(texts, result), texts.size - 1)
            result = result[texts[places] == result]
        return result


def matrix_arrays(name: str, matrix: csr_matrix) -> Arrays:
    parts = ("data", "indices", "indptr")
    return {f"{name}_{part}": getattr(matrix, part) for part in parts}


def load_matrix(arrays: Arrays, name: str, columns: int) -> csr_matrix:
    """The matrix of `matrix_arrays`, on the same memory."""
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    matrix = csr_matrix(parts, shape=(len(parts[2]) - 1, columns), copy=False)
    matrix.has_canonical_format = True  # else scipy tries to sort it in place
    return matrix


def pack_terms(text: str) -> bytes:
    """A text's content words for storage; a word counts 255 times at most."""
    counts = Counter(content_words(text))
    terms = sorted((hash_word(word), min(n, 255)) for word, n in counts.items())
    return TERMS_FORMAT + np.array(terms, TERM).tobytes()


@lru_cache(maxsize=200_000)
def hash_word(word: str) -> int:
    """64 bits of a hash that is the same on every machine, never 0."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest()) | 1


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
