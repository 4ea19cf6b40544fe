"""Listings are stored as papers, attention samples and counts."""

from datetime import UTC, date, datetime, timedelta
from itertools import chain

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from digest.ingest.sources import arxiv_feed, huggingface
from digest.ingest.sources.listing import Listing, Measurement
from digest.ingest.store import Counts, store
from digest.models import AttentionSample, IngestRun, Paper
from digest.models.bulk import ConcurrentInsert, insert_papers
from tests import make
from tests.ingest.recorded import ATOM, DAY_2026
from tests.make import DAY, NOW

LATER = NOW + timedelta(days=1)

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def run(source="arxiv"):
    return IngestRun(source=source, origin="a document", started_at=NOW)


def listing(**fields):
    defaults = {
        "identifier": "2611.95010",
        "version": 1,
        "source": "arxiv",
        "title_raw": "A Title",
        "abstract_raw": "An abstract.",
        "authors": ("Ana Roe",),
        "categories": ("cs.LG", "cs.AI"),
        "primary": "cs.LG",
        "announce_type": "new",
        "announced_on": DAY,
    }
    return Listing(**{**defaults, **fields})


def from_huggingface(**fields):
    defaults = {
        "source": "huggingface",
        "announce_type": "",
        "categories": (),
        "primary": "",
        "organization": "Roe Laboratory",
        "code_url": "https://git.example.org/roe",
        "project_url": "https://roe.example.org",
    }
    return listing(**{**defaults, **fields})


def votes(value, at=NOW):
    return (Measurement("upvotes", value, at),)


def counts(samples=0, new=0, updated=0, unchanged=0):
    return Counts(new, updated, unchanged, samples)


def test_feed_is_stored_as_papers_and_counts():
    account = run()

    result = store(arxiv_feed.parse(ATOM.read_bytes()).listings, account, NOW)

    assert result == counts(new=4)
    account.refresh_from_db()
    assert (account.state, account.new) == ("done", 4)
    assert account.finished_at > NOW
    paper = Paper.objects.get(identifier="2611.95001")
    assert paper.title == (
        "Bridges for Naïve Travellers: Schrödinger Transport at 50% of the Cost"
    )
    assert paper.title_raw.startswith(r"Bridges for Na\"ive")
    assert paper.authors == [
        *("Orla Quist", "Sammy Daventry, Jr.", "Cédric Lejeune", "Wu Zhen")
    ]
    assert (paper.announced_on, paper.announce_type) == (date(2026, 11, 20), "new")


def test_storing_twice_changes_nothing():
    documents = [
        arxiv_feed.parse(ATOM.read_bytes()).listings,
        huggingface.parse(DAY_2026.read_bytes()).listings,
    ]
    for listings in documents:
        store(listings, run(), NOW)
    before = [
        list(table.objects.order_by("pk").values())
        for table in (Paper, AttentionSample)
    ]

    again = [store(listings, run(), LATER) for listings in documents]

    assert again == [counts(unchanged=4), counts(unchanged=2)]
    after = [
        list(table.objects.order_by("pk").values())
        for table in (Paper, AttentionSample)
    ]
    assert after == before


def test_new_version_replaces_the_text_and_keeps_the_day():
    store([listing()], run(), NOW)
    Paper.objects.update(vector=b"old", vector_version="old")

    result = store(
        [
            listing(
                version=2,
                title_raw="A Better Title",
                announce_type="replace",
                announced_on=DAY + timedelta(days=3),
            )
        ],
        run(),
        LATER,
    )

    paper = Paper.objects.get()
    assert result == counts(updated=1)
    assert (paper.title, paper.version) == ("A Better Title", 2)
    assert (paper.announced_on, paper.announce_type) == (DAY, "new")
    assert (paper.vector, paper.vector_version) == (None, "")
    assert (paper.created_at, paper.updated_at) == (NOW, LATER)


def test_older_version_changes_nothing():
    store([listing(version=3)], run(), NOW)

    result = store([listing(version=2, title_raw="An Old Title")], run(), LATER)

    assert result == counts(unchanged=1)
    assert Paper.objects.get().title == "A Title"


@pytest.mark.parametrize("first", ["new", "cross"])
def test_new_is_preferred_to_cross_listed_on_the_same_day(first):
    other = {"new": "cross", "cross": "new"}[first]
    store([listing(announce_type=first)], run(), NOW)

    store([listing(announce_type=other)], run(), NOW)

    assert Paper.objects.get().announce_type == "new"


def test_later_cross_list_does_not_make_a_replacement_new():
    store([listing(announce_type="replace", version=2)], run(), NOW)

    store(
        [listing(announce_type="cross", version=2, announced_on=date(2026, 11, 23))],
        run(),
        LATER,
    )

    assert Paper.objects.get().announce_type == "replace"


def test_repeated_paper_in_a_document_is_stored_once():
    twice = [listing(announce_type="cross", version=2), listing()]

    result = store(twice, run(), NOW)

    paper = Paper.objects.get()
    assert result == counts(new=1)
    assert (paper.version, paper.announce_type) == (2, "new")


def test_hugging_face_fills_empty_columns_and_overwrites_nothing():
    store([listing()], run(), NOW)

    result = store(
        [from_huggingface(title_raw="Another", authors=(), version=4)], run(), LATER
    )

    paper = Paper.objects.get()
    assert result == counts(updated=1)
    assert (paper.title, paper.authors, paper.version) == ("A Title", ["Ana Roe"], 1)
    assert paper.categories == ["cs.LG", "cs.AI"]
    assert paper.organization == "Roe Laboratory"
    assert paper.code_url == "https://git.example.org/roe"
    assert paper.project_url == "https://roe.example.org"


def test_paper_listed_by_hugging_face_is_announced_on_that_day():
    store([from_huggingface()], run(), NOW)

    paper = Paper.objects.get()
    assert (paper.announced_on, paper.announce_type) == (DAY, "listed")


def test_arxiv_gives_text_and_day_of_a_paper_that_hugging_face_listed():
    store([from_huggingface(title_raw="A 10times Title")], run(), NOW)

    store([listing(announced_on=DAY + timedelta(days=1))], run(), LATER)

    paper = Paper.objects.get()
    assert (paper.title, paper.primary) == ("A Title", "cs.LG")
    assert paper.announced_on == DAY + timedelta(days=1)
    assert paper.announce_type == "new"
    assert paper.organization == "Roe Laboratory"


@pytest.mark.parametrize(("days", "kept"), [(3, 0), (-3, -3)])
def test_cross_list_of_paper_that_hugging_face_listed_keeps_the_earlier_day(days, kept):
    store([from_huggingface()], run(), NOW)

    later = DAY + timedelta(days=days)
    store([listing(announced_on=later, announce_type="cross")], run(), LATER)

    paper = Paper.objects.get()
    assert paper.announced_on == DAY + timedelta(days=kept)
    assert paper.announce_type == "cross"


def test_samples_are_stored_where_the_value_changes():
    days = [NOW + timedelta(days=n) for n in range(4)]
    for at, value in zip(days, [5, 9, 9, 7], strict=True):
        store([from_huggingface(measurements=votes(value, at))], run(), at)

    assert list(AttentionSample.objects.order_by("at").values_list("at", "value")) == [
        (days[0], 5),
        (days[1], 9),
        (days[3], 7),
    ]
    assert Paper.objects.get().votes == 7


def test_old_document_adds_samples_and_keeps_the_newest_counts():
    store([from_huggingface(measurements=votes(9, LATER))], run(), LATER)

    result = store([from_huggingface(measurements=votes(5, NOW))], run(), LATER)

    assert result == counts(updated=1, samples=1)
    assert AttentionSample.objects.count() == 2
    assert Paper.objects.get().votes == 9


def test_click_samples_are_not_touched():
    store([listing()], run(), NOW)
    AttentionSample.objects.create(
        paper=Paper.objects.get(), source="own", kind="clicks", value=3, at=NOW
    )

    store([from_huggingface(measurements=votes(5))], run(), LATER)

    assert AttentionSample.objects.filter(kind="clicks").get().value == 3


def test_hostile_text_is_kept_raw_and_plain_text_is_one_line():
    hostile = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'
    names = tuple(f"Author Number{n}" for n in range(3303))

    store([listing(title_raw=hostile, authors=names)], run(), NOW)

    paper = Paper.objects.get()
    assert paper.title_raw == hostile
    assert paper.title == '<img src=x onerror=alert(1)> & "A Bcc: x@y"'
    assert len(paper.authors) == 3303


def test_unstorable_characters_and_lengths_are_dropped():
    awkward = from_huggingface(
        title_raw="nul \x00 and half \ud800 signs",
        organization="O" * 300,
        code_url="https://git.example.org/" + "x" * 600,
        doi="10.1/" + "x" * 300,
    )

    store([awkward], run(), NOW)

    paper = Paper.objects.get()
    assert paper.title_raw == "nul  and half  signs"
    assert len(paper.organization) == 200
    assert (paper.code_url, paper.doi) == ("", "")


def test_document_is_not_stored_without_its_run():
    nameless = IngestRun(source="arxiv", origin=None, started_at=NOW)

    with pytest.raises(IntegrityError):
        store([from_huggingface(measurements=votes(5))], nameless, NOW)

    assert not Paper.objects.exists()


def test_query_count_does_not_grow_with_the_feed(
    django_assert_max_num_queries,
):
    many = [
        from_huggingface(
            identifier=f"2611.{n}",
            measurements=votes(5, datetime(2026, 11, 20, tzinfo=UTC)),
        )
        for n in range(91000, 91200)
    ]

    with django_assert_max_num_queries(14):
        store(many, run(), NOW)
    with django_assert_max_num_queries(14):
        store(many, run(), NOW)


def test_added_paper_listed_without_a_day_keeps_its_day():
    store([listing(announce_type="added")], run(), NOW)

    store([from_huggingface(announced_on=None)], run(), LATER)

    paper = Paper.objects.get()
    assert (paper.announce_type, paper.announced_on) == ("listed", DAY)


def row(**fields):
    defaults = {
        "announced_on": DAY,
        "announce_type": "new",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return defaults | fields


def test_paper_inserted_by_another_process_is_not_inserted_again():
    make.paper("As the other wrote it", identifier="2611.95001")
    rows = [row(identifier=f"2611.9500{n}") for n in (2, 1)]

    with pytest.raises(ConcurrentInsert), transaction.atomic():
        insert_papers(rows)

    assert Paper.objects.get().title == "As the other wrote it"


def test_insert_returns_the_primary_keys():
    names = ["2611.95002", "2611.95001"]

    keys = insert_papers([row(identifier=name, title=name) for name in names])

    assert keys == dict(Paper.objects.values_list("title", "pk"))
    assert make.paper("The next").pk > max(keys.values())
    assert insert_papers([]) == {}


def test_new_papers_are_inserted_in_identifier_order():
    names = [f"2611.{n}" for n in range(91000, 91100)]

    written = insert_papers([row(identifier=name) for name in reversed(names)])

    assert sorted(written, key=written.get) == names


def test_unchanged_papers_are_compared_without_reading_texts():
    documents = [
        [listing(), listing(identifier="2611.95011", announce_type="replace")],
        [from_huggingface(measurements=votes(5))],
    ]
    for listings in documents:
        store(listings, run(), NOW)

    with CaptureQueriesContext(connection) as queries:
        for listings in documents:
            store(listings, run(), LATER)

    assert not any("abstract_raw" in query["sql"] for query in queries)


def test_new_paper_is_inserted_exactly_with_defaults():
    odd = "Fresh\tand \\ odd \N{SNOWMAN}"
    named = {"organization": "\\N", "doi": "a\nb", "authors": [odd, '"'], "votes": 3}

    insert_papers([row(identifier="2611.95001", title=odd, published_at=NOW, **named)])

    paper = Paper.objects.get()
    assert (paper.title, paper.published_at) == (odd, NOW)
    assert {name: getattr(paper, name) for name in named} == named
    assert (paper.version, paper.categories, paper.vector) == (1, [], None)


def test_bulk_update_changes_each_paper_by_itself():
    names = ["2611.95001", "2611.95002", "2611.95003", "2611.95004"]
    store([listing(identifier=name, version=2) for name in names], run(), NOW)
    Paper.objects.update(vector=b"\x00old\xff", vector_version="old")
    odd = "New\tand \\ odd \N{SNOWMAN}"

    result = store(
        [
            listing(identifier=names[3]),
            listing(identifier=names[2], version=3, title_raw=odd),
            listing(identifier=names[1], version=3, authors=("Bo Li",), doi="10.1/b"),
            listing(identifier=names[0], license="https://example.org/by"),
        ],
        run(),
        LATER,
    )

    assert result == counts(updated=3, unchanged=1)
    columns = ("title_raw", "authors", "license", "doi", "version", "updated_at")
    assert list(Paper.objects.order_by("identifier").values_list(*columns)) == [
        ("A Title", ["Ana Roe"], "https://example.org/by", "", 2, LATER),
        ("A Title", ["Bo Li"], "", "10.1/b", 3, LATER),
        (odd, ["Ana Roe"], "", "", 3, LATER),
        ("A Title", ["Ana Roe"], "", "", 2, NOW),
    ]
    vectors = Paper.objects.order_by("identifier").values_list("vector", flat=True)
    assert [vector and bytes(vector) for vector in vectors] == [
        *(b"\x00old\xff", b"\x00old\xff", None, b"\x00old\xff")
    ]


def test_version_with_the_same_text_keeps_its_vector():
    store([listing()], run(), NOW)
    Paper.objects.update(vector=b"old", vector_version="old")

    result = store([listing(version=2, authors=("Ana Roe", "Bo Li"))], run(), LATER)

    paper = Paper.objects.get()
    assert result == counts(updated=1)
    assert (paper.version, paper.authors) == (2, ["Ana Roe", "Bo Li"])
    assert (bytes(paper.vector), paper.vector_version) == (b"old", "old")


def test_paper_without_categories_listed_again_is_unchanged():
    bare = listing(categories=(), primary="")
    store([bare], run(), NOW)
    Paper.objects.update(vector=b"old", vector_version="old")

    result = store([bare], run(), LATER)

    paper = Paper.objects.get()
    assert result == counts(unchanged=1)
    assert (bytes(paper.vector), paper.updated_at) == (b"old", NOW)


def test_newest_count_of_a_document_wins_and_the_first_of_equal_times():
    samples = [votes(9, LATER), votes(5, NOW), votes(4, LATER)]
    measurements = tuple(chain.from_iterable(samples))

    result = store([from_huggingface(measurements=measurements)], run(), LATER)

    assert result == counts(new=1, samples=2)
    assert Paper.objects.get().votes == 9
    assert set(AttentionSample.objects.values_list("at", "value")) == {
        (NOW, 5),
        (LATER, 9),
    }


def test_long_texts_use_lz4_where_available():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite compresses nothing")
    store([listing(abstract_raw="word and word again " * 500)], run(), NOW)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
        )
        offered = cursor.fetchone()[0]
        cursor.execute("SELECT pg_column_compression(abstract) FROM digest_paper")
        used = cursor.fetchone()[0]

    assert used == ("lz4" if "lz4" in offered else "pglz")
