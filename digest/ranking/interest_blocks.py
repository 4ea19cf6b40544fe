"""Evaluate many personal interests at once: saved searches and groups of example papers.

Interests that readers share are evaluated once an edition by `relevance.EditionScorer`.
Personal ones are as many as readers, so they are evaluated in blocks of B, with one sparse
and one dense product for a block. The formulas are those of EditionScorer, which is the
oracle in the tests; the arithmetic is float32.

    n candidates with V words · d dimensions of LSA · K example papers of the block

    prepared once an edition                    made for a block
      scorer.rows      float32 [n, d]             examples    float32 [K, d]
      scorer.centered  float32 [n, d]             centroids   float32 [B, d]
      tfidf            csr float32 [n, V]         words       csr float32 [B, V]
      duplicates       `DuplicateFinder`
      by_word, has_word  csr float32 [V, n]       queries     csr float32 [B, V]

    a group of examples                         a search
      tfidf @ words.T          words      ─┐      queries @ by_word         BM25     ─┐
      centroids @ centered.T   meaning     ├─►    centroids @ centered.T    meaning   ├─►
      max(examples @ rows.T)   nearest    ─┘      its ten best, as a group, feedback ─┘

    all of them float32 [B, n], and so is the relevance; claims are bool [B, n]

What only few candidates can have is computed for these alone: claims of a search where a
candidate has enough of its words, duplicates where the rarer words leave one possible.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from digest.ranking import relevance
from digest.ranking.bm25 import (
    MIN_DIRECTION_LENGTH,
    Scores,
    load_matrix,
    matrix_arrays,
    pack_terms,
)
from digest.ranking.lsa import normalize_rows
from digest.ranking.mapped_arrays import Arrays
from digest.ranking.relevance import (
    EditionScorer,
    Flags,
    InterestQuery,
    Match,
    PaperText,
    Row,
)
from digest.text.tokens import content_words

Whole = npt.NDArray[np.int64]
Spread = tuple[float, float]

PERSONAL_KINDS = frozenset({"paper", "search"})
# At 7,000 candidates an array of a block has 1.8 MB; larger blocks are not faster.
BLOCK_SIZE = 64
# Words that duplicates are not searched by: half of all entries, a sixth of a cosine.
COMMON_WORDS = 256
# The ten best of a row are among those above the tenth largest maximum of its parts.
PARTS_OF_A_ROW = 64


@dataclass(frozen=True)
class ExampleRow:
    """What is stored of an example paper: its vectors (float32) and its packed words."""

    vector: bytes
    terms: bytes
    dense_vector: bytes = b""


@dataclass(frozen=True)
class PersonalQuery:
    """A saved search with its LSA row, or a paper or group of papers with theirs."""

    kind: str
    value: str
    vector: bytes = b""
    examples: tuple[ExampleRow, ...] = ()


class InterestBlocks:
    """Evaluates blocks of personal interests against the candidates of one edition."""

    def __init__(self, scorer: EditionScorer, arrays: Arrays | None = None) -> None:
        """`arrays` are those of `to_arrays`, where another process has prepared them."""
        self.scorer, self.n = scorer, len(scorer.papers)
        terms = scorer.terms
        if arrays is None:
            self._tfidf = terms.tfidf.astype(np.float32)
            self._duplicates = DuplicateFinder.build(self._tfidf)
            self._by_word = csr_matrix(terms.saturated.T, dtype=np.float32)
        else:
            self._tfidf = load_matrix(arrays, "blocks_tfidf", terms.idf.size)
            self._duplicates = DuplicateFinder.from_arrays(arrays)
            self._by_word = load_matrix(arrays, "blocks_by_word", terms.size)
        self._has_word = self._by_word.copy()
        self._has_word.data[:] = 1
        # The mean row of all papers is removed from centroids c without a dense array:
        # tfidf @ (c - mean) = tfidf @ c - tfidf @ mean.
        self._mean_cosines = np.asarray(terms.tfidf @ terms.mean, np.float32)
        self._mean_square = float(terms.mean @ terms.mean)

    def to_arrays(self) -> Arrays:
        return (
            matrix_arrays("blocks_tfidf", self._tfidf)
            | self._duplicates.to_arrays()
            | matrix_arrays("blocks_by_word", self._by_word)
        )

    def evaluate(self, queries: Sequence[PersonalQuery]) -> Match:
        """Relevance and claims of each query: arrays [queries, n]."""
        shape = len(queries), self.n
        result = Match(np.zeros(shape, np.float32), np.zeros(shape, bool))
        if not self.n:
            return result
        searches = [i for i, query in enumerate(queries) if query.kind == "search"]
        groups = _order_groups(queries)
        for numbers, evaluate in (
            (searches, self._evaluate_searches),
            (groups, self._evaluate_groups),
        ):
            for start in range(0, len(numbers), BLOCK_SIZE):
                block = numbers[start : start + BLOCK_SIZE]
                match = evaluate([queries[i] for i in block])
                result.relevance[block] = np.clip(match.relevance, 0, 1)
                result.claimed[block] = match.claimed
        return result

    def prepare(self, query: InterestQuery) -> PersonalQuery:
        """The same query with rows instead of texts."""
        texts = [PaperText("", query.value), *query.examples]
        vectors = [b""] * len(texts)
        if self.scorer.model is not None:
            vectors = [self.scorer.embed(text).tobytes() for text in texts]
        examples = [
            ExampleRow(vector, pack_terms(text.text), text.dense_vector)
            for vector, text in zip(vectors[1:], query.examples, strict=True)
        ]
        return PersonalQuery(query.kind, query.value, vectors[0], tuple(examples))

    def _evaluate_groups(self, queries: Sequence[PersonalQuery]) -> Match:
        """EditionScorer._paper for a block."""
        numbers = {example: 0 for query in queries for example in query.examples}
        for number, example in enumerate(numbers):
            numbers[example] = number
        examples = list(numbers)
        members = [[numbers[e] for e in query.examples] for query in queries]
        shares = _membership(members, len(examples))
        terms = [example.terms for example in examples]
        rows = self.scorer.terms.tfidf_rows(terms)
        words = self._word_cosines(shares @ rows)
        likeness = _standardize(words, *relevance.WORDS_SPREAD)
        weights = np.ones((len(queries), 1), np.float32)
        is_near = np.zeros(likeness.shape, bool)
        cosines = None
        if self.scorer.model is not None:
            vectors = _stack(example.vector for example in examples)
            meaning = self._cosines(shares @ normalize_rows(vectors - self.scorer.mean))
            is_near = meaning >= relevance.MIN_CLAIM_COSINE
            likeness += self.scorer.weights.centroid * _standardize(
                meaning, *relevance.CENTROID_SPREAD
            )
            cosines = vectors @ self.scorer.rows.T  # of each example: [K, n]
            nearest = np.stack([cosines[group].max(axis=0) for group in members])
            likeness += self.scorer.weights.nearest * _standardize(
                nearest, *relevance.NEAREST_SPREAD
            )
            weights += self.scorer.weights.centroid + self.scorer.weights.nearest
        if self.scorer.dense is not None:
            self._add_dense(queries, likeness, weights)
        likeness /= weights
        scores = relevance.SIMILAR_AT_MOST * _likeness_relevance(likeness)
        claimed = is_near & (likeness >= relevance.MIN_CLAIM_LIKENESS)
        self._add_duplicates(rows, cosines, members, scores, claimed)
        return Match(scores, claimed)

    def _word_cosines(self, centroids: csr_matrix) -> Row:
        """TermIndex.centroid_cosine of centroids [B, V]: [B, n]."""
        columns = csr_matrix(centroids.T, dtype=np.float32).toarray()
        products = (self._tfidf @ columns).T
        squares = np.asarray(centroids.multiply(centroids).sum(axis=1)).ravel()
        squares += self._mean_square - 2 * (centroids @ self.scorer.terms.mean)
        lengths = np.sqrt(np.maximum(squares, 0))[:, None]
        is_direction = lengths >= MIN_DIRECTION_LENGTH
        factors = np.where(is_direction, 1 / np.maximum(lengths, 1e-12), 0)
        factors = factors.astype(np.float32)
        # A product with a diagonal matrix, because BLAS transposes faster than numpy.
        cosines = np.diagflat(factors) @ products
        cosines -= factors * self._mean_cosines
        return np.asarray(cosines)

    def _cosines(self, centroids: Row) -> Row:
        """LSA cosines of all candidates to centroids [B, d] of any length: [B, n]."""
        rows = normalize_rows(centroids)
        return np.asarray(rows @ self.scorer.centered.T)

    def _add_dense(
        self, queries: Sequence[PersonalQuery], likeness: Row, weights: Row
    ) -> None:
        """Add the term of the sentence-transformer to groups that have its vectors."""
        assert self.scorer.dense is not None
        for i, query in enumerate(queries):
            present = [e.dense_vector for e in query.examples if e.dense_vector]
            if present:
                rows = normalize_rows(_stack(present) - self.scorer.dense_mean)
                centroid = normalize_rows(rows.mean(axis=0, keepdims=True))
                cosines = centroid @ self.scorer.dense.T
                z = _standardize(cosines, *relevance.DENSE_SPREAD)
                likeness[i] += self.scorer.weights.sentences * z[0]
                weights[i] += self.scorer.weights.sentences

    def _add_duplicates(
        self,
        rows: csr_matrix,
        meaning: Row | None,
        members: Sequence[Sequence[int]],
        scores: Row,
        claimed: Flags,
    ) -> None:
        """Raise the relevance of candidates that are nearly one of the examples.

        `rows` csr [K, V] are the words of the examples, `meaning` [K, n] their LSA cosines.
        """
        least, certain = relevance.DUPLICATE_COSINES
        examples, columns = self._duplicates.find_pairs(rows, least)
        if meaning is not None:
            is_near = meaning[examples, columns] >= relevance.MIN_DUPLICATE_MEANING
            examples, columns = examples[is_near], columns[is_near]
        cosines = _row_products(self._tfidf[columns], rows[examples])
        is_duplicate = cosines >= least
        duplicate = np.clip((cosines - least) / (certain - least), 0, 1)[is_duplicate]
        examples, columns = examples[is_duplicate], columns[is_duplicate]
        by_example = defaultdict[int, list[tuple[int, float]]](list)
        for example, column, degree in zip(
            examples.tolist(), columns.tolist(), duplicate.tolist(), strict=True
        ):
            by_example[example].append((column, degree))
        for i, group in enumerate(members):
            for column, degree in chain.from_iterable(by_example[e] for e in group):
                scores[i, column] = max(scores[i, column], degree)
                claimed[i, column] |= degree >= 0.5

    def _evaluate_searches(self, queries: Sequence[PersonalQuery]) -> Match:
        """EditionScorer._search for a block."""
        counts = [Counter(content_words(query.value)) for query in queries]
        words = self._bm25(counts, relevance.TERM_SATURATION)
        meaning = np.zeros_like(words)
        if self.scorer.model is not None:
            rows = _stack(query.vector for query in queries)
            is_known = rows.any(axis=1, keepdims=True)
            meaning = self._cosines(rows - is_known * self.scorer.mean)
        scores = self._answer_relevance(queries, words, meaning)
        self._add_feedback(scores)
        if any(n > 1 for count in counts for n in count.values()):
            words = self._bm25(counts, 1.0)
        return Match(scores, self._claims(queries, words, meaning))

    def _claims(
        self, queries: Sequence[PersonalQuery], words: Row, meaning: Row
    ) -> Flags:
        """Claim the candidates that have a search's words and stand out."""
        claimed = np.zeros(words.shape, bool)
        rows, columns = self._cells_with_words(queries)
        if not rows.size:
            return claimed
        used, place = np.unique(rows, return_inverse=True)
        stands_out = _stand_out(
            words[used], place, columns, *relevance.BACKGROUND_WORDS
        )
        if self.scorer.model is not None:
            stands_out += _stand_out(
                meaning[used], place, columns, *relevance.BACKGROUND_MEANING
            )
        claimed[rows, columns] = stands_out >= relevance.MIN_CLAIM_WORDS
        return claimed

    def _bm25(self, counts: Sequence[Counter[str]], saturation: float) -> Row:
        """TermIndex.bm25_scores: [B, n]."""
        queries = [self.scorer.terms.bm25_query(c, saturation) for c in counts]
        scores = self._query_rows(queries) @ self._by_word
        return np.asarray(scores.toarray(), np.float32)

    def _query_rows(self, queries: Sequence[tuple[Whole, Scores]]) -> csr_matrix:
        """Columns and weights of each query as a matrix: csr [B, V]."""
        columns, weights = zip(*queries, strict=True)
        ends = np.cumsum([0, *map(len, columns)])
        data = np.concatenate(weights).astype(np.float32), np.concatenate(columns), ends
        return csr_matrix(data, shape=(len(queries), self._tfidf.shape[1]))

    def _answer_relevance(
        self, queries: Sequence[PersonalQuery], words: Row, meaning: Row
    ) -> Row:
        """EditionScorer._answer_relevance without feedback: [B, n]."""
        share = relevance.BM25_SHARE
        answer = np.maximum(meaning, 0)
        answer *= (1 - share) / relevance.FULL_ANSWER_COSINE / relevance.HALF_ANSWER
        answer += words * (share / relevance.HALF_ANSWER)
        rest = np.exp2(-(answer**2))  # what lacks to full relevance
        for i, query in enumerate(queries):
            for column, level in self.scorer.phrase_levels(query.value).items():
                rest[i, column] *= 1 - relevance.PHRASE_BONUS * level
        return np.asarray(1 - rest)

    def _add_feedback(self, scores: Row) -> None:
        """Add what the best matches have in common: EditionScorer._feedback."""
        best = _best_documents(scores)
        weights = [
            row[b].astype(np.float64) for row, b in zip(scores, best, strict=True)
        ]
        is_any = np.array([bool(w.any()) for w in weights])
        totals = [max(float(w @ w), 1e-30) for w in weights]
        pairs = [(b, w**2 / t) for b, w, t in zip(best, weights, totals, strict=True)]
        ends = np.cumsum([0, *map(len, best)])
        flat = np.concatenate([w for _, w in pairs]).astype(np.float32)
        shares = csr_matrix((flat, np.concatenate(best), ends), shape=scores.shape)
        words = self._word_cosines(shares @ self._tfidf)
        likeness = _standardize(words, *relevance.WORDS_SPREAD)
        if self.scorer.model is not None:
            meaning = self._cosines(np.asarray(shares @ self.scorer.centered))
            likeness += _standardize(meaning, *relevance.CENTROID_SPREAD)
            likeness /= 2
        trust = [
            t / max(float(w.sum()), 1e-30) for t, w in zip(totals, weights, strict=True)
        ]
        feedback = _likeness_relevance(likeness, relevance.HALF_FEEDBACK)
        feedback *= np.where(is_any, trust, 0).astype(np.float32)[:, None]
        scores += (1 - scores) * feedback

    def _cells_with_words(
        self, queries: Sequence[PersonalQuery]
    ) -> tuple[Whole, Whole]:
        """Queries and candidates of the cells where each part has enough of its words."""
        parts = [
            (i, self.scorer.terms.share_query(set(content_words(part))), least)
            for i, query in enumerate(queries)
            for part, least in relevance.required_parts(query.value)
        ]
        owners = np.array([i for i, _, _ in parts])
        leasts = np.array([least for _, _, least in parts])
        shares = self._query_rows([weights for _, weights, _ in parts]) @ self._has_word
        number = np.repeat(np.arange(len(parts)), np.diff(shares.indptr))
        is_enough = shares.data >= leasts[number] - relevance.TIE_WIDTH
        cells = owners[number[is_enough]] * self.n + shares.indices[is_enough]
        cells, counts = np.unique(cells, return_counts=True)
        rows, columns = np.divmod(cells, self.n)
        is_in_all = counts == np.bincount(owners)[rows]
        return rows[is_in_all], columns[is_in_all]


@dataclass(frozen=True)
class DuplicateFinder:
    """Finds the candidates whose TF-IDF cosine to a text may be high, without most products.

    The few words that most texts have are half of all products and little of a cosine:
    they add at most the product of the lengths that the two rows have in these words.
    """

    common: Whole  # columns of the most frequent words
    lengths: Row  # of the n candidates in these words
    by_rare_word: csr_matrix  # [V, n], without them

    @classmethod
    def build(cls, tfidf: csr_matrix) -> "DuplicateFinder":
        counts = np.bincount(tfidf.indices, minlength=tfidf.shape[1])
        common = np.sort(np.argsort(-counts, kind="stable")[:COMMON_WORDS])
        is_rare = np.ones(counts.size, np.float32)
        is_rare[common] = 0
        by_rare_word = csr_matrix(tfidf.T.multiply(is_rare[:, None]))
        by_rare_word.eliminate_zeros()
        return cls(common, _lengths(tfidf[:, common]), by_rare_word)

    def to_arrays(self) -> Arrays:
        arrays: Arrays = {"common_words": self.common, "common_lengths": self.lengths}
        return arrays | matrix_arrays("by_rare_word", self.by_rare_word)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "DuplicateFinder":
        lengths = arrays["common_lengths"]
        by_rare_word = load_matrix(arrays, "by_rare_word", lengths.size)
        return cls(arrays["common_words"], lengths, by_rare_word)

    def find_pairs(self, rows: csr_matrix, least: float) -> tuple[Whole, Whole]:
        """Return numbers of rows, and candidates whose cosine to them may be `least` or more."""
        least -= relevance.TIE_WIDTH
        lengths = _lengths(rows[:, self.common])
        products = csr_matrix(rows @ self.by_rare_word)
        numbers = np.repeat(np.arange(lengths.size), np.diff(products.indptr))
        columns = products.indices
        most = products.data + lengths[numbers] * self.lengths[columns]
        # Texts that consist of common words need not share a rare one.
        alike = np.flatnonzero(lengths * self.lengths.max(initial=0) >= least)
        row, column = np.nonzero(np.outer(lengths[alike], self.lengths) >= least)
        return (
            np.concatenate([numbers[most >= least], alike[row]]),
            np.concatenate([columns[most >= least], column]),
        )


def _lengths(rows: csr_matrix) -> Row:
    return np.asarray(np.sqrt(rows.multiply(rows).sum(axis=1)), np.float32).ravel()


def _order_groups(queries: Sequence[PersonalQuery]) -> list[int]:
    """Numbers of the queries with examples, those with the same examples side by side.

    A reader's library is several groups; within a block each example is evaluated once.
    """
    first_group = dict[ExampleRow, int]()
    sizes = [len(query.examples) for query in queries]
    for i in sorted(np.flatnonzero(sizes).tolist(), key=lambda i: -sizes[i]):
        number = first_group.setdefault(queries[i].examples[0], i)
        for example in queries[i].examples:
            first_group.setdefault(example, number)
    with_examples = [i for i, size in enumerate(sizes) if size]
    return sorted(with_examples, key=lambda i: first_group[queries[i].examples[0]])


def _membership(members: Sequence[Sequence[int]], size: int) -> csr_matrix:
    """A matrix [groups, size] whose rows average the members of each group."""
    shares = [np.full(len(group), 1 / len(group), np.float32) for group in members]
    weights = np.concatenate(shares)
    ends = np.cumsum([0, *map(len, members)])
    return csr_matrix(
        (weights, np.concatenate([*map(np.array, members)]), ends),
        shape=(len(members), size),
    )


def _row_products(left: csr_matrix, right: csr_matrix) -> Row:
    """The scalar product of each row with its partner: [rows]."""
    return np.asarray(left.multiply(right).sum(axis=1), np.float32).ravel()


def _stack(vectors: Iterable[bytes]) -> Row:
    return np.stack([np.frombuffer(vector, np.float32) for vector in vectors])


def _standardize(values: Row, mean: float, spread: float) -> Row:
    """relevance._standardize for each row of [B, n]."""
    share = relevance.SPREAD_AFTER / (values.shape[1] + relevance.SPREAD_AFTER)
    own = values.mean(axis=1, keepdims=True)
    centered = values - own
    variance = np.einsum("ij,ij->i", centered, centered)[:, None] / values.shape[1]
    variance = (1 - share) * variance + share * spread**2
    centered += share * (own - mean)
    return np.asarray(centered / np.sqrt(variance))


def _stand_out(
    values: Row, rows: Whole, columns: Whole, mean: float, spread: float
) -> Scores:
    """relevance._stand_out for cells of [B, n]: [cells]."""
    share = relevance.SPREAD_AFTER / (values.shape[1] + relevance.SPREAD_AFTER)
    is_background = values <= _background_line(values) + relevance.TIE_WIDTH
    count = is_background.sum(axis=1, keepdims=True)
    own = (values * is_background).sum(axis=1, keepdims=True) / count
    rest = (values - own) * is_background
    variance = np.einsum("ij,ij->i", rest, rest)[:, None] / count
    variance = (1 - share) * variance + share * spread**2
    center = (1 - share) * own + share * mean
    z = (values[rows, columns] - center[rows, 0]) / np.sqrt(variance[rows, 0])
    return np.asarray(z, np.float64)


def _background_line(values: Row) -> Row:
    """np.quantile of BACKGROUND_SHARE for each row: [B, 1]."""
    n = values.shape[1]
    position = relevance.BACKGROUND_SHARE * (n - 1)
    below = int(position)
    above = min(below + 1, n - 1)
    lines = np.zeros((len(values), 1), np.float32)
    # Where nine tenths and more are 0, as of a search's words, the line is 0.
    rows = np.flatnonzero(np.count_nonzero(values, axis=1) >= n - above)
    ordered = np.partition(values[rows], (below, above), axis=1)
    step = np.float32(position - below)
    low, high = ordered[:, below], ordered[:, above]
    lines[rows, 0] = low + (high - low) * step
    return lines


def _best_documents(scores: Row) -> list[Whole]:
    """relevance.best_documents of each row, without those of no relevance."""
    count, n = relevance.FEEDBACK_DOCUMENTS, scores.shape[1]
    size = n // PARTS_OF_A_ROW
    least = np.zeros(len(scores), np.float32)
    if size:
        parts = scores[:, : size * PARTS_OF_A_ROW].reshape(len(scores), -1, size)
        least = np.partition(parts.max(axis=2), -count, axis=1)[:, -count]
    best = []
    for row, limit in zip(scores, least - np.float32(relevance.TIE_WIDTH), strict=True):
        near = np.flatnonzero(row >= limit if limit > 0 else row > 0)
        best.append(near[relevance.best_documents(row[near])] if near.size else near)
    return best


def _likeness_relevance(likeness: Row, half: float = relevance.HALF_LIKENESS) -> Row:
    x = (likeness - half) / relevance.LIKENESS_WIDTH
    return np.asarray((1 + x / np.sqrt(1 + x**2)) / 2)
