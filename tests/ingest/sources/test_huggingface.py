"""Hugging Face's daily answers, whose schema has changed over the years."""

import json
import tarfile
from datetime import UTC, date, datetime

import pytest

from digest.ingest.sources import huggingface
from digest.ingest.sources.listing import Measurement, SourceError
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import DAY_2025, DAY_2026

NEWEST = datetime(2026, 11, 20, 6, 10, tzinfo=UTC)


def test_parse_reads_counts_inside_and_outside_the_paper():
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


def test_counts_are_dated_by_read_at():
    now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

    listings = huggingface.parse(DAY_2026.read_bytes(), read_at=now).listings

    assert {count.at for listing in listings for count in listing.measurements} == {now}
    assert {listing.announced_on for listing in listings} == {date(2026, 11, 20)}


def test_parse_reads_the_fields_of_a_row():
    first = huggingface.parse(DAY_2026.read_bytes()).listings[0]

    assert (first.identifier, first.source) == ("2611.95001", "huggingface")
    assert first.announce_type == ""
    assert first.organization == "Quist Laboratory"
    assert first.code_url == "https://git.example.org/quist/bridges"
    assert first.project_url == "https://bridges.example.org/"
    assert first.thumbnail_url == "https://cdn.example.org/invented-thumbnail.png"
    assert first.published_at == datetime(2026, 11, 18, 17, 8, 18, tzinfo=UTC)


def test_hidden_authors_are_left_out():
    first = huggingface.parse(DAY_2026.read_bytes()).listings[0]

    assert first.authors == ("Orla Quist", "Wu Zhen")


def test_answer_without_listing_dates_is_dated_by_its_newest_paper():
    listings = huggingface.parse(DAY_2025.read_bytes()).listings

    assert {listing.announced_on for listing in listings} == {date(2025, 1, 13)}
    assert listings[0].abstract_raw.startswith("Only the paper has a summary")
    assert [count.value for count in listings[0].measurements] == [12, 1]


def test_empty_list_has_no_listings():
    assert huggingface.parse(b"[]").listings == ()


def test_title_outside_the_paper_is_the_fallback():
    first = huggingface.parse(changed(title=None)).listings[0]

    assert first.title_raw.startswith("Bridges for Travellers")


def changed(**fields):
    rows = json.loads(DAY_2026.read_bytes())
    rows[0]["paper"].update(fields)
    return json.dumps(rows).encode()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", 7, None])
def test_addresses_of_other_schemes_are_left_out(url):
    listing = huggingface.parse(changed(githubRepo=url, projectPage=url)).listings[0]

    assert (listing.code_url, listing.project_url) == ("", "")


@pytest.mark.parametrize("count", [-1, True, "12", 1.5, 2**31, None])
def test_invalid_counts_are_left_out(count):
    listing = huggingface.parse(changed(upvotes=count)).listings[0]

    assert [count.kind for count in listing.measurements] == ["comments", "stars"]


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
        (
            DAY_2026.read_bytes().replace(b'"title"', b'"name"'),
            "2 of 2 records refused, the first: .+ has no title",
        ),
    ],
)
def test_parse_refuses_a_foreign_or_cut_answer_with_a_reason_and_a_remedy(
    document, why
):
    with pytest.raises(SourceError, match=why) as refusal:
        huggingface.parse(document)

    assert ": " in str(refusal.value)


def test_parse_reads_withdrawals():
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
        rows[row]["paper"][name] = None
        rows[row][name] = None
    return json.dumps(rows).encode()


@pytest.mark.parametrize("name", [*OPTIONAL, "publishedAt"])
def test_parse_reads_a_row_with_a_null_field(name):
    first, second = huggingface.parse(without(name)).listings

    assert first.identifier == "2611.95001"
    assert first.title_raw
    assert second == huggingface.parse(DAY_2026.read_bytes()).listings[1]


def test_parse_refuses_a_row_without_title_date_or_identifier_by_itself():
    bare = huggingface.parse(without(*OPTIONAL)).listings[0]

    assert (bare.authors, bare.measurements, bare.abstract_raw) == ((), (), "")
    assert (bare.organization, bare.ai_keywords, bare.code_url) == ("", (), "")
    for document, identifier, reason in [
        (without("title"), "2611.95001", "has no title"),
        (without("publishedAt", "submittedOnDailyAt"), "2611.95001", "not a date"),
        (without("id"), "", "is not an arXiv identifier"),
        (changed(id="../etc/passwd"), "../etc/passwd", "is not an arXiv identifier"),
        (changed(submittedOnDailyAt="soon"), "2611.95001", "not a date"),
        (without("paper"), "", "a row without a paper"),
    ]:
        daily = huggingface.parse(document)
        assert len(daily.listings) == 1
        assert daily.refused[0].identifier == identifier
        assert reason in daily.refused[0].reason
    with pytest.raises(SourceError, match="a list, but not a daily answer"):
        huggingface.parse(b'[{"paper": null}]')


@pytest.mark.parametrize("authors", [None, [], ["Ana Roe"], [7], [{"name": 7}]])
def test_invalid_authors_are_left_out(authors):
    first = huggingface.parse(changed(authors=authors)).listings[0]

    assert first.authors == ()


def test_keywords_are_bounded():
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
def test_keywords_that_are_not_a_list_are_left_out(keywords):
    first = huggingface.parse(changed(ai_keywords=keywords)).listings[0]

    assert first.ai_keywords == ()


@pytest.mark.parametrize("organization", [None, "Roe Laboratory", 7, [], {"name": 7}])
def test_organization_without_a_name_is_left_out(organization):
    rows = json.loads(changed(organization=organization))
    rows[0]["organization"] = organization

    first = huggingface.parse(json.dumps(rows).encode()).listings[0]

    assert first.organization == ""


@needs_data
def test_parse_reads_every_recorded_day_with_its_counts():
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
                kinds = [count.kind for count in listing.measurements]
                assert kinds[:2] == ["upvotes", "comments"]

    assert (days, rows) == (186, 2721)
