"""Relevance of every candidate of an edition to one interest, and whether it may be claimed.

Relevance orders: it is in [0, 1], comparable between kinds of interests, and has no floor.
A claim is what a mail says ("because you follow …"), so its rules are stricter and do not
change the order.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from digest.ranking.bm25 import MAX_CACHED_TEXTS, Scores, TermIndex, WordIndex
from digest.ranking.lsa import LsaModel, normalize_rows
from digest.ranking.mapped_arrays import Arrays, PackedTexts
from digest.ranking.score_breakdown import DEFAULT_WEIGHTS, RankingWeights
from digest.text.arxiv_categories import category_matcher
from digest.text.authors import NameMatch, match_names, name_parts
from digest.text.tokens import (
    count_matches,
    is_one_edit_apart,
    keep_content,
    phrase_pattern,
    spelling_variants,
    split_at_stop_words,
    tokenize,
)

Row = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]

# A category or an archive holds hundreds of papers a day: they come after those that only
# mention a keyword, whatever their trend, and among themselves by trend.
PRIMARY_CATEGORY, CROSS_LISTED_CATEGORY = 0.25, 0.22

# A word of a keyword that no candidate has is read as a similar one that several have.
MIN_CORRECTED_LETTERS, MIN_CORRECTION_PAPERS = 7, 3

# A phrase: in the title, several times in the abstract, or mentioned once.
IN_TITLE, IN_ABSTRACT, MENTIONED = 1.0, 0.8, 0.4

SAME_NAME = 0.9
NAME_SCORES = {
    NameMatch.FULL: 1.0,
    NameMatch.SAME: SAME_NAME,
    NameMatch.INITIALS: 0.7,  # J. Smith may be another Smith
    NameMatch.SURNAME: 0.4,
    NameMatch.NONE: 0.0,
}
# Papers of one name without a common co-author, from which on several people bear it. On
# two recorded weeks 14 names reach it, two of them of one prolific person.
MIN_NAMESAKE_PAPERS = 5

# Likeness to examples is the mean of z-scores over the edition: of words, of the LSA
# centroid, of the nearest example's LSA cosine and, where there is one, of a
# sentence-transformer's centroid. Equal weights, and 2 for the last, chosen on reviewers,
# libraries, interests_multi, topics and two sets built from arXiv metadata: they are the
# defaults of RankingWeights.
# Mean and spread that each part has on the recorded editions; an edition's own count more
# and more from SPREAD_AFTER candidates on.
WORDS_SPREAD, CENTROID_SPREAD = (0.0, 0.03), (0.0, 0.12)
NEAREST_SPREAD, DENSE_SPREAD = (0.35, 0.12), (0.0, 0.13)
SPREAD_AFTER = 200
# The mean row of an edition is removed in proportion n / (n + 50).
MEAN_SHRINKAGE = 50
# Likeness that is relevance one half, and how fast relevance grows around it. Papers are
# near from about 1.5 on: of 67 recorded picks between there and the claim 48 were on topic,
# of 27 with .5 to 1.5 only 13. What is claimed stands above one mention of a keyword.
HALF_LIKENESS, LIKENESS_WIDTH = 3.0, 2.5
# Likeness to what feedback found says less than likeness to what a reader chose.
HALF_FEEDBACK = 4.5
# Of a topic with examples, the weight of its words beside the parts of likeness.
TOPIC_WORDS_WEIGHT = 0.5

# Answers to a search or to a topic without examples; chosen on the words-only topics.
BM25_SHARE = 0.75  # the rest is LSA cosine
FULL_ANSWER_COSINE = 0.8
HALF_ANSWER = 0.45
# Share of the missing relevance that a phrase in the title gives: broad topics have only
# words that BM25 weighs little.
PHRASE_BONUS = 0.3
# A topic repeats a word in many phrases and means it little more for that: five times count
# as 1.4, and no number as more than 1.5 (BM25's k3 of a half).
TERM_SATURATION = 2 / 3
OUTSIDE_CATEGORIES = 0.8  # factor outside the categories that a topic names
# One round of pseudo-relevance feedback (Rocchio 1971) for words alone, where it gains
# .012 of ap in development and .018 on other topics.
FEEDBACK_DOCUMENTS = 10

# Claims, calibrated on `claims` (three readers of June 2026) among 385 papers of the same
# field: .97 are right, .82 of what should be claimed is; and on 1,874 recorded papers with
# the shipped topics, where about a third between 11 and 12 was wrong. z-scores are of the papers that
# stand out least, so that a line means the same where many papers are related.
MIN_CLAIM_WORDS = 12.0  # z of BM25 + z of LSA
BACKGROUND_SHARE = 0.9
BACKGROUND_WORDS, BACKGROUND_MEANING = (0.01, 0.02), (0.0, 0.08)
# Scores nearer than this are equal: sums differ in the last digits by their order.
TIE_WIDTH = 1e-6
# Of the idf weight of a search, and of each of its parts between stop words, that the paper
# has: papers on low-resource languages without translation are no machine translation.
MIN_CLAIM_TERM_SHARE, MIN_CLAIM_PART_SHARE = 2 / 3, 0.5
MIN_CLAIM_LIKENESS, MIN_CLAIM_COSINE = 4.0, 0.4
MIN_CLAIM_MENTIONS = 2  # outside the title; one may be in passing

SIMILAR_AT_MOST = 0.85  # above it only the paper itself and near-duplicates
DUPLICATE_COSINES = (0.45, 0.65)  # TF-IDF: where a duplicate begins and is certain
# LSA cosine that a duplicate has. Of 36 pairs among 9,000 papers two are below, whose words
# make them hardly duplicates (.45 to .53) and less than their likeness does.
MIN_DUPLICATE_MEANING = 0.8
# Two candidates of one mail are near-duplicates from here: a paper and its second part are
# near in meaning, but only a text reworked for another venue shares most of its words.
DUPLICATE_MEANING, DUPLICATE_WORDS = 0.9, 0.6
CHUNK_ROWS = 1_000

# The relevance from which a negative weight mutes. A phrase must be there, a name be the
# name, a paper be primary in a category; of papers only the paper itself and its
# near-duplicates are muted.
MUTE_FROM = {
    "topic": 0.5,
    "category": PRIMARY_CATEGORY,
    "keyword": MENTIONED,
    "author": SAME_NAME,
    "paper": 0.9,
    "search": 0.5,
}
# The relevance from which a mail calls a paper near an interest. Below it, down to the match
# threshold, the paper still comes before trending ones but is only called new or trending.
# Of recorded picks for topics between .35 and .5, 22 of 25 were on topic or doubtful; for
# searches 7 of 11 there, and 22 of 22 from .5 on.
NEAR_FROM = {
    "topic": 0.35,
    "category": CROSS_LISTED_CATEGORY,
    "keyword": MENTIONED,
    "author": NAME_SCORES[NameMatch.SURNAME],
    "paper": 0.35,
    "search": 0.5,
}


@dataclass(frozen=True)
class PaperText:
    """What relevance reads of a paper; the first category is the primary one.

    Stored vectors are float32; missing ones are computed where that is cheap.
    """

    title: str
    abstract: str
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    vector: bytes = field(default=b"", compare=False, repr=False)
    dense_vector: bytes = field(default=b"", compare=False, repr=False)

    @property
    def text(self) -> str:
        return f"{self.title}. {self.abstract}"


@dataclass(frozen=True)
class InterestQuery:
    """One interest with all that it stands for.

    `kind` and `value` are those of the Interest row; a topic has keywords, categories and
    examples; a paper has itself, or its group, as examples.
    """

    kind: str
    value: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    examples: tuple[PaperText, ...] = ()

    @property
    def text(self) -> str:
        return " ".join([self.value, *self.keywords, self.description])


class HasKind(Protocol):
    @property
    def kind(self) -> str: ...


class Match(NamedTuple):
    """Relevance [n] in [0, 1], and the candidates for which the interest may be claimed [n]."""

    relevance: Row
    claimed: Flags


def mute_thresholds(queries: Iterable[HasKind]) -> list[float]:
    """The relevance from which each query mutes where its weight is negative."""
    return [MUTE_FROM[query.kind] for query in queries]


def near_thresholds(queries: Iterable[HasKind]) -> list[float]:
    """The relevance, stored as float32, from which each query's papers are called near."""
    return [float(np.float32(NEAR_FROM[query.kind])) for query in queries]


class EditionScorer:
    """The n candidates of an edition, prepared so that any interest is evaluated fast.

    `vectors` are their LSA rows [n, d] under `model`; without a model words alone decide.
    `dense` are rows of a sentence-transformer [n, e], of zeros where missing; none at all
    where no such model is used.
    """

    def __init__(
        self,
        papers: Sequence[PaperText],
        vectors: Row,
        model: LsaModel | None,
        dense: Row | None = None,
    ) -> None:
        self.papers, self.model = papers, model
        self.weights = DEFAULT_WEIGHTS
        self.rows, self.centered, self.mean = _center(vectors)
        self.dense: Row | None = None
        self.dense_mean = np.zeros(0, np.float32)
        if dense is not None and dense.any():
            _, self.dense, self.dense_mean = _center(dense)
        self._titles: Sequence[tuple[str, ...]] = [
            spelling_variants(paper.title) for paper in papers
        ]
        self._abstracts: Sequence[tuple[str, ...]] = [
            spelling_variants(paper.abstract) for paper in papers
        ]
        texts = zip(self._titles, self._abstracts, strict=True)
        # The first variant has the words as `content_words` reads them: none is cut twice.
        words = [keep_content(f"{t[0]} {a[0]}".split()) for t, a in texts]
        self.terms = TermIndex(words or [[]])
        texts = zip(self._titles, self._abstracts, strict=True)
        self._word_index = WordIndex.build(" ".join([*t, *a]).split() for t, a in texts)
        self._name_index = NameIndex.build(papers)
        self.embed = lru_cache(MAX_CACHED_TEXTS)(self._embed)

    def to_arrays(self) -> Arrays:
        """All that evaluating needs but the model, to be mapped by other processes."""
        texts = {
            "titles": self._titles,
            "abstracts": self._abstracts,
            "authors": [paper.authors for paper in self.papers],
            "categories": [paper.categories for paper in self.papers],
            "names": self._name_index.names,
        }
        arrays: Arrays = {
            "rows": self.rows,
            "centered": self.centered,
            "mean": self.mean,
            "name_papers": self._name_index.papers,
        }
        for name, rows in texts.items():
            packed = PackedTexts.pack(rows)
            arrays |= {f"{name}_text": packed.text, f"{name}_starts": packed.starts}
        if self.dense is not None:
            arrays |= {"dense": self.dense, "dense_mean": self.dense_mean}
        for prefix, index in (
            ("terms", self.terms),
            ("word_index", self._word_index),
            ("name_index", self._name_index.parts),
        ):
            arrays |= {f"{prefix}.{k}": row for k, row in index.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: Arrays,
        model: LsaModel | None,
        weights: RankingWeights = DEFAULT_WEIGHTS,
    ) -> "EditionScorer":
        """Use what `to_arrays` returned, without copies."""

        def texts(name: str) -> PackedTexts:
            return PackedTexts(arrays[f"{name}_text"], arrays[f"{name}_starts"])

        def part(prefix: str) -> Arrays:
            start = f"{prefix}."
            names = [name for name in arrays if name.startswith(start)]
            return {name.removeprefix(start): arrays[name] for name in names}

        scorer = cls.__new__(cls)
        scorer.weights = weights
        scorer.papers, scorer.model = (
            PackedPapers(texts("authors"), texts("categories")),
            model,
        )
        scorer.rows, scorer.centered = arrays["rows"], arrays["centered"]
        scorer.mean, scorer.dense = arrays["mean"], arrays.get("dense")
        scorer.dense_mean = arrays.get("dense_mean", np.zeros(0, np.float32))
        scorer._titles, scorer._abstracts = texts("titles"), texts("abstracts")
        scorer.terms = TermIndex.from_arrays(part("terms"))
        scorer._word_index = WordIndex.from_arrays(part("word_index"))
        names = WordIndex.from_arrays(part("name_index"))
        scorer._name_index = NameIndex(names, texts("names"), arrays["name_papers"])
        scorer.embed = lru_cache(MAX_CACHED_TEXTS)(scorer._embed)
        return scorer

    def evaluate(self, query: InterestQuery) -> Match:
        if not self.papers:
            return Match(np.zeros(0, np.float32), np.zeros(0, bool))
        relevance, claimed = _EVALUATORS[query.kind](self, query)
        return Match(np.clip(relevance, 0, 1).astype(np.float32), claimed)

    def near_duplicates(self) -> Whole:
        """The same number for candidates with nearly the same text: int64 [n].

        Searched among those near in meaning, so without a model none are found.
        """
        n = len(self.papers)
        chunks = [np.zeros((0, 2), np.int64)]
        for start in range(0, n, CHUNK_ROWS):  # all pairs at once would need gigabytes
            later = self.centered[start:]
            left, right = np.nonzero(later[:CHUNK_ROWS] @ later.T >= DUPLICATE_MEANING)
            pairs = np.stack([left, right], axis=1) + start
            chunks.append(pairs[pairs[:, 0] < pairs[:, 1]])
        near = np.concatenate(chunks)
        cosines = self.terms.pair_cosine(near[:, 0], near[:, 1])
        pairs = near[cosines >= DUPLICATE_WORDS]
        links = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (n, n))
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def author_groups(self) -> Whole:
        """The same number for candidates with the same last author, who heads most groups."""
        heads = [
            p.authors[-1:] or (f"anonymous {i}",) for i, p in enumerate(self.papers)
        ]
        numbers = {head: i for i, head in enumerate(heads)}
        return np.array([numbers[head] for head in heads], np.int64)

    def _topic(self, query: InterestQuery) -> tuple[Scores, Flags]:
        """Likeness to its examples, or its words and keywords; less outside its categories."""
        phrases = [query.value, *query.keywords]
        words = self.terms.bm25_scores(query.text, TERM_SATURATION)
        claimed = self._mentions(phrases) & self._answers(query.text)
        if query.examples:
            parts = self._likeness_parts(query.examples)
            likeness = _weighted_mean(
                [*parts, (TOPIC_WORDS_WEIGHT, _standardize(words))]
            )
            relevance = _likeness_relevance(likeness)
            claimed |= self._resembles(query.examples, likeness)
        else:
            bonus = PHRASE_BONUS * self._phrase_scores(phrases)
            relevance = self._answer_relevance(query.text, bonus)
        return relevance * self._category_factor(query.categories), claimed

    def _search(self, query: InterestQuery) -> tuple[Scores, Flags]:
        """Words and meaning of a query; more where it stands verbatim."""
        bonus = PHRASE_BONUS * self._phrase_scores([query.value])
        relevance = self._answer_relevance(query.value, bonus)
        claimed = np.ones(len(self.papers), bool)
        for part, least in required_parts(query.value):
            claimed &= self.terms.term_shares(part) >= least - TIE_WIDTH
        return relevance, claimed & self._answers(query.value)

    def _category(self, query: InterestQuery) -> tuple[Scores, Flags]:
        """The category itself, or with `cs` or `cs.*` everything of the archive."""
        wanted = query.value.removesuffix(".*")
        relevance = np.array(
            [_category_level(categories, wanted) for categories in self._categories]
        )
        return relevance, relevance > 0

    def _keyword(self, query: InterestQuery) -> tuple[Scores, Flags]:
        """A word or phrase as whole words, hyphens and simple plurals aside."""
        relevance = self._phrase_scores([self.correct_spelling(query.value)])
        return relevance, relevance > MENTIONED

    def correct_spelling(self, phrase: str) -> str:
        """Replace words that no candidate has by the nearest one that several have.

        Only long words one edit away, because a wrong correction would be a false claim.
        """
        return " ".join(map(self._correct_word, phrase.split()))

    def _correct_word(self, word: str) -> str:
        (token,) = tokens if len(tokens := tokenize(word)) == 1 else ("",)
        if len(token) < MIN_CORRECTED_LETTERS or token in self._word_index.numbers:
            return word
        near = [
            (-count, other)
            for other, count in self._word_index.words_in(MIN_CORRECTION_PAPERS)
            if other[0] == token[0] and is_one_edit_apart(token, other)
        ]
        return min(near)[1] if near else word

    def _author(self, query: InterestQuery) -> tuple[Scores, Flags]:
        """Authors by name: accents and case aside, initials and common names count less."""
        relevance = np.zeros(len(self.papers))
        wanted = name_parts(query.value)
        for part in wanted:
            for i, name in self._name_index.papers_with(part):
                relevance[i] = max(relevance[i], NAME_SCORES[match_names(wanted, name)])
        is_named = relevance >= SAME_NAME
        papers = np.flatnonzero(is_named).tolist()
        if self._count_unrelated(papers, wanted) >= MIN_NAMESAKE_PAPERS:
            is_named = np.zeros(len(self.papers), bool)
            relevance = np.minimum(relevance, NAME_SCORES[NameMatch.INITIALS])
        return relevance, is_named

    def _count_unrelated(self, papers: Sequence[int], name: tuple[str, ...]) -> int:
        """The number of groups of these papers that share no author other than `name`."""
        teams: list[set[tuple[str, ...]]] = []
        for i in papers:
            team = set(map(name_parts, self.papers[i].authors)) - {name}
            for related in [t for t in teams if t & team]:
                teams.remove(related)
                team |= related
            teams.append(team)
        return len(teams)

    def _paper(self, query: InterestQuery) -> tuple[Scores, Flags]:
        """Likeness to one paper or a group; only themselves and near-duplicates near 1.0."""
        n = len(self.papers)
        if not query.examples:
            return np.zeros(n), np.zeros(n, bool)
        likeness = _weighted_mean(self._likeness_parts(query.examples))
        duplicate = _ramp(self._duplicate_cosine(query.examples), *DUPLICATE_COSINES)
        relevance = SIMILAR_AT_MOST * _likeness_relevance(likeness)
        claimed = self._resembles(query.examples, likeness) | (duplicate >= 0.5)
        return np.maximum(relevance, duplicate), claimed

    def _duplicate_cosine(self, examples: Sequence[PaperText]) -> Scores:
        """TF-IDF cosine to the nearest of the examples that are near in meaning too: [n]."""
        cosines = self.terms.cosines([example.text for example in examples])
        if self.model is not None:
            rows = np.stack([self.embed(example) for example in examples])
            cosines[self.rows @ rows.T < MIN_DUPLICATE_MEANING] = 0
        return np.asarray(cosines.max(axis=1))

    def _likeness_parts(
        self, examples: Sequence[PaperText]
    ) -> list[tuple[float, Scores]]:
        """Weights and z-scores of the kinds of likeness to examples."""
        words = self.terms.centroid_cosine([example.text for example in examples])
        parts = [(1.0, _standardize(words, *WORDS_SPREAD))]
        if self.model is not None:
            rows = np.stack([self.embed(example) for example in examples])
            centroid = normalize_rows(rows - self.mean).mean(axis=0)
            nearest = (self.rows @ rows.T).max(axis=1)
            parts += [
                (
                    self.weights.centroid,
                    _standardize(self._centroid_cosine(centroid), *CENTROID_SPREAD),
                ),
                (self.weights.nearest, _standardize(nearest, *NEAREST_SPREAD)),
            ]
        if self.dense is not None:
            vectors = [np.frombuffer(e.dense_vector, np.float32) for e in examples]
            if present := [vector for vector in vectors if vector.size]:
                centroid = normalize_rows(np.stack(present) - self.dense_mean).mean(
                    axis=0
                )
                cosines = _cosine_to(self.dense, centroid)
                z = _standardize(cosines, *DENSE_SPREAD)
                parts.append((self.weights.sentences, z))
        return parts

    def _resembles(self, examples: Sequence[PaperText], likeness: Scores) -> Flags:
        """The candidates that are surely like the examples."""
        if self.model is None:
            return np.zeros(len(self.papers), bool)
        rows = np.stack([self.embed(example) for example in examples])
        cosines = self._centroid_cosine(normalize_rows(rows - self.mean).mean(axis=0))
        return (likeness >= MIN_CLAIM_LIKENESS) & (cosines >= MIN_CLAIM_COSINE)

    def _answers(self, query: str) -> Flags:
        """The candidates whose words and meaning stand out as an answer to a query."""
        words = self.terms.bm25_scores(query, 1.0)
        scores = _stand_out(words, *BACKGROUND_WORDS)
        if self.model is not None:
            scores += _stand_out(self._query_cosine(query), *BACKGROUND_MEANING)
        return np.asarray(scores >= MIN_CLAIM_WORDS)

    def _answer_relevance(self, query: str, bonus: Scores) -> Scores:
        words = self.terms.bm25_scores(query, TERM_SATURATION)
        meaning = np.maximum(self._query_cosine(query), 0) / FULL_ANSWER_COSINE
        answer = BM25_SHARE * words + (1 - BM25_SHARE) * meaning
        relevance = _noisy_or(1 - np.exp2(-((answer / HALF_ANSWER) ** 2)), bonus)
        return _noisy_or(relevance, self._feedback(relevance))

    def _feedback(self, relevance: Scores) -> Scores:
        """Relevance to what the best matches have in common, as far as they are relevant."""
        best = best_documents(relevance)
        weights = relevance[best] ** 2
        if not weights.any():
            return np.zeros(len(self.papers))
        trust = weights.sum() / relevance[best].sum()
        words = self.terms.row_centroid_cosine(best, weights)
        parts = [(1.0, _standardize(words, *WORDS_SPREAD))]
        if self.model is not None:
            cosines = self._centroid_cosine(weights @ self.centered[best])
            parts.append((1.0, _standardize(cosines, *CENTROID_SPREAD)))
        likeness = _weighted_mean(parts)
        return np.asarray(trust * _likeness_relevance(likeness, HALF_FEEDBACK))

    def _embed(self, example: PaperText) -> Row:
        if example.vector:
            return np.frombuffer(example.vector, np.float32)
        assert self.model
        row: Row = self.model.embed([example.text])[0]
        return row

    def _query_cosine(self, query: str) -> Scores:
        if self.model is None:
            return np.zeros(len(self.papers))
        row = self.embed(PaperText("", query))
        return self._centroid_cosine(row - self.mean if row.any() else row)

    def _centroid_cosine(self, centroid: npt.NDArray[np.floating]) -> Scores:
        return _cosine_to(self.centered, centroid)

    def _mentions(self, phrases: Sequence[str]) -> Flags:
        """The candidates that are about one of the phrases: in the title, or at two places."""
        variants = [spelling_variants(phrase) for phrase in phrases]
        pattern = phrase_pattern(variants)
        mentions = np.zeros(len(self.papers), bool)
        for i in set().union(*map(self._papers_with_words, variants)):
            in_title = count_matches(pattern, self._titles[i]) > 0
            count = count_matches(pattern, self._abstracts[i])
            mentions[i] = in_title or count >= MIN_CLAIM_MENTIONS
        return mentions

    def _phrase_scores(self, phrases: Sequence[str]) -> Scores:
        """The best occurrence of any of the phrases in each candidate: [n]."""
        scores = np.zeros(len(self.papers))
        for phrase in phrases:
            for i, level in self.phrase_levels(phrase).items():
                scores[i] = max(scores[i], level)
        return scores

    def phrase_levels(self, phrase: str) -> dict[int, float]:
        """The best occurrence of a phrase in the candidates that have its words."""
        variants = spelling_variants(phrase)
        papers = self._papers_with_words(variants)
        if not papers:  # compiling a pattern costs more than all else here
            return {}
        pattern = phrase_pattern([variants])
        return {
            i: _phrase_level(pattern, self._titles[i], self._abstracts[i])
            for i in papers
        }

    def _papers_with_words(self, phrase: tuple[str, ...]) -> list[int]:
        """The candidates that have all words of the phrase in one of its spellings."""
        runs = [variant.split() for variant in phrase if variant.strip()]
        matches = [self._word_index.texts_with_all(run) for run in runs]
        return np.unique(np.concatenate(matches)).tolist() if matches else []

    def _category_factor(self, categories: Sequence[str]) -> Scores:
        if not categories:
            return np.ones(len(self.papers))
        matches = category_matcher(categories)
        inside = [matches(categories) for categories in self._categories]
        return np.where(inside, 1.0, OUTSIDE_CATEGORIES)

    @cached_property
    def _categories(self) -> list[Sequence[str]]:
        """The categories of each candidate, unpacked once for all topics and categories."""
        return [paper.categories for paper in self.papers]


_EVALUATORS = {
    "topic": EditionScorer._topic,
    "category": EditionScorer._category,
    "keyword": EditionScorer._keyword,
    "author": EditionScorer._author,
    "paper": EditionScorer._paper,
    "search": EditionScorer._search,
}


def required_parts(search: str) -> list[tuple[str, float]]:
    """The texts of which a paper must have words, and the share of their idf weight."""
    parts = [(part, MIN_CLAIM_PART_SHARE) for part in split_at_stop_words(search)]
    return [(search, MIN_CLAIM_TERM_SHARE), *parts]


def best_documents(relevance: npt.NDArray[np.floating]) -> Whole:
    """The FEEDBACK_DOCUMENTS most relevant candidates of one interest; ties go by index."""
    count = min(FEEDBACK_DOCUMENTS, relevance.size)
    least = np.partition(relevance, relevance.size - count)[-count]
    near = np.flatnonzero(relevance >= least - TIE_WIDTH)
    order = np.lexsort((near, -np.rint(relevance[near] / TIE_WIDTH)))
    return near[order[:count]]


def _center(rows: Row) -> tuple[Row, Row, Row]:
    """Rows, unit rows with their mean removed, and the mean, shrunk for few rows."""
    present = np.any(rows, axis=1)
    count = int(present.sum())
    mean = rows.sum(axis=0) / (count + MEAN_SHRINKAGE)
    centered = normalize_rows(rows - present[:, None] * mean) if rows.size else rows
    return rows, np.asarray(centered, np.float32), np.asarray(mean, np.float32)


def _cosine_to(rows: Row, centroid: npt.NDArray[np.floating]) -> Scores:
    """Cosine of unit rows to a centroid of any length: [n]."""
    length = float(np.linalg.norm(centroid))
    if not length:
        return np.zeros(len(rows))
    return np.asarray(rows @ (centroid / length), np.float64)


def _standardize(values: Scores, mean: float = 0.0, spread: float = 0.04) -> Scores:
    """z-scores over the edition; mean and spread are the recorded ones in a small edition."""
    n = values.size
    prior = SPREAD_AFTER / (n + SPREAD_AFTER)
    center = (1 - prior) * values.mean() + prior * mean
    variance = (1 - prior) * values.var() + prior * spread**2
    return np.asarray((values - center) / math.sqrt(variance))


def _stand_out(values: Scores, mean: float, spread: float) -> Scores:
    """z-scores against the candidates that score lowest."""
    line = np.quantile(values, BACKGROUND_SHARE) + TIE_WIDTH
    background = values[values <= line]
    prior = SPREAD_AFTER / (values.size + SPREAD_AFTER)
    center = (1 - prior) * background.mean() + prior * mean
    variance = (1 - prior) * background.var() + prior * spread**2
    return np.asarray((values - center) / math.sqrt(variance))


def _weighted_mean(parts: Sequence[tuple[float, Scores]]) -> Scores:
    total: Scores = sum(weight * scores for weight, scores in parts)  # type: ignore[assignment]
    return total / sum(weight for weight, _ in parts)


def _likeness_relevance(likeness: Scores, half: float = HALF_LIKENESS) -> Scores:
    """Map likeness to (0, 1), strictly increasing, so that no two papers tie by rounding."""
    x = (likeness - half) / LIKENESS_WIDTH
    return np.asarray((1 + x / np.sqrt(1 + x**2)) / 2)


def _noisy_or(relevance: Scores, share: Scores) -> Scores:
    """The relevance, nearer to 1 by a share of what lacks to it."""
    return np.asarray(1 - (1 - relevance) * (1 - share))


def _ramp(values: Scores, low: float, high: float) -> Scores:
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _category_level(categories: Sequence[str], wanted: str) -> float:
    inside = [c == wanted or c.startswith(f"{wanted}.") for c in categories]
    if not any(inside):
        return 0.0
    return PRIMARY_CATEGORY if inside[0] else CROSS_LISTED_CATEGORY


def _phrase_level(
    pattern: re.Pattern[str], title: tuple[str, ...], abstract: tuple[str, ...]
) -> float:
    if count_matches(pattern, title):
        return IN_TITLE
    count = count_matches(pattern, abstract)
    if count:
        return IN_ABSTRACT if count >= MIN_CLAIM_MENTIONS else MENTIONED
    return 0.0


@dataclass(frozen=True)
class NameIndex:
    """The papers in which each part of an author's name occurs."""

    parts: WordIndex  # of the names
    names: Sequence[tuple[str, ...]]  # of all authors of all papers, in parts
    papers: npt.NDArray[np.int32]  # of each name

    @classmethod
    def build(cls, papers: Sequence[PaperText]) -> "NameIndex":
        names = [[name_parts(author) for author in paper.authors] for paper in papers]
        flat = [name for row in names for name in row]
        owners = np.repeat(np.arange(len(papers), dtype=np.int32), [*map(len, names)])
        return cls(WordIndex.build(flat), flat, owners)

    def papers_with(self, part: str) -> list[tuple[int, tuple[str, ...]]]:
        """Each paper and whole name that has this part."""
        numbers = self.parts.texts_with_all([part]).tolist()
        return [(int(self.papers[n]), self.names[n]) for n in numbers]


class PackedPapers(Sequence[PaperText]):
    """Authors and categories of papers whose texts are not needed any more."""

    def __init__(self, authors: PackedTexts, categories: PackedTexts) -> None:
        self._authors, self._categories = authors, categories

    def __len__(self) -> int:
        return len(self._authors)

    def __getitem__(self, index: Any) -> Any:
        return PaperText("", "", self._authors[index], self._categories[index])
