"""Following an interest tells at once what it matches."""

import pytest

from digest.models import Interest
from digest.ranking import rank_edition
from digest.ranking.follow_effects import follow_effect
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def edition(db):
    for n in range(4):
        make.paper(f"Quantization of networks, part {n}", abstract=f"Weights {n}.")
    make.paper("Storks over wetlands", abstract="Nests.")
    return rank_edition.rank_edition(DAY, NOW)


def effect(kind, value):
    return follow_effect(Interest(kind=kind, value=value))


def test_effect_counts_matches_and_names_the_first(edition):
    result = effect("keyword", "storks")

    assert result.count == 1
    assert result.text == "1 paper in the last two weeks: Storks over wetlands"


def test_effect_names_at_most_three_papers(edition):
    result = effect("keyword", "quantization")

    assert result.count == 4
    assert len(result.titles) == 3
    assert result.text.endswith("; …")


def test_british_spelling_matches_american(edition):
    assert effect("keyword", "quantisation").count == 4


def test_misspelt_keyword_is_read_as_the_nearest_word(edition):
    result = effect("keyword", "quantizaton of networks")

    assert result.count == 4
    assert result.text.startswith(
        "4 papers in the last two weeks for “quantization of networks”: "
    )


def test_worse_misspelt_word_gets_a_suggestion(edition):
    result = effect("keyword", "quantzaton of networks")

    assert result.count == 0
    assert result.text.endswith("Did you mean “quantization of networks”?")


def test_misspelt_search_gets_a_suggestion_beside_its_matches(edition):
    result = effect("search", "quantzation of network weights")

    assert result.text.endswith("Did you mean “quantization of network weights”?")


def test_misspelt_author_gets_a_suggestion(db):
    make.paper("Storks over wetlands", authors=["Ada Ruiz", "Ola Hernandez"])
    rank_edition.rank_edition(DAY, NOW)

    result = effect("author", "Ola Hernandes")

    assert result.text == (
        "No paper in the last two weeks. Did you mean “Ola Hernandez”?"
    )
    assert effect("author", "Ola Hernandez").count == 1


def test_word_without_a_similar_one_gets_no_suggestion(edition):
    assert effect("keyword", "zymurgy").text == "No paper in the last two weeks."


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("cs.XX", "cs.XX is not an arXiv category."),
        ("math.AG", "We don't read math.AG yet."),
    ],
)
def test_category_that_cannot_match_says_why(edition, settings, category, expected):
    settings.ARXIV_CATEGORIES = ("cs",)

    assert effect("category", category).text == expected


def test_effect_without_an_edition(db):
    assert effect("keyword", "storks").text == "No papers yet."
