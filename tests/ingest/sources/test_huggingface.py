"""Hugging Face's daily answers, whose shape has drifted over the years."""

import json
import tarfile
from datetime import UTC, date, datetime

import pytest

from digest.ingest.sources import huggingface
from digest.ingest.sources.listing import Measurement, SourceError
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import DAY_2025, DAY_2026

NEWEST = datetime(2026, 11, 20, 6, 10, tzinfo=UTC)


def test_counts_are_found_where_they_are_written():
    first, second = huggingface.parse(DAY_2026.read_bytes()).listings

    assert first.measurements == (
        Measurement("upvotes", 41, NEWEST),
        Measurement("comments", 3, NEWEST),
        Measurement("stars", 230, NEWEST),
    )
    assert second.measurements == (
        Measurement("upvotes", 0, NEWEST),
        Measurement("comments", 0, NEWEST),
    )


def test_counts_from_the_network_are_dated_when_they_were_read():
    now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

    listings = huggingface.parse(DAY_2026.read_bytes(), read_at=now).listings

    assert {one.at for listing in listings for one in listing.measurements} == {now}
    assert {listing.announced_on for listing in listings} == {date(2026, 11, 20)}


def test_a_listing_keeps_what_the_list_says():
    first = huggingface.parse(DAY_2026.read_bytes()).listings[0]

    assert (first.identifier, first.source) == ("2611.95001", "huggingface")
    assert first.announce_type == ""
    assert first.organization == "Quist Laboratory"
    assert first.code_url == "https://git.example.org/quist/bridges"
    assert first.project_url == "https://bridges.example.org/"
    assert first.published_at == datetime(2026, 11, 18, 17, 8, 18, tzinfo=UTC)


def test_an_author_who_is_hidden_stays_hidden():
    first = huggingface.parse(DAY_2026.read_bytes()).listings[0]

    assert first.authors == ("Orla Quist", "Wu Zhen")


def test_an_answer_from_before_march_2025_is_dated_by_its_newest_paper():
    listings = huggingface.parse(DAY_2025.read_bytes()).listings

    assert {one.announced_on for one in listings} == {date(2025, 1, 13)}
    assert listings[0].abstract_raw.startswith("Only the paper has a summary")
    assert [one.value for one in listings[0].measurements] == [12, 1]


def test_a_weekend_has_no_listings():
    assert huggingface.parse(b"[]").listings == ()


def test_a_paper_without_a_title_of_its_own_has_the_one_beside_it():
    first = huggingface.parse(changed(title=None)).listings[0]

    assert first.title_raw.startswith("Bridges for Travellers")


def changed(**fields):
    rows = json.loads(DAY_2026.read_bytes())
    rows[0]["paper"].update(fields)
    return json.dumps(rows).encode()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", 7, None])
def test_an_address_that_is_not_of_the_web_is_left_out(url):
    listing = huggingface.parse(changed(githubRepo=url, projectPage=url)).listings[0]

    assert (listing.code_url, listing.project_url) == ("", "")


@pytest.mark.parametrize("count", [-1, True, "12", 1.5, 2**31, None])
def test_a_count_that_is_none_is_left_out(count):
    listing = huggingface.parse(changed(upvotes=count)).listings[0]

    assert [one.kind for one in listing.measurements] == ["comments", "stars"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (DAY_2026.read_bytes()[:-40], "cut or broken"),
        (b"[" * 100_000, "cut or broken"),
        (b'{"error": "Invalid date"}', "JSON, but not a daily answer"),
        (b"{}", "JSON, but not a daily answer"),
        (b"7", "JSON, but not a daily answer"),
        (b'[{"id": "2611.95001"}]', "not a daily answer"),
        (b"[7]", "not a daily answer"),
        (changed(id="../../etc/passwd"), "not an arXiv identifier"),
        (DAY_2026.read_bytes().replace(b'"title"', b'"name"'), "has no title"),
        (changed(submittedOnDailyAt="yesterday"), "not a date"),
    ],
)
def test_a_foreign_or_cut_answer_is_refused_with_a_reason_and_a_remedy(document, why):
    with pytest.raises(SourceError, match=why) as refusal:
        huggingface.parse(document)

    assert ": " in str(refusal.value)


def test_a_paper_that_was_taken_back_is_told_so():
    first, second = huggingface.parse(
        changed(withdrawnAt="2026-11-20T09:00:00.000Z")
    ).listings

    assert (first.is_withdrawn, second.is_withdrawn) == (True, False)


OPTIONAL = (
    *("authors", "summary", "upvotes", "githubStars", "githubRepo", "projectPage"),
    *("ai_summary", "ai_keywords", "organization", "submittedOnDailyAt", "withdrawnAt"),
    *("numComments", "isAuthorParticipating"),
)


def without(*names, row=0):
    """The recorded day; in one row these fields are null, wherever they are written."""
    rows = json.loads(DAY_2026.read_bytes())
    for name in names:
        rows[row][name] = rows[row]["paper"][name] = None
    return json.dumps(rows).encode()


@pytest.mark.parametrize("name", [*OPTIONAL, "publishedAt"])
def test_a_day_on_which_a_field_is_null_is_read(name):
    first, second = huggingface.parse(without(name)).listings

    assert first.identifier == "2611.95001"
    assert first.title_raw
    assert second == huggingface.parse(DAY_2026.read_bytes()).listings[1]


def test_a_day_with_a_row_of_nulls_is_read_or_refused_for_what_it_cannot_do_without():
    bare = huggingface.parse(without(*OPTIONAL)).listings[0]

    assert (bare.authors, bare.measurements, bare.abstract_raw) == ((), (), "")
    assert (bare.organization, bare.ai_keywords, bare.code_url) == ("", (), "")
    with pytest.raises(SourceError, match="has no title: fetch it again"):
        huggingface.parse(without("title"))
    with pytest.raises(SourceError, match="is not a date: fetch it again"):
        huggingface.parse(without("publishedAt", "submittedOnDailyAt"))
    with pytest.raises(SourceError, match="is not an arXiv identifier"):
        huggingface.parse(without("id"))
    with pytest.raises(SourceError, match="a list, but not a daily answer"):
        huggingface.parse(b'[{"paper": null}]')


@pytest.mark.parametrize("authors", [None, [], ["Ana Roe"], [7], [{"name": 7}]])
def test_authors_that_are_none_are_left_out(authors):
    first = huggingface.parse(changed(authors=authors)).listings[0]

    assert first.authors == ()


def test_keywords_are_words_short_and_few():
    many = [
        "  transport ",
        "",
        " ",
        7,
        None,
        "w" * 81,
        "w" * 80,
        *"abcdefghijklmnopqrst",
    ]

    first = huggingface.parse(changed(ai_keywords=many)).listings[0]

    assert first.ai_keywords == ("transport", "w" * 80, *"abcdefghijklm")


@pytest.mark.parametrize("keywords", [None, "transport", 7, {"a": 1}, []])
def test_keywords_that_are_no_list_are_left_out(keywords):
    first = huggingface.parse(changed(ai_keywords=keywords)).listings[0]

    assert first.ai_keywords == ()


@pytest.mark.parametrize("organization", [None, "Roe Laboratory", 7, [], {"name": 7}])
def test_an_organization_without_a_name_is_left_out(organization):
    rows = json.loads(changed(organization=organization))
    rows[0]["organization"] = organization

    first = huggingface.parse(json.dumps(rows).encode()).listings[0]

    assert first.organization == ""


@needs_data
def test_every_recorded_day_is_read_with_the_signals_of_each_paper():
    archive = next((DATA / "hf_daily").glob("raw_*.tar.gz"))
    days = rows = 0

    with tarfile.open(archive) as members:
        for member in members:
            if not member.isfile():
                continue
            document = members.extractfile(member).read()
            listings = huggingface.parse(document).listings
            days, rows = days + 1, rows + len(listings)
            assert len(listings) == len(json.loads(document))
            for listing in listings:
                kinds = [one.kind for one in listing.measurements]
                assert kinds[:2] == ["upvotes", "comments"]

    assert (days, rows) == (186, 2721)
