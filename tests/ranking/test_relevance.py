"""Relevance: each kind of interest finds its papers, and chance finds none."""

import numpy as np
import pytest

from digest.ranking import lsa
from digest.ranking.bm25 import TermIndex
from digest.ranking.relevance import (
    FLOOR,
    MUTE_FROM,
    EditionScorer,
    InterestQuery,
    PaperText,
)
from digest.ranking.selection import CLAIM_THRESHOLD

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
def field():
    texts = [paper.text for paper in PAPERS]
    model = lsa.fit(texts)
    return EditionScorer(PAPERS, model.embed(texts), model)


def relevance(field, kind, value="", **fields):
    """Of the quantized, the pruned and the birds' paper, and the most of all others."""
    row = field.evaluate(InterestQuery(kind, value, **fields))
    return [*row[:3].tolist(), float(row[3:].max())]


def test_a_phrase_in_the_title_counts_more_than_in_the_abstract(field):
    title, abstract, *others = relevance(field, "keyword", "post-training quantization")

    assert title == 1.0
    assert abstract == pytest.approx(0.8)
    assert others == [0, 0]


@pytest.mark.parametrize("written", ["posttraining", "post training", "Post-Training"])
def test_a_keyword_is_found_however_its_hyphen_is_written(field, written):
    assert relevance(field, "keyword", written)[0] == 1.0


def test_all_words_of_a_phrase_without_the_phrase_score_low(field):
    scattered, *others = relevance(field, "keyword", "calibration weights")

    assert 0.1 < scattered < 0.5
    assert others == [0, 0, 0]


def test_a_keyword_is_a_whole_word(field):
    assert relevance(field, "keyword", "quant") == [0, 0, 0, 0]


@pytest.mark.parametrize("value", ["", "?", "…"])
def test_a_keyword_without_letters_finds_nothing(field, value):
    assert relevance(field, "keyword", value) == [0, 0, 0, 0]


def test_a_primary_category_counts_more_than_a_cross_list(field):
    primary_elsewhere, primary, *others = relevance(field, "category", "cs.CL")

    assert primary > primary_elsewhere > 0.1
    assert others == [0, 0]


@pytest.mark.parametrize("archive", ["cs", "cs.*"])
def test_an_archive_is_a_weaker_match_than_its_category(field, archive):
    first, second, *others = relevance(field, "category", archive)

    assert 0 < second == first < 0.5
    assert others == [0, 0]


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
def test_an_author_is_found_by_name_and_less_by_initials(field, name, expected):
    assert relevance(field, "author", name)[0] == pytest.approx(expected)


def test_a_full_name_and_its_initials_are_told_apart(field):
    _, initials, full, _ = relevance(field, "author", "John Smith")

    assert full == 1.0
    assert initials == pytest.approx(0.7)


def test_accents_do_not_hide_an_author(field):
    assert relevance(field, "author", "jurgen muller")[2] == 1.0


def test_a_paper_is_itself_and_others_are_only_like_it(field):
    itself, alike, birds, rest = relevance(field, "paper", "1", examples=(QUANTIZED,))

    assert itself == 1.0
    assert MUTE_FROM["paper"] > alike > max(birds, rest)


def test_a_paper_that_is_gone_finds_nothing(field):
    assert relevance(field, "paper", "0000.00000") == [0, 0, 0, 0]


def test_a_near_duplicate_is_muted_with_its_paper(field):
    again = QUANTIZED.abstract.replace("We round", "Here we round")
    revised = PaperText(QUANTIZED.title, again)

    assert relevance(field, "paper", "1", examples=(revised,))[0] >= MUTE_FROM["paper"]


def test_a_near_duplicate_of_one_example_among_many_is_found(field):
    first = relevance(field, "paper", "1", examples=(QUANTIZED, BIRDS, *REST[:6]))[0]

    assert first == 1.0


def test_a_topic_finds_its_papers_by_words(field):
    first, second, birds, rest = relevance(
        field,
        "topic",
        "Efficient language models",
        keywords=("quantization", "language models", "weights"),
    )

    assert min(first, second) > 0.7
    assert max(birds, rest) < 0.1


def test_a_topic_finds_more_by_its_examples(field):
    words = {"keywords": ("compression",)}

    without = relevance(field, "topic", "Compression", **words)
    within = relevance(field, "topic", "Compression", **words, examples=(QUANTIZED,))

    assert without[1] == 0
    assert within[1] > 0.5


def test_a_keyword_of_a_topic_is_worth_more_verbatim(field):
    rest = ("zymurgy", "kombucha", "sourdough", "kefir", "tempeh", "miso")

    verbatim = relevance(field, "topic", "?", keywords=("language models", *rest))
    reversed_ = relevance(field, "topic", "?", keywords=("models language", *rest))

    assert min(verbatim[:2]) > max(reversed_[:2]) + 0.3
    assert max(verbatim[2:]) < 0.1


def test_a_paper_outside_a_topics_categories_counts_less(field):
    free = relevance(field, "topic", "quantization")
    bound = relevance(field, "topic", "quantization", categories=("cs.LG",))

    assert bound[0] == free[0] > 0
    assert 0 < bound[1] < free[1]


def test_a_search_finds_by_words_and_meaning(field):
    first, second, birds, rest = relevance(
        field, "search", "post-training quantization"
    )

    assert first > second > 0.8
    assert max(birds, rest) < CLAIM_THRESHOLD


def test_a_verbatim_search_is_surer_than_its_words_apart(field):
    verbatim = relevance(field, "search", "post-training quantization")[0]
    apart = relevance(field, "search", "quantization post-training")[0]

    assert verbatim > apart + 0.02


def test_likeness_by_chance_is_nothing(field):
    requested_interests = [InterestQuery("search", paper.abstract) for paper in PAPERS]
    requested_interests += [
        InterestQuery("paper", "1", examples=(paper,)) for paper in PAPERS
    ]

    found = np.array([field.evaluate(wish) for wish in requested_interests])

    assert found[found > 0].min() >= FLOOR
    assert np.count_nonzero(found) < found.size / 5


def test_a_search_for_unknown_words_finds_nothing(field):
    assert relevance(field, "search", "zymurgy kombucha") == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", MUTE_FROM)
def test_every_kind_stays_between_zero_and_one(field, kind):
    row = field.evaluate(
        InterestQuery(kind, "language models", examples=(BIRDS, PRUNED))
    )

    assert row.dtype == np.float32
    assert row.shape == (len(PAPERS),)
    assert row.min() >= 0
    assert row.max() <= 1


@pytest.mark.parametrize("kind", MUTE_FROM)
@pytest.mark.parametrize("papers", [[], [PaperText("", "")]])
def test_every_kind_bears_an_edition_without_words(kind, papers):
    empty = EditionScorer(papers, np.zeros((len(papers), 0), np.float32), None)

    row = empty.evaluate(InterestQuery(kind, "language models", examples=(BIRDS,)))

    assert row.tolist() == [0.0] * len(papers)


STORKS = "storks cross wetlands in autumn"
REEDS = (
    "reeds grow beside quiet marshes; dragonflies hatch and herons fish below willows"
)
MATCHES = [PaperText(f"Herons {n}", f"{STORKS} and {REEDS}") for n in range(3)]
BESIDE = PaperText("Herons", REEDS)
EXAMPLE = PaperText("Storks", STORKS)


def among(*papers):
    """A field of these papers and the others'."""
    every = [*papers, *REST]
    texts = [paper.text for paper in every]
    model = lsa.fit(texts)
    return EditionScorer(every, model.embed(texts), model)


@pytest.mark.parametrize("kind", ["search", "topic"])
def test_what_the_best_matches_share_finds_more_but_claims_nothing(kind):
    field = among(BESIDE, *MATCHES)

    beside, *matches = field.evaluate(InterestQuery(kind, "storks autumn"))[:4]
    others = field.evaluate(InterestQuery(kind, "storks autumn"))[4:]

    assert min(matches) > CLAIM_THRESHOLD > beside > others.max() == 0


def test_much_that_the_best_matches_share_says_more_than_one_word_of_many():
    autumn = PaperText(
        "Wheat", "Every autumn wheat costs more at harbours, barley less."
    )
    field = among(BESIDE, autumn, *MATCHES)

    beside, one_word = field.evaluate(
        InterestQuery("search", "storks cross wetlands autumn")
    )[:2]

    assert CLAIM_THRESHOLD > beside > one_word > FLOOR


def test_the_more_examples_the_less_the_best_matches_say():
    field = among(BESIDE, *MATCHES)

    few = field.evaluate(InterestQuery("paper", "1", examples=(EXAMPLE,)))[0]
    many = field.evaluate(InterestQuery("paper", "1", examples=(EXAMPLE,) * 60))[0]

    assert few >= FLOOR > many


def test_an_example_that_is_a_candidate_is_none_of_the_best_matches(monkeypatch):
    monkeypatch.setattr("digest.ranking.relevance.LEADERS", 1)
    field = among(BESIDE, *MATCHES, EXAMPLE)

    beside = field.evaluate(InterestQuery("paper", "1", examples=(EXAMPLE,)))[0]

    assert beside >= FLOOR


def test_a_keyword_with_a_hyphen_finds_the_word_without():
    field = among(PaperText("Posttraining of falcons", "They learn late."))

    assert field.evaluate(InterestQuery("keyword", "post-training"))[0] == 1.0


def test_a_topic_is_as_sure_as_its_best_keyword_is_verbatim(field):
    keywords = ("post-training quantization", "neurons from language models")

    best_first = relevance(field, "topic", "?", keywords=keywords)
    best_last = relevance(field, "topic", "?", keywords=keywords[::-1])

    assert best_first == pytest.approx(best_last)


def test_a_word_in_every_phrase_of_a_topic_counts_little_more_than_once():
    storks = PaperText("Storks", "Storks here, storks there, and storks again.")
    nests = PaperText("Nests", "A nest far from every flight of geese.")
    keywords = ("storks flight", "storks marsh", "storks call")

    one_word, two_words = among(storks, nests).evaluate(
        InterestQuery("topic", "storks nest", keywords=keywords)
    )[:2]

    assert two_words > one_word > FLOOR


@pytest.mark.parametrize(("sated", "times"), [(0, 3), (0.5, 1.5), (1, 1)])
def test_a_word_named_thrice_weighs_as_sated_as_it_is(sated, times):
    thrice, once = TermIndex(["storks", "herons"]).bm25_scores(
        "storks storks herons storks", sated
    )

    assert thrice == pytest.approx(times * once)


def test_words_alone_decide_without_a_model():
    plain = EditionScorer(PAPERS, np.zeros((len(PAPERS), 0), np.float32), None)

    first, _, birds, rest = relevance(plain, "topic", "quantization of language models")

    assert first > 0.2
    assert max(birds, rest) < 0.1
