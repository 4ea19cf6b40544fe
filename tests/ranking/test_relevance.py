"""Relevance orders candidates for each kind of interest; claims follow stricter rules."""

from dataclasses import replace

import numpy as np
import pytest

from digest.ranking import lsa
from digest.ranking.bm25 import TermIndex
from digest.ranking.relevance import (
    MENTIONED,
    MUTE_FROM,
    PRIMARY_CATEGORY,
    EditionScorer,
    InterestQuery,
    PaperText,
)
from digest.ranking.score_breakdown import TREND_BONUS
from digest.ranking.selection import MATCH_THRESHOLD

FILLER = [
    "robots grasp fragile fruit with soft hands",
    "galaxies rotate faster than their visible mass allows",
    "markets for carbon permits react to weather",
    "protein folding guided by cryogenic microscopy",
    "compilers reorder memory access for speed",
    "speech of infants across many languages",
]
QUANTIZED = PaperText(
    "Post-training quantization of large language models",
    "We round weights to four bits without training. Calibration data choose the scale.",
    ("Ana María Ruiz", "Chen Wei"),
    ("cs.LG", "cs.CL"),
)
PRUNED = PaperText(
    "Removing neurons from language models",
    "Weights near zero go. Unlike post training quantization we keep full precision.",
    ("J. Smith",),
    ("cs.CL", "stat.ML"),
)
BIRDS = PaperText(
    "Autumn migration of storks",
    "Storks cross wetlands. Training volunteers to count them took years.",
    ("John Smith", "Jürgen Müller"),
    ("q-bio.PE",),
)
REST = [
    PaperText(
        f"{text.capitalize()} {n}",
        f"We report how {text}.",
        ("Nobody Else",),
        ("physics.soc-ph",),
    )
    for n in range(3)
    for text in FILLER
]
PAPERS = [QUANTIZED, PRUNED, BIRDS, *REST]


@pytest.fixture(scope="module")
def scorer():
    return build_scorer(PAPERS)


def build_scorer(papers):
    texts = [paper.text for paper in papers]
    model = lsa.fit_lsa(texts)
    return EditionScorer(papers, model.embed(texts), model)


def relevance(scorer, kind, value="", **fields):
    """The relevance of the quantized, the pruned and the birds' paper, and the most of all others."""
    row = scorer.evaluate(InterestQuery(kind, value, **fields)).relevance
    return [*row[:3].tolist(), float(row[3:].max())]


def claimed(scorer, kind, value="", **fields):
    flags = scorer.evaluate(InterestQuery(kind, value, **fields)).claimed
    return [*flags[:3].tolist(), bool(flags[3:].any())]


def test_phrase_in_title_scores_above_mention_in_abstract(scorer):
    title, mention, *others = relevance(scorer, "keyword", "post-training quantization")

    assert title == 1.0
    assert mention == pytest.approx(MENTIONED)
    assert others == [0, 0]


def test_keyword_is_claimed_in_title_or_when_repeated_but_not_for_one_mention():
    papers = [
        PaperText("Storks", "They fly."),
        PaperText("Birds", "Storks here, and storks there."),
        PaperText("Nests", "A stork passed by."),
    ]

    match = build_scorer([*papers, *REST]).evaluate(InterestQuery("keyword", "stork"))

    assert match.claimed[:3].tolist() == [True, True, False]
    assert match.relevance[:3].tolist() == pytest.approx([1.0, 0.8, 0.4])


@pytest.mark.parametrize("written", ["posttraining", "post training", "Post-Training"])
def test_keyword_matches_any_hyphenation(scorer, written):
    assert relevance(scorer, "keyword", written)[0] == 1.0


def test_misspelt_keyword_matches_a_word_that_several_papers_have():
    papers = [PaperText(f"Quantization {n}", "We round.") for n in range(3)]
    scorer = build_scorer([*papers, *REST])

    assert relevance(scorer, "keyword", "quantizaton")[:3] == [1.0] * 3
    assert relevance(scorer, "keyword", "quantizators") == [0, 0, 0, 0]


def test_rare_word_is_not_taken_for_another(scorer):
    assert relevance(scorer, "keyword", "calibratoin") == [0, 0, 0, 0]


@pytest.mark.parametrize("value", ["calibration weights", "quant", "", "?", "…"])
def test_keyword_matches_only_whole_contiguous_words(scorer, value):
    assert relevance(scorer, "keyword", value) == [0, 0, 0, 0]


def test_primary_category_scores_above_cross_listing(scorer):
    cross_listed, primary, *others = relevance(scorer, "category", "cs.CL")

    assert primary > cross_listed > 0.1
    assert others == [0, 0]
    assert claimed(scorer, "category", "cs.CL") == [True, True, False, False]


@pytest.mark.parametrize("archive", ["cs", "cs.*"])
def test_archive_holds_the_papers_of_its_categories(scorer, archive):
    first, second, *others = relevance(scorer, "category", archive)

    assert first == second == pytest.approx(PRIMARY_CATEGORY)
    assert others == [0, 0]


def test_muted_archive_mutes_its_primary_papers(scorer):
    assert relevance(scorer, "category", "cs")[0] >= np.float32(MUTE_FROM["category"])


def test_most_trending_category_paper_comes_after_a_mentioned_keyword():
    assert MENTIONED >= PRIMARY_CATEGORY + TREND_BONUS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ana maria ruiz", 1.0),
        ("Ruiz, Ana María", 1.0),
        ("Ana Ruiz", 0.9),
        ("Wei Chen", 0.9),
        ("A. Ruiz", 0.7),
        ("Ruiz", 0.4),
        ("Berta Ruiz", 0.0),
        ("Ana María Gómez", 0.0),
        ("", 0.0),
    ],
)
def test_author_matches_by_name_and_less_by_initials(scorer, name, expected):
    assert relevance(scorer, "author", name)[0] == pytest.approx(expected)


def test_full_name_scores_above_initials(scorer):
    _, initials, full, _ = relevance(scorer, "author", "John Smith")

    assert full == 1.0
    assert initials == pytest.approx(0.7)


def author_papers(*teams):
    """Papers of these teams, each named by its authors, for an author's interest."""
    return [PaperText(f"Title {i}", "Text.", team) for i, team in enumerate(teams)]


@pytest.mark.parametrize(
    ("followed", "is_claimed"),
    [("Mary Jane Doe", True), ("Mary Doe", True), ("M. Doe", False), ("Doe", False)],
)
def test_author_is_claimed_by_given_name_only(followed, is_claimed):
    scorer = build_scorer([*author_papers(("Mary Jane Doe",)), *REST])

    assert claimed(scorer, "author", followed)[0] == is_claimed


def test_name_of_several_people_is_not_claimed():
    teams = [("Yang Liu", f"Coauthor {i}") for i in "ABCDE"]

    several = build_scorer([*author_papers(*teams), *REST])
    one = build_scorer([*author_papers(*teams[:4], teams[0]), *REST])

    assert not claimed(several, "author", "Yang Liu")[0]
    assert relevance(several, "author", "Yang Liu")[0] == pytest.approx(0.7)
    assert claimed(one, "author", "Yang Liu")[0]


def test_author_matches_without_accents(scorer):
    assert relevance(scorer, "author", "jurgen muller")[2] == 1.0


def test_paper_is_most_relevant_to_itself(scorer):
    itself, alike, birds, rest = relevance(scorer, "paper", "1", examples=(QUANTIZED,))

    assert itself == 1.0
    assert MUTE_FROM["paper"] > alike > max(birds, rest)


def test_paper_that_was_deleted_matches_nothing(scorer):
    assert relevance(scorer, "paper", "0000.00000") == [0, 0, 0, 0]
    assert claimed(scorer, "paper", "0000.00000") == [False] * 4


def test_near_duplicate_is_muted_with_its_paper(scorer):
    abstract = QUANTIZED.abstract.replace("We round", "Here we round")
    revised = PaperText(QUANTIZED.title, abstract)

    scores_of_paper = relevance(scorer, "paper", "1", examples=(revised,))

    assert scores_of_paper[0] >= MUTE_FROM["paper"]


def test_near_duplicate_of_one_example_among_many_is_found(scorer):
    examples = (QUANTIZED, BIRDS, *REST[:6])

    assert relevance(scorer, "paper", "1", examples=examples)[0] == 1.0


def test_order_of_likeness_has_no_floor(scorer):
    row = scorer.evaluate(InterestQuery("paper", "1", examples=(QUANTIZED,))).relevance

    assert (row > 0).all()
    assert len(set(row.tolist())) >= 3 + len(FILLER)


def test_topic_matches_by_words(scorer):
    first, second, birds, rest = relevance(
        scorer,
        "topic",
        "Efficient language models",
        keywords=("quantization", "language models", "weights"),
    )

    assert min(first, second) > 0.7
    assert max(birds, rest) < 0.1


def test_topic_is_claimed_only_for_papers_that_name_it(scorer):
    keywords = ("quantization", "language models")

    flags = claimed(scorer, "topic", "Efficient models", keywords=keywords)

    assert flags[2:] == [False, False]


def test_topic_matches_more_by_its_examples(scorer):
    words = {"keywords": ("compression",)}

    without = relevance(scorer, "topic", "Compression", **words)
    within = relevance(scorer, "topic", "Compression", **words, examples=(QUANTIZED,))

    assert without[1] == 0
    assert within[1] > MATCH_THRESHOLD
    assert within[1] > max(within[2:]) + 0.1


def test_verbatim_keyword_of_a_topic_scores_higher(scorer):
    rest = ("zymurgy", "kombucha", "sourdough", "kefir", "tempeh", "miso")

    verbatim = relevance(scorer, "topic", "?", keywords=("language models", *rest))
    reversed_ = relevance(scorer, "topic", "?", keywords=("models language", *rest))

    assert verbatim[0] > reversed_[0] + 0.1
    assert max(verbatim[2:]) < 0.1


def test_paper_outside_a_topics_categories_scores_lower(scorer):
    free = relevance(scorer, "topic", "quantization")
    bound = relevance(scorer, "topic", "quantization", categories=("cs.LG",))

    assert bound[0] == free[0] > 0
    assert 0 < bound[1] < free[1]


def test_search_matches_by_words_and_meaning(scorer):
    first, second, birds, rest = relevance(
        scorer, "search", "post-training quantization"
    )

    assert first > second > 0.7
    assert max(birds, rest) < 0.3


def test_search_is_not_claimed_for_half_of_its_words(scorer):
    flags = claimed(scorer, "search", "training of volunteers for zymurgy and kombucha")

    assert flags == [False] * 4


def test_search_is_not_claimed_where_one_of_its_parts_is_missing():
    query = "machine translation of endangered bird languages"
    papers = [
        PaperText("Machine translation", "Translation of endangered bird languages."),
        PaperText("Endangered bird languages", "Bird languages are endangered."),
    ]

    first, second, *_ = claimed(build_scorer([*papers, *REST]), "search", query)

    assert (first, second) == (True, False)


def test_topic_is_not_claimed_for_one_mention_under_several_names():
    text = "We quantize. Storks use post-training quantization (PTQ) once."
    papers = [
        PaperText("Storks", text),
        PaperText("Birds", f"{text} Then PTQ again."),
    ]
    topic = {"keywords": ("post-training quantization", "PTQ", "quantization")}

    scorer = build_scorer([*papers, *REST])

    assert claimed(scorer, "topic", "Quantization", **topic)[:2] == [False, True]


def test_verbatim_search_scores_above_scattered_words(scorer):
    verbatim = relevance(scorer, "search", "post-training quantization")[0]
    apart = relevance(scorer, "search", "quantization post-training")[0]

    assert verbatim > apart + 0.01


def test_search_for_unknown_words_matches_nothing(scorer):
    assert relevance(scorer, "search", "zymurgy kombucha") == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", MUTE_FROM)
def test_relevance_is_between_zero_and_one(scorer, kind):
    query = InterestQuery(kind, "language models", examples=(BIRDS, PRUNED))

    match = scorer.evaluate(query)

    assert match.relevance.dtype == np.float32
    assert match.relevance.shape == match.claimed.shape == (len(PAPERS),)
    assert match.relevance.min() >= 0
    assert match.relevance.max() <= 1


@pytest.mark.parametrize("kind", MUTE_FROM)
@pytest.mark.parametrize("papers", [[], [PaperText("", "")]])
def test_edition_without_words_matches_nothing(kind, papers):
    empty = EditionScorer(papers, np.zeros((len(papers), 0), np.float32), None)

    match = empty.evaluate(InterestQuery(kind, "language models", examples=(BIRDS,)))

    assert (match.relevance < MATCH_THRESHOLD).all()
    assert not match.claimed.any()


STORKS = "storks cross wetlands in autumn"
REEDS = (
    "reeds grow beside quiet marshes; dragonflies hatch and herons fish below willows"
)
MATCHING = [PaperText(f"Herons {n}", f"{STORKS} and {REEDS}") for n in range(3)]
BESIDE = PaperText("Herons", REEDS)


@pytest.mark.parametrize("kind", ["search", "topic"])
def test_feedback_finds_papers_that_share_only_what_the_best_matches_share(kind):
    scorer = build_scorer([BESIDE, *MATCHING, *REST])

    row = scorer.evaluate(InterestQuery(kind, "storks autumn")).relevance

    assert min(row[1:4]) > row[0] > row[4:].max()


def test_keyword_with_a_hyphen_matches_the_word_without():
    scorer = build_scorer([PaperText("Posttraining of falcons", "They learn."), *REST])

    match = scorer.evaluate(InterestQuery("keyword", "post-training"))

    assert match.relevance[0] == 1.0


def test_topic_scores_its_best_keyword_in_any_order(scorer):
    keywords = ("post-training quantization", "neurons from language models")

    best_first = relevance(scorer, "topic", "?", keywords=keywords)
    best_last = relevance(scorer, "topic", "?", keywords=keywords[::-1])

    assert best_first == pytest.approx(best_last)


def test_word_in_every_phrase_of_a_topic_counts_little_more_than_once():
    storks = PaperText("Storks", "Storks here, storks there, and storks again.")
    nests = PaperText("Nests", "A nest far from every flight of geese.")
    keywords = ("storks flight", "storks marsh", "storks call")
    query = InterestQuery("topic", "storks nest", keywords=keywords)

    one_word, two_words = (
        build_scorer([storks, nests, *REST]).evaluate(query).relevance[:2]
    )

    assert two_words > one_word > 0


@pytest.mark.parametrize(("saturation", "times"), [(0, 3), (0.5, 1.5), (1, 1)])
def test_repeated_query_word_saturates(saturation, times):
    thrice, once = TermIndex([["storks"], ["herons"]]).bm25_scores(
        "storks storks herons storks", saturation
    )

    assert thrice == pytest.approx(times * once)


def test_words_alone_decide_without_a_model():
    plain = EditionScorer(PAPERS, np.zeros((len(PAPERS), 0), np.float32), None)

    first, _, birds, rest = relevance(plain, "topic", "quantization of language models")

    assert first > MATCH_THRESHOLD
    assert max(birds, rest) < 0.1


def test_dense_vectors_are_one_more_term_of_likeness():
    texts = [paper.text for paper in PAPERS]
    model = lsa.fit_lsa(texts)
    rows = model.embed(texts)
    dense = np.eye(len(PAPERS), 4, dtype=np.float32)
    dense[4:] = np.eye(4)[3]
    dense[1] = dense[
        2
    ]  # only the transformer finds the birds and the pruned paper alike
    example = replace(BIRDS, dense_vector=dense[2].tobytes())
    query = InterestQuery("paper", "1", examples=(example,))

    without = EditionScorer(PAPERS, rows, model).evaluate(query).relevance
    beside = EditionScorer(PAPERS, rows, model, dense).evaluate(query).relevance

    assert beside[1] > without[1]
    assert beside[1] > beside[3:].max()
