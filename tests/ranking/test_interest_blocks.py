"""Blocks of personal interests score candidates exactly as EditionScorer does one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from digest.ranking import interest_blocks, lsa
from digest.ranking.bm25 import TermIndex, WordIndex, pack_terms
from digest.ranking.interest_blocks import DuplicateFinder, InterestBlocks
from digest.ranking.relevance import EditionScorer, InterestQuery, PaperText
from digest.ranking.score_breakdown import RankingWeights
from digest.text.tokens import content_words

# Relevance is compared in steps of a millionth; float32 sums differ by less.
TOLERANCE = 1.5e-6
WORDS = [
    "quantization",
    "pre-training",
    "language",
    "model",
    "models",
    "graph",
    "neural",
    "network",
    "diffusion",
    "image",
    "protein",
    "folding",
    "galaxy",
    "speech",
    "robot",
    "market",
    "carbon",
    "retrieval",
    "augmented",
    "ranking",
    "benchmark",
    "agent",
    "memory",
    "compiler",
    "the",
    "of",
    "C++",
    "naïve",
    "Łukasz",
    "2024",
]


def make_papers(count=90, seed=0):
    """Papers with subjects, a near-duplicate of the first, and one without any words."""
    chance = np.random.default_rng(seed)
    papers = []
    for number in range(count):
        own = chance.choice(WORDS, 6, replace=False)
        words = [str(word) for word in chance.choice([*own, *WORDS], 40)]
        title, abstract = " ".join(words[:5]), " ".join(words[5:])
        papers.append(PaperText(f"{title} paper{number % 7}", abstract))
    return [
        *papers,
        replace(papers[0], title=f"{papers[0].title} again"),
        PaperText("", ""),
    ]


PAPERS = make_papers()
OTHERS = [
    *make_papers(8, seed=1),
    PaperText("Words that no candidate has", "zyzzyva quagga"),
    PaperText("\x00 ∑", "的"),
]
MODEL = lsa.fit_lsa([paper.text for paper in PAPERS])
ROWS = MODEL.embed([paper.text for paper in PAPERS])
DENSE = np.random.default_rng(2).standard_normal((len(PAPERS), 16)).astype(np.float32)
DENSE[::9] = 0
SCORERS = {
    "lsa": EditionScorer(PAPERS, ROWS, MODEL),
    "words alone": EditionScorer(PAPERS, np.zeros((len(PAPERS), 0), np.float32), None),
    "transformer": EditionScorer(PAPERS, ROWS, MODEL, DENSE),
    "one candidate": EditionScorer(PAPERS[:1], ROWS[:1], MODEL),
    "three candidates": EditionScorer(PAPERS[:3], ROWS[:3], MODEL),
}

phrases = st.lists(
    st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=8
).map(" ".join)
papers = st.sampled_from([*PAPERS, *OTHERS]).flatmap(
    lambda paper: st.sampled_from([b"", DENSE[1].tobytes()]).map(
        lambda vector: replace(paper, dense_vector=vector)
    )
)
searches = phrases.map(lambda value: InterestQuery("search", value))
groups = st.lists(papers, max_size=12).map(
    lambda examples: InterestQuery("paper", "", examples=tuple(examples))
)


@pytest.mark.parametrize("name", SCORERS)
@settings(max_examples=25)
@given(queries=st.lists(st.one_of(searches, groups), max_size=60))
@example(queries=[InterestQuery("search", "")])
@example(queries=[InterestQuery("search", "graph graph graph Graphs")])
@example(queries=[InterestQuery("paper", "", examples=(PAPERS[0],))] * 2)
@example(queries=[InterestQuery("paper", "", examples=tuple(PAPERS[:40]))])
def test_block_equals_evaluating_each_interest(name, queries):
    scorer = SCORERS[name]
    blocks = InterestBlocks(scorer)

    match = blocks.evaluate([blocks.prepare(query) for query in queries])

    for query, relevance, claimed in zip(queries, *match, strict=True):
        plain = scorer.evaluate(query)
        np.testing.assert_allclose(relevance, plain.relevance, rtol=0, atol=TOLERANCE)
        assert claimed.tolist() == plain.claimed.tolist()


@pytest.mark.parametrize("name", ["lsa", "transformer"])
def test_block_equals_each_interest_under_other_weights(name, monkeypatch):
    scorer = SCORERS[name]
    blocks = InterestBlocks(scorer)
    query = InterestQuery("paper", "", examples=tuple(PAPERS[:5]))
    evaluated = blocks.evaluate([blocks.prepare(query)]).relevance[0]

    monkeypatch.setattr(scorer, "weights", RankingWeights(0.15, 0.5, 3.0, 0.0))
    relevance = blocks.evaluate([blocks.prepare(query)]).relevance[0]

    plain = scorer.evaluate(query).relevance
    np.testing.assert_allclose(relevance, plain, rtol=0, atol=TOLERANCE)
    assert not np.allclose(relevance, evaluated, atol=0.01)


def test_block_does_not_depend_on_its_size(monkeypatch):
    blocks = InterestBlocks(SCORERS["lsa"])
    queries = [
        blocks.prepare(query)
        for paper in PAPERS[:40]
        for query in (
            InterestQuery("search", paper.title),
            InterestQuery("paper", "", examples=(paper,)),
        )
    ]
    whole = blocks.evaluate(queries)

    monkeypatch.setattr(interest_blocks, "BLOCK_SIZE", 7)
    parts = blocks.evaluate(queries)

    np.testing.assert_allclose(whole.relevance, parts.relevance, rtol=0, atol=TOLERANCE)
    assert (whole.claimed == parts.claimed).all()
    assert whole.claimed.any()


def test_edition_without_candidates_has_no_matches():
    empty = EditionScorer([], np.zeros((0, MODEL.dimensions), np.float32), MODEL)
    blocks = InterestBlocks(empty)

    match = blocks.evaluate([blocks.prepare(InterestQuery("search", "graph"))])

    assert match.relevance.shape == match.claimed.shape == (1, 0)


def test_near_duplicate_of_an_example_is_fully_relevant_and_claimed():
    blocks = InterestBlocks(SCORERS["lsa"])
    query = InterestQuery("paper", "", examples=(PAPERS[0], OTHERS[0]))

    match = blocks.evaluate([blocks.prepare(query)])

    assert match.relevance[0, [0, 90]].tolist() == [1.0, 1.0]
    assert match.claimed[0, [0, 90]].all()


def test_packed_terms_give_the_same_row_as_the_text():
    index = TermIndex([content_words(paper.text) for paper in PAPERS])
    texts = [paper.text for paper in [*PAPERS, *OTHERS]]

    rows = index.tfidf_rows([pack_terms(text) for text in texts]).toarray()

    for text, row in zip(texts, rows, strict=True):
        expected = index.centroid_of([text])
        np.testing.assert_allclose(row, expected, atol=1e-7)


@given(words=st.lists(st.sampled_from([*WORDS, "unknown"]), min_size=1, max_size=4))
def test_word_index_finds_the_texts_with_all_words(words):
    texts = [paper.text.split() for paper in PAPERS]
    index = WordIndex.build(texts)

    matches = index.texts_with_all(words)

    expected = [i for i, text in enumerate(texts) if set(words) <= set(text)]
    assert matches.tolist() == expected


@pytest.mark.parametrize("common", [0, 4, 1_000])
def test_duplicate_finder_misses_no_pair(common, monkeypatch):
    monkeypatch.setattr(interest_blocks, "COMMON_WORDS", common)
    tfidf = SCORERS["lsa"].terms.tfidf.astype(np.float32)
    finder = DuplicateFinder.build(tfidf)
    products = (tfidf[:40] @ tfidf.T).toarray()

    for least in (0.3, 0.6, 0.9):
        pairs = set(zip(*finder.find_pairs(tfidf[:40], least), strict=True))

        assert set(zip(*np.nonzero(products >= least), strict=True)) <= pairs
    # Where no word is common, only pairs that reach it are found.
    assert common or len(pairs) == np.count_nonzero(products >= least)


def test_groups_of_one_library_are_evaluated_side_by_side():
    blocks = InterestBlocks(SCORERS["lsa"])

    def group(*numbers):
        examples = tuple(PAPERS[number] for number in numbers)
        return blocks.prepare(InterestQuery("paper", "", examples=examples))

    search = blocks.prepare(InterestQuery("search", "graph"))
    libraries = [(1, 2), (5, 6), (1, 2, 3, 4), search, (5, 6, 7), (3, 4), (9,), (7,)]
    queries = [each if each is search else group(*each) for each in libraries]

    order = interest_blocks._order_groups(queries)

    assert order == [0, 2, 5, 1, 4, 7, 6]
