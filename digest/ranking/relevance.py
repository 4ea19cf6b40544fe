"""Relevance: one interest against all candidates of an edition, in [0, 1].

The kinds are made comparable by hand: 1.0 is a phrase in the title, an author's full name
or the paper itself; 0.5 is a paper that clearly belongs; below FLOOR is chance, and 0.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from digest.ranking.bm25 import MAX_CACHED_TEXTS, Scores, TermIndex
from digest.ranking.lsa import Model
from digest.ranking.selection import CLAIM_THRESHOLD
from digest.text.arxiv_categories import category_matcher
from digest.text.authors import NameMatch, match_names, name_parts
from digest.text.tokens import contains_phrase, spelling_variants, tokenize

Row = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]

FLOOR = 0.02

# A category holds hundreds of papers a day, so it says less than a word of the title.
PRIMARY, CROSS_LISTED = 0.6, 0.5
ARCHIVE_PRIMARY, ARCHIVE_CROSS_LISTED = 0.4, 0.3

IN_TITLE, IN_ABSTRACT = 1.0, 0.8
ALL_WORDS = 0.35  # every word of a phrase, but not together

SAME_NAME = 0.9
NAME_SCORES = {
    NameMatch.FULL: 1.0,
    NameMatch.SAME: SAME_NAME,
    NameMatch.INITIALS: 0.7,  # J. Smith may be another Smith
    NameMatch.SURNAME: 0.4,
    NameMatch.NONE: 0.0,
}

# Likeness of texts, in spreads above what candidates have with the example by chance: of
# words, of meaning (recall@50 of the libraries set: .459 and .483 alone, .495 together),
# and of titles, which say most in fewest words. Ten spreads are likeness 1; papers that the keepers of
# topics chose lie about five above. Spreads are those of an edition, shrunk towards the
# recorded ones until it has more than SPREAD_AFTER candidates.
WORDS_SPREAD, MEANING_SPREAD, TITLES_SPREAD = 0.03, 0.12, 0.03
SPREAD_AFTER = 200
WORDS, MEANING, TITLES = 1.0, 1.0, 0.25
SURE = 10.0
QUERY_MEANING_SCALE = 0.8  # cosine of the reduced vectors that fully answers a query
HALF = 0.45  # raw likeness of a paper that clearly belongs: relevance .5
# Of a topic with examples so much is left to its words; .3 costs .013 of ap.
NAMED = 0.1
# Of what lacks to 1, a phrase in the title gives so much to a search or a topic without
# examples: broad topics have only words that BM25 thinks little of. Where there are
# examples it costs .006 of ap.
VERBATIM = 0.3
# A topic repeats a word in many phrases and means it little more for that: five times count
# as 1.4, and no number as more than 1.5 (BM25's k3 of a half; as often as named costs words
# only .013 of ap, once is as good).
SATED = 2 / 3
OUTSIDE = 0.8  # of the relevance is left outside the categories that a topic names
# What the best matches have in common says more of an interest than its few words or
# examples do: one round of feedback (Rocchio 1971, from pseudo-relevance), each match as
# heavy as the square of its relevance. They count as much as so many examples do.
LEADERS = 10  # twice as many cost the words-only topics .01 of ap and gain nothing
LEARNED = 20.0  # examples; from 5 to 20 the sets do not differ, without end is too much
# Feedback makes likeness to examples surer everywhere; with this power as many papers are
# claimed as without it, and as often rightly (.55 for .53 of them in the keepers' lists).
TEMPERED = 1.4
SIMILAR_AT_MOST = 0.85  # above it only the paper itself and near-duplicates
DUPLICATE = (0.45, 0.65)  # TF-IDF cosine where a near-duplicate begins and is certain


# Two candidates of one mail are one too many from here: a paper and its second part are
# near in meaning, but only a text reworked for another place shares most of its words.
TWIN_MEANING, TWIN_WORDS = 0.9, 0.6


@dataclass(frozen=True)
class PaperText:
    """What relevance reads of a paper; the first category is the primary one.

    An example may bring its stored `vector`, float32 under the field's model.
    """

    title: str
    abstract: str
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    vector: bytes = field(default=b"", compare=False, repr=False)  # where it is known

    @property
    def text(self) -> str:
        return f"{self.title}. {self.abstract}"


@dataclass(frozen=True)
class InterestQuery:
    """One interest with all that it stands for.

    `kind` and `value` are those of the Interest row; a topic brings its words, keywords,
    categories and its examples; a paper itself as the one example, or with the others of
    its group where a reader follows several that are alike.
    """

    kind: str
    value: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    examples: tuple[PaperText, ...] = ()
    context: tuple[PaperText, ...] = ()


# From which relevance a negative weight mutes, kind by kind; below it, it pushes down.
# A phrase must be there, a name be the name, a paper be primary in a category; of papers
# only the paper itself and its near-duplicates go.
MUTE_FROM = {
    "topic": 0.5,
    "category": PRIMARY,
    "keyword": IN_ABSTRACT,
    "author": SAME_NAME,
    "paper": 0.9,
    "search": 0.5,
}


def mute_thresholds(queries: Iterable[InterestQuery]) -> list[float]:
    """The relevance from which each query mutes where its weight is negative."""
    return [MUTE_FROM[query.kind] for query in queries]


class EditionScorer:
    """The n candidates of an edition, prepared so that any interest is evaluated fast.

    `vectors` are their rows [n, d] under `model`; without a model words alone decide.
    """

    def __init__(
        self, papers: Sequence[PaperText], vectors: Row, model: Model | None
    ) -> None:
        self.papers = papers
        self._vectors, self.model = vectors, model
        self._lexicon = TermIndex([paper.text for paper in papers] or [""])
        self._headings = TermIndex([paper.title for paper in papers] or [""])
        self._titles = [spelling_variants(paper.title) for paper in papers]
        self._abstracts = [spelling_variants(paper.abstract) for paper in papers]
        self._holders = _by_word(zip(self._titles, self._abstracts, strict=True))
        self._names = _by_name(papers)
        self._place = {paper.text: i for i, paper in enumerate(papers)}
        self._vector = lru_cache(MAX_CACHED_TEXTS)(self._embed)

    def evaluate(self, query: InterestQuery) -> Row:
        """The relevance of every candidate to one interest: float32 [n] in [0, 1]."""
        if not self.papers:
            return np.zeros(0, np.float32)
        found = _KINDS[query.kind](self, query)
        return np.where(found >= FLOOR, np.minimum(found, 1.0), 0.0).astype(np.float32)

    def near_duplicates(self) -> Whole:
        """The same number for candidates that are nearly the same text: int64 [n].

        Looked for among those near in meaning, so without a model nobody has a twin.
        """
        near = np.argwhere(np.triu(self._vectors @ self._vectors.T >= TWIN_MEANING, 1))
        likeness = self._lexicon.pair_cosine(near[:, 0], near[:, 1])
        pairs = near[likeness >= TWIN_WORDS]
        n = len(self.papers)
        links = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (n, n))
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def author_groups(self) -> Whole:
        """The same number for candidates whose last author, the head of most groups, is one."""
        heads = [p.authors[-1:] or (f"nobody {i}",) for i, p in enumerate(self.papers)]
        known = {head: i for i, head in enumerate(heads)}
        return np.array([known[head] for head in heads], np.int64)

    def topic(self, query: InterestQuery) -> Scores:
        """Likeness to its examples, or its words and keywords; less outside its categories."""
        asked = " ".join([query.value, *query.keywords, query.description])
        if query.examples:
            words = NAMED * self._lexicon.bm25_scores(asked, SATED)
            found = _relevance((1 - NAMED) * self._like(query.examples) + words)
        else:
            verbatim = VERBATIM * self._verbatim([query.value, *query.keywords])
            found = _surer(_relevance(self._answer(asked)), verbatim)
        found = _lifted(found, self._feedback(found, query.examples))
        return found * self._inside(query.categories)

    def category(self, query: InterestQuery) -> Scores:
        """The category itself, or with `cs` or `cs.*` everything of the archive."""
        archive = query.value.removesuffix(".*")
        return np.array([_category(paper.categories, archive) for paper in self.papers])

    def keyword(self, query: InterestQuery) -> Scores:
        """A word or phrase as whole words, hyphens and simple plurals aside."""
        phrase = spelling_variants(query.value)
        apart = [f" {word} " for word in tokenize(query.value)]
        return self._phrases([phrase], apart)

    def author(self, query: InterestQuery) -> Scores:
        """Authors by name: accents and case aside, initials count less."""
        found = np.zeros(len(self.papers))
        wanted = name_parts(query.value)
        for part in wanted:
            for i, name in self._names.get(part, ()):
                found[i] = max(found[i], NAME_SCORES[match_names(wanted, name)])
        return found

    def paper(self, query: InterestQuery) -> Scores:
        """Likeness to one paper or a group; only themselves and near-duplicates near 1.0."""
        if not query.examples:
            return np.zeros(len(self.papers))
        found = _relevance(self._like(query.examples))
        found = _surer(found, self._feedback(found, query.examples)) ** TEMPERED
        texts = [example.text for example in query.examples]
        same = self._lexicon.nearest_cosine(texts, DUPLICATE[0])
        return np.maximum(found * SIMILAR_AT_MOST, _ramp(same, *DUPLICATE))

    def search(self, query: InterestQuery) -> Scores:
        """Words and meaning of a query; surer where it stands verbatim."""
        verbatim = VERBATIM * self.keyword(query)
        found = _surer(_relevance(self._answer(query.value)), verbatim)
        return _lifted(found, self._feedback(found))

    def _embed(self, example: PaperText) -> Row:
        if example.vector:
            return np.frombuffer(example.vector, np.float32)
        assert self.model
        row: Row = self.model.embed([example.text])[0]
        return row

    def _verbatim(self, phrases: Sequence[str]) -> Scores:
        """The best verbatim occurrence of any of the phrases: float64 [n]."""
        return self._phrases([spelling_variants(phrase) for phrase in phrases])

    def _phrases(
        self, phrases: Sequence[tuple[str, ...]], apart: Sequence[str] = ()
    ) -> Scores:
        """The best of the phrases in each candidate that has all words of one: [n]."""
        found = np.zeros(len(self.papers))
        for phrase in phrases:
            for i in self._holding(phrase):
                here = _phrase(phrase, apart, self._titles[i], self._abstracts[i])
                found[i] = max(found[i], here)
        return found

    def _holding(self, phrase: tuple[str, ...]) -> set[int]:
        """The candidates with every word of one of the spellings; few of all, mostly."""
        runs = [spelling.split() for spelling in phrase if spelling.strip()]
        held = [
            set.intersection(*(set(self._holders.get(word, ())) for word in run))
            for run in runs
        ]
        return set().union(*held)

    def _answer(self, query: str) -> Scores:
        answers = self._lexicon.bm25_scores(query, SATED)
        meaning = np.maximum(self._means([PaperText("", query)]), 0)
        return 0.75 * answers + 0.25 * meaning / QUERY_MEANING_SCALE

    def _like(self, examples: Sequence[PaperText]) -> Scores:
        """Likeness to the centre of the examples; 1.0 is beyond doubt, 0 is chance."""
        words = self._lexicon.centroid_cosine([example.text for example in examples])
        titles = self._headings.centroid_cosine([example.title for example in examples])
        return self._likeness(words, titles, self._means(examples))

    def _feedback(self, found: Scores, examples: Sequence[PaperText] = ()) -> Scores:
        """How like the best matches each candidate is, as far as these are to be trusted.

        They are the less to be trusted the less relevant they are themselves, and the
        more examples a reader has given; those examples are none of them.
        """
        others = found.copy()
        others[[self._place[e.text] for e in examples if e.text in self._place]] = 0
        last = min(LEADERS, others.size) - 1
        best = np.argpartition(-others, last)[: last + 1]
        weights = others[best] ** 2
        if not weights.any():
            return np.zeros(len(self.papers))
        sure = weights.sum() / others[best].sum() * LEARNED / (LEARNED + len(examples))
        words = self._lexicon.row_centroid_cosine(best, weights)
        titles = self._headings.row_centroid_cosine(best, weights)
        meaning = self._towards(weights @ self._vectors[best])
        return np.asarray(sure * _relevance(self._likeness(words, titles, meaning)))

    def _likeness(self, words: Scores, titles: Scores, meaning: Scores) -> Scores:
        """Three cosines as one likeness."""
        found = WORDS * _spreads(words, WORDS_SPREAD)
        found += TITLES * _spreads(titles, TITLES_SPREAD)
        if self.model is None:
            return found / (WORDS + TITLES) / SURE
        found += MEANING * _spreads(meaning, MEANING_SPREAD)
        return found / (WORDS + MEANING + TITLES) / SURE

    def _means(self, examples: Sequence[PaperText]) -> Scores:
        """Cosine of the vectors to the centre of the examples' vectors: [n]."""
        if self.model is None:
            return np.zeros(len(self.papers))
        return self._towards(
            np.mean([self._vector(example) for example in examples], axis=0)
        )

    def _towards(self, centre: npt.NDArray[np.floating]) -> Scores:
        """Cosine of the vectors to a centre, which need not be of unit length: [n]."""
        length = float(np.linalg.norm(centre))
        if not length:
            return np.zeros(len(self.papers))
        return np.asarray(self._vectors @ (centre / length), np.float64)

    def _inside(self, categories: Sequence[str]) -> Scores:
        if not categories:
            return np.ones(len(self.papers))
        matches = category_matcher(categories)
        inside = [matches(paper.categories) for paper in self.papers]
        return np.where(inside, 1.0, OUTSIDE)


_KINDS = {
    "topic": EditionScorer.topic,
    "category": EditionScorer.category,
    "keyword": EditionScorer.keyword,
    "author": EditionScorer.author,
    "paper": EditionScorer.paper,
    "search": EditionScorer.search,
}


def _spreads(values: Scores, expected: float) -> Scores:
    """How many spreads each value lies above the mean of all."""
    n = values.size
    above = values - values.mean() * n / (n + SPREAD_AFTER)
    variance = (n * values.var() + SPREAD_AFTER * expected**2) / (n + SPREAD_AFTER)
    return np.asarray(above / math.sqrt(variance))


def _relevance(likeness: Scores) -> Scores:
    """From raw likeness to [0, 1), order kept: 1 - 2^-(likeness / .45)^2.

    The square keeps what is likeness by chance, up to .15, below .08.
    """
    return np.asarray(1 - np.exp2(-((np.maximum(likeness, 0) / HALF) ** 2)))


def _surer(relevance: Scores, share: Scores) -> Scores:
    """The relevance, nearer to 1 by a share of what lacks to it."""
    return np.asarray(1 - (1 - relevance) * (1 - share))


def _lifted(relevance: Scores, share: Scores) -> Scores:
    """Like `_surer`, but nothing is lifted to where it would be claimed.

    That a paper is about some words, the words have to say themselves. What they do not
    claim keeps the order of `_surer`, drawn together below: small values stay, 1 is the claim.
    """
    surer = _surer(relevance, share)
    below = CLAIM_THRESHOLD * surer / (CLAIM_THRESHOLD + (1 - CLAIM_THRESHOLD) * surer)
    return np.where(relevance < CLAIM_THRESHOLD, below, surer)


def _ramp(values: Scores, low: float, high: float) -> Scores:
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _category(categories: Sequence[str], wanted: str) -> float:
    if wanted in categories:
        return PRIMARY if categories[0] == wanted else CROSS_LISTED
    inside = [category.startswith(f"{wanted}.") for category in categories]
    if not any(inside):
        return 0.0
    return ARCHIVE_PRIMARY if inside[0] else ARCHIVE_CROSS_LISTED


def _phrase(
    phrase: tuple[str, ...],
    apart: Sequence[str],
    title: tuple[str, ...],
    abstract: tuple[str, ...],
) -> float:
    if contains_phrase(title, phrase):
        return IN_TITLE
    if contains_phrase(abstract, phrase):
        return IN_ABSTRACT
    whole = title[0] + abstract[0]
    return ALL_WORDS if len(apart) > 1 and all(w in whole for w in apart) else 0.0


def _by_word(
    texts: Iterable[tuple[tuple[str, ...], tuple[str, ...]]],
) -> dict[str, list[int]]:
    """Where each word occurs, in whatever spelling: the places of titles and abstracts."""
    found = defaultdict(list)
    for i, (title, abstract) in enumerate(texts):
        for word in set(" ".join([*title, *abstract]).split()):
            found[word].append(i)
    return dict(found)


def _by_name(
    papers: Sequence[PaperText],
) -> dict[str, list[tuple[int, tuple[str, ...]]]]:
    """Where each part of a name occurs: (paper, the whole name)."""
    found = defaultdict(list)
    for i, paper in enumerate(papers):
        for name in map(name_parts, paper.authors):
            for part in set(name):
                found[part].append((i, name))
    return dict(found)
