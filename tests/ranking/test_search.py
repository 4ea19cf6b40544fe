"""Search finds papers by meaning over all days."""

from datetime import timedelta

import pytest

from digest import follows
from digest.models import Paper
from digest.ranking import embeddings, search
from digest.ranking.co_readership import MIN_SHARED_READERS
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
    embeddings.refresh()
    return made


def readers_of(*papers, count=MIN_SHARED_READERS, **about):
    """So many new readers who follow all of these papers."""
    people = [make.subscriber(**about) for _ in range(count)]
    for reader in people:
        follows.follow_papers(reader, [paper.identifier for paper in papers])
    return people


def test_the_nearest_papers_come_first_whatever_their_day(papers):
    results = search.search("storks in autumn")

    assert {paper for paper, _ in results[:2]} == set(papers[:2])
    cosines = [cosine for _, cosine in results]
    assert cosines == sorted(cosines, reverse=True)
    assert 0 < cosines[0] <= 1


@pytest.mark.parametrize("query", ["", "  ", "\n"])
def test_an_empty_query_finds_nothing(papers, query):
    assert search.search(query) == []


@pytest.mark.parametrize(
    "query", ["{}", "arXiv:{}v2", "https://arxiv.org/abs/{}", "10.48550/arXiv.{}"]
)
def test_an_identifier_finds_its_paper_only(db, query):
    paper = make.paper("Nothing in Common")
    make.paper("Another One")

    assert search.search(query.format(paper.identifier)) == [(paper, 1.0)]


def test_equal_papers_are_ordered_by_id(db):
    twins = [make.paper("Storks", abstract="Storks in autumn.") for _ in range(3)]
    make.paper("Welds", abstract="Steel cracks.")
    embeddings.refresh()

    results = search.search("storks", limit=2)

    assert [paper for paper, _ in results] == twins[:2]


def test_search_is_empty_while_vectors_are_stale(papers):
    Paper.objects.update(vector_version="of another model")

    assert search.search("storks in autumn") == []
    assert search.related([papers[0]], NOW) == []


def test_unknown_word_is_searched_in_titles(papers):
    named = make.paper("Zymurgy-Net: a beginning")

    assert search.search("zymurgy") == [(named, 0.0)]


def test_unknown_word_in_no_title_finds_nothing(papers):
    assert search.search("kombucha") == []


def test_without_a_model_nothing_is_found(db):
    paper = make.paper("Storks")

    assert search.search("storks") == []
    assert search.related([paper], NOW) == []


def test_a_new_paper_is_found_once_it_is_embedded(papers):
    search.search("storks")
    new = make.paper("Storks and storks again", abstract="Storks in autumn.")
    embeddings.refresh()

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
    embeddings.refresh()

    assert weld in [paper for paper, _ in search.search("storks")]


def test_similar_papers_leave_out_the_paper_itself(papers):
    results = search.related([papers[0]], NOW)

    assert results[0][0] == papers[1]
    assert papers[0] not in [paper for paper, _ in results]


def test_a_paper_that_is_not_embedded_yet_has_similar_ones(papers):
    Paper.objects.filter(pk=papers[0].pk).update(vector=None, vector_version="")

    results = search.related([Paper.objects.get(pk=papers[0].pk)], NOW)

    assert results[0][0] == papers[1]


def test_a_search_takes_four_queries(papers, django_assert_max_num_queries):
    search.search("storks")

    with django_assert_max_num_queries(4):
        search.search("welds")


def test_shared_readers_relate_papers_of_any_subject(papers):
    storks, counted, welds, choirs = papers
    readers_of(storks, welds, count=12)
    readers_of(choirs, count=12)

    results = search.related([storks], NOW)

    assert dict(results) == {counted: False, welds: True}


def less(reader, paper):
    follows.follow(reader, "paper", paper.identifier, -1.0)


def only_opened(reader, paper):
    follows.follow(reader, "paper", paper.identifier, 0.25, "opened")


def learns_no_more(reader, paper):
    reader.learns_from_clicks = False
    reader.save()


@pytest.mark.parametrize(
    "lost",
    [
        less,
        only_opened,
        learns_no_more,
        lambda reader, paper: reader.unsubscribe(NOW),
        lambda reader, paper: reader.delete(),
        lambda reader, paper: follows.unfollow_paper(reader, paper.identifier),
    ],
)
def test_only_active_followers_of_both_papers_count(papers, lost):
    storks, _, welds, _ = papers
    *_, last = readers_of(storks, welds)
    before = search._co_readership_scores([storks.identifier], NOW)

    lost(last, welds)

    after = search._co_readership_scores([storks.identifier], NOW + make.hours(1))
    assert (set(before), set(after)) == ({welds.pk}, set())


def test_unconfirmed_readers_do_not_count(papers):
    readers_of(papers[0], papers[2], state="pending", count=12)

    assert search._co_readership_scores([papers[0].identifier], NOW) == {}


def test_follows_are_read_once_an_hour(papers, django_assert_num_queries):
    readers_of(papers[0], papers[2])
    search._co_readership_scores([papers[0].identifier], NOW)
    readers_of(papers[0], papers[3])

    with django_assert_num_queries(3):
        soon = search._co_readership_scores(
            [papers[0].identifier], NOW + make.hours(0.5)
        )

    later = search._co_readership_scores([papers[0].identifier], NOW + make.hours(1))
    assert set(soon) == {papers[2].pk}
    assert set(later) == {papers[2].pk, papers[3].pk}


def test_only_the_newest_follows_are_read(papers, monkeypatch):
    monkeypatch.setattr(search, "MAX_FOLLOWS", 2 * MIN_SHARED_READERS)
    readers_of(papers[0], papers[2])
    readers_of(papers[0], papers[3])

    assert set(search._co_readership_scores([papers[0].identifier], NOW)) == {
        papers[3].pk
    }


def test_excluded_papers_are_not_related(papers):
    storks, counted, welds, _ = papers
    readers_of(storks, welds, count=12)

    results = search.related([storks], NOW, exclude=[counted.identifier])

    assert results == [(welds, True)]


def test_nothing_is_related_to_no_paper(papers):
    assert search.related([], NOW) == []
