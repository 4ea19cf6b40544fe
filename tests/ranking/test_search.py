"""Search: by meaning, over all days."""

from datetime import timedelta

import pytest

from digest.models import Paper
from digest.ranking import embedding, search
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers(db):
    """Two papers on storks, an old one among them, and others."""
    made = [
        make.paper("Storks of the wetland", abstract="Migration of storks in autumn."),
        make.paper(
            "Counting storks",
            abstract="Migration over wetland, counted in autumn.",
            announced_on=DAY - timedelta(days=400),
        ),
        make.paper("Welds under stress", abstract="Steel cracks along welds."),
        make.paper("Choirs in cathedrals", abstract="Singers tune to reverberation."),
    ]
    embedding.refresh()
    return made


def test_the_nearest_papers_come_first_whatever_their_day(papers):
    found = search.search("storks in autumn")

    assert {paper for paper, _ in found[:2]} == set(papers[:2])
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True)
    assert 0 < cosines[0] <= 1


@pytest.mark.parametrize("query", ["", "  ", "\n"])
def test_an_empty_query_finds_nothing(papers, query):
    assert search.search(query) == []


def test_equal_papers_go_by_their_ids(db):
    twins = [make.paper("Storks", abstract="Storks in autumn.") for _ in range(3)]
    make.paper("Welds", abstract="Steel cracks.")
    embedding.refresh()

    found = search.search("storks", limit=2)

    assert [paper for paper, _ in found] == twins[:2]


def test_while_all_papers_await_another_vector_nothing_is_found(papers):
    Paper.objects.update(vector_version="of another model")

    assert search.search("storks in autumn") == []
    assert search.similar(papers[0]) == []


def test_a_word_that_the_model_never_met_is_found_in_titles(papers):
    named = make.paper("Zymurgy-Net: a beginning")

    assert search.search("zymurgy") == [(named, 0.0)]


def test_what_is_in_no_title_either_is_not_found(papers):
    assert search.search("kombucha") == []


def test_without_a_model_nothing_is_found(db):
    paper = make.paper("Storks")

    assert search.search("storks") == []
    assert search.similar(paper) == []


def test_a_new_paper_is_found_once_it_is_embedded(papers):
    search.search("storks")
    new = make.paper("Storks and storks again", abstract="Storks in autumn.")
    embedding.refresh()

    assert new in [paper for paper, _ in search.search("storks")]


def test_a_paper_whose_text_changed_is_found_by_its_new_words(papers):
    weld = papers[2]
    search.search("storks")
    changed = {
        "title": "Storks on steel towers",
        "vector": None,
        "updated_at": NOW + make.hours(1),
    }
    Paper.objects.filter(pk=weld.pk).update(**changed)
    embedding.refresh()

    assert weld in [paper for paper, _ in search.search("storks")]


def test_similar_papers_leave_out_the_paper_itself(papers):
    found = search.similar(papers[0])

    assert found[0][0] == papers[1]
    assert papers[0] not in [paper for paper, _ in found]


def test_a_paper_that_is_not_embedded_yet_has_similar_ones(papers):
    Paper.objects.filter(pk=papers[0].pk).update(vector=None, vector_version="")

    found = search.similar(Paper.objects.get(pk=papers[0].pk))

    assert found[0][0] == papers[1]


def test_a_search_takes_four_queries(papers, django_assert_max_num_queries):
    search.search("storks")

    with django_assert_max_num_queries(4):
        search.search("welds")
