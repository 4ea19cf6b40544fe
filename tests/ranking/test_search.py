"""Search finds papers by meaning over all days."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from digest import follows
from digest.models import Paper, SearchEntry, SearchWord
from digest.ranking import embeddings, search, search_index
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


def find(text, **options):
    return search.find_papers(text, **options).load_papers()


def test_the_nearest_papers_come_first_whatever_their_day(papers):
    assert set(find("storks in autumn")[:2]) == set(papers[:2])


@pytest.mark.parametrize("query", ["", "  ", "\n", '""', "-", "author:", "-storks"])
def test_a_query_without_words_or_filters_finds_nothing(papers, query):
    assert search.find_papers(query).paper_ids == () or query == "-storks"


@pytest.mark.parametrize(
    "query",
    [
        *("{}", "arXiv:{}v2", "https://arxiv.org/abs/{}", "10.48550/arXiv.{}"),
        *("https://huggingface.co/papers/{}", "https://www.alphaxiv.org/abs/{}"),
    ],
)
def test_an_identifier_finds_its_paper_only(db, query):
    paper = make.paper("Nothing in Common")
    make.paper("Another One")

    assert find(query.format(paper.identifier)) == [paper]


@pytest.mark.parametrize(
    "query", ["10.1145/3580305.3599", "https://doi.org/10.1145/3580305.3599."]
)
def test_a_doi_finds_its_paper(papers, query):
    paper = make.paper("Terns", doi="10.1145/3580305.3599")
    embeddings.refresh()

    assert find(query) == [paper]


def test_equal_papers_are_ordered_by_id(db):
    twins = [make.paper("Storks", abstract="Storks in autumn.") for _ in range(3)]
    make.paper("Welds", abstract="Steel cracks.")
    embeddings.refresh()

    assert find("storks")[:3] == twins


@pytest.mark.parametrize(
    "query",
    [
        "Counting Storks and Other Tall Birds of the North",
        "counting storks and other tall birds of the north.",
        "Counting storks & other tall birds of the North",
        "counting storks other tall birds north",
    ],
)
def test_a_title_or_nearly_one_comes_first(papers, query):
    for number in range(5):
        make.paper(f"Storks of the North {number}", abstract="Storks. Tall birds. " * 9)
    titled = make.paper(
        "Counting Storks and Other Tall Birds of the North", abstract="We count."
    )
    embeddings.refresh()

    assert find(query)[0] == titled


@pytest.mark.parametrize(
    "query",
    ["Ina Brodowski", "Brodowski, Ina", "I. Brodowski", "brodowski", "Ína Brodowski"],
)
def test_an_author_is_found_under_every_form_of_the_name(papers, query):
    second = make.paper("Nests", authors=["Bo Li", "Ina Brodowski"])
    first = make.paper("Eggs", authors=["Ina Brodowski", "Bo Li"])
    make.paper("Songs", authors=["Ivo Brodowsky"])
    embeddings.refresh()

    assert find(query)[:2] == [first, second]


def test_papers_by_an_author_compare_whole_names(papers):
    mine = make.paper("Nests", authors=["Bo Li", "Ina Brodowski"])
    make.paper("Eggs", authors=["Ina Li", "Bo Brodowski"])
    embeddings.refresh()

    assert search.papers_by_author("Ina Brodowski") == [mine.pk]
    assert search.papers_by_author("!") == []


OPERATORS = [
    ("storks -wetland", {"north", "ibis"}),
    ('"storks of the north"', {"north"}),
    ("storks cat:cs.CV", {"ibis"}),
    ("storks cat:math.AP cat:cs.cv", {"ibis", "north"}),
    ("storks -cat:cs.CV", {"south", "north"}),
    ("storks cat:math", {"north"}),
    ('storks author:"Ina Brodowski"', {"north"}),
    ("storks author:brodowski", {"north"}),
    ("storks after:2026-11-10", {"south", "ibis"}),
    ("storks after:2026-11-10 before:2026-11-20", {"ibis"}),
    ("before:2026-11", {"north"}),
    ("cat:math.AP", {"north"}),
    ("author:brodowski", {"north"}),
]


@pytest.mark.both
def test_operators_narrow_the_results(db):
    rows = {
        "south": make.paper("Storks of the wetland"),
        "north": make.paper(
            "Storks of the north",
            categories=["math.AP"],
            authors=["Ina Brodowski"],
            announced_on=DAY - timedelta(days=400),
        ),
        "ibis": make.paper(
            "Ibises, storks of the south",
            categories=["cs.CV"],
            announced_on=DAY - timedelta(days=5),
        ),
    }
    embeddings.refresh()

    for query, names in OPERATORS:
        results = find(query)
        assert {name for name, paper in rows.items() if paper in results} == names


@pytest.mark.both
@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Pre-training of nets", "pretraining nets"),
        ("Pretraining of nets", "pre-training nets"),
        ("Tokenisation at scale", "tokenization scale"),
        ("Modeling colors", "modelling colours"),
        ("A C++ compiler", "c++ compiler"),
    ],
)
def test_spellings_of_one_word_find_each_other(papers, title, query):
    paper = make.paper(title, abstract="None.")
    embeddings.refresh()

    result = search.find_papers(query)

    assert paper.pk in result.paper_ids
    assert not result.corrected


@pytest.mark.both
@pytest.mark.parametrize(
    ("query", "corrected"),
    [
        ("reinforcment storks", "reinforcement storks"),
        ("quantizaton", "quantization"),
        ("Brodowsky nests", "brodowski nests"),
        ("xqzv", ""),
        ("stork", ""),
    ],
)
def test_unknown_words_are_corrected_by_the_vocabulary(papers, query, corrected):
    for number in range(2):
        make.paper(
            f"Reinforcement of nests {number}",
            abstract="Quantization of storks.",
            authors=["Ina Brodowski"],
        )
    embeddings.refresh()

    result = search.find_papers(query)

    assert result.corrected == corrected
    assert bool(result.paper_ids) == (query != "xqzv")
    assert search.find_papers(query, keep_spelling=True).corrected == ""


@pytest.mark.parametrize("query", ["Alfredo Ibias", "Ibias", "nests Ibias"])
def test_a_name_that_looks_like_a_plural_is_not_corrected(papers, query):
    paper = make.paper("Nests", authors=["Alfredo Ibias"])
    for number in range(2):
        make.paper(f"Biased nests {number}", abstract="Bias. Ibis. Alfred.")
    embeddings.refresh()

    result = search.find_papers(query)

    assert result.corrected == ""
    assert result.paper_ids[0] == paper.pk


@pytest.mark.both
def test_a_correction_keeps_operators_and_filters(papers):
    make.paper("Quantization of storks", categories=["cs.CV"])
    make.paper("Quantization of welds")
    embeddings.refresh()

    result = search.find_papers('quantizaton cat:cs.CV author:"Ada Okafor" -welds')

    assert result.corrected == 'quantization cat:cs.CV author:"Ada Okafor" -welds'
    assert [p.title for p in result.load_papers()] == ["Quantization of storks"]
    assert result.query.text == "quantization"


def test_a_rare_word_is_searched_and_a_frequent_one_suggested(papers, monkeypatch):
    monkeypatch.setattr("digest.ranking.spelling.RARER_FACTOR", 3)
    for number in range(4):
        make.paper(f"Segmentation {number}")
    make.paper("Segmentaton of a kind")
    embeddings.refresh()

    result = search.find_papers("segmentaton")

    assert (result.corrected, result.suggestion) == ("", "segmentation")


def test_a_paper_that_lacks_one_of_three_words_is_found(papers):
    assert papers[2] in find("steel cracks kombucha")


def test_words_are_found_while_vectors_are_stale(papers):
    Paper.objects.update(vector_version="of another model")

    assert find("storks in autumn")[:2] == papers[1::-1][:2] or set(
        find("storks in autumn")
    ) == set(papers[:2])
    assert search.related([papers[0]], NOW) == []


def test_unknown_word_in_no_title_finds_nothing(papers):
    assert find("kombucha") == []


def test_without_a_model_nothing_is_found(db):
    paper = make.paper("Storks")

    assert find("storks") == []
    assert search.related([paper], NOW) == []


def test_a_new_paper_is_found_once_it_is_indexed(papers):
    find("storks")
    new = make.paper("Storks and storks again", abstract="Storks in autumn.")
    embeddings.refresh()

    assert new in find("storks")


@pytest.mark.both
def test_a_paper_whose_text_changed_is_found_by_its_new_words(papers):
    weld = papers[2]
    find("storks")
    changed = {
        "title": "Storks on steel towers",
        "abstract": "They nest.",
        "vector": None,
        "updated_at": NOW + make.hours(1),
    }
    Paper.objects.filter(pk=weld.pk).update(**changed)
    embeddings.refresh()

    assert weld in find("storks")
    assert weld not in find("welds", keep_spelling=True)


def test_new_votes_leave_the_entry_of_a_paper(papers):
    entries = set(SearchEntry.objects.values_list("pk", "paper_id"))
    Paper.objects.update(votes=9, updated_at=NOW + make.hours(1))

    embeddings.refresh()

    assert set(SearchEntry.objects.values_list("pk", "paper_id")) == entries
    assert not search_index.stale_papers().exists()


def test_words_are_counted_once_for_a_revised_paper(papers):
    Paper.objects.update(
        title="Revised storks", vector=None, updated_at=NOW + make.hours(1)
    )

    embeddings.refresh()

    counts = dict(SearchWord.objects.values_list("word", "papers"))
    assert (counts["stork"], counts["weld"]) == (2, 1)


ODD_QUERIES = [
    *(
        "'",
        "\\",
        "a' | 'b",
        "NOT",
        "storks AND",
        '"',
        "* ^ : ( )",
        "%s",
        "storks:*",
    ),
    *(
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\u6df1\u5ea6\u5b66\u4e60",
        "🜁 storks",
        "author:'x\\",
        "cat:'",
        "10.1/'\\",
    ),
    *(
        "after:2026-13-45",
        "before:0000",
        "x " * 125,
        "storks -",
        "--storks",
        "10.1234/(a)b'",
    ),
]


@pytest.mark.both
def test_any_query_is_answered(papers):
    for query in ODD_QUERIES:
        assert isinstance(search.find_papers(query).paper_ids, tuple)


def test_a_search_takes_few_queries(papers, django_assert_max_num_queries):
    find("storks")

    with django_assert_max_num_queries(11):
        find("welds")


def test_similar_papers_leave_out_the_paper_itself(papers):
    results = search.related([papers[0]], NOW)

    assert results[0][0] == papers[1]
    assert papers[0] not in [paper for paper, _ in results]


def test_a_paper_that_is_not_embedded_yet_has_similar_ones(papers):
    Paper.objects.filter(pk=papers[0].pk).update(vector=None, vector_version="")

    results = search.related([Paper.objects.get(pk=papers[0].pk)], NOW)

    assert results[0][0] == papers[1]


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


@pytest.mark.django_db(transaction=True)
def test_papers_that_another_process_indexes_are_left_to_it():
    make.paper("Storks of the wetland")
    is_locked, is_released = threading.Event(), threading.Event()
    make.paper("Counting storks")
    Paper.objects.update(vector=b"0")

    def lock_paper():
        with transaction.atomic():
            Paper.objects.select_for_update().get(title="Counting storks")
            is_locked.set()
            is_released.wait(30)
        connection.close()

    other = threading.Thread(target=lock_paper)
    other.start()
    is_locked.wait(30)
    while_locked = search_index.index_papers()
    is_released.set()
    other.join()

    assert while_locked == 1
    assert search_index.index_papers() == 1
    assert SearchEntry.objects.count() == 2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's planner")
def test_search_for_a_frequent_word_is_neither_compiled_nor_parallel(db):
    rows = 66_000  # "model" among a hundred thousand papers
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT procost * current_setting('cpu_operator_cost')::float,
                   proparallel, current_setting('jit_above_cost')::float
            FROM pg_proc WHERE proname = 'digest_search_vector'
            """
        )
        cost, parallel, jit_above_cost = cursor.fetchone()

    assert rows * cost < jit_above_cost
    assert parallel == "r"
    # Else reading the lexemes of all papers seems cheaper than the index.
    assert cost >= 1
