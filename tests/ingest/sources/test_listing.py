"""Listings: dates, bounds and refused records."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from digest.ingest.sources.listing import (
    Listing,
    RefusedRecord,
    SourceError,
    bound_listing,
    parse_moment,
    parse_records,
)

LISTING = Listing("2611.00001", 1, "arxiv", "Sparse Lanterns", "We light lanterns.")


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-20T05:00:00Z", "2026-11-20T00:00:00-05:00"),
        *("2026-11-20T05:00:00", "2026-11-20T05:00"),
    ],
)
def test_parse_moment_converts_to_utc(text):
    assert parse_moment(text) == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert parse_moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *("", "today", "2026-02-30", "1899-12-31", "2200-01-01", "0001-01-01"),
        *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_parse_moment_refuses_impossible_dates(text):
    with pytest.raises(SourceError, match="is not a date: fetch it again"):
        parse_moment(text)


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError])
def test_parse_moment_turns_errors_of_the_parser_into_source_errors(error):
    def parse(_):
        raise error

    with pytest.raises(SourceError, match="'soon' is not a date"):
        parse_moment("soon", parse)


def parse_number(number):
    if number < 0:
        raise SourceError(f"{number} is negative")
    return replace(LISTING, version=number)


def test_parse_records_keeps_odd_records_apart():
    listings, refused = parse_records([1, -2, 3], parse_number, str)

    assert [listing.version for listing in listings] == [1, 3]
    assert refused == (RefusedRecord("-2", "-2 is negative"),)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([-1], "^-1 is negative"),
        ([-1, -2], "^2 of 2 records refused, the first: -1 is negative"),
        ([*range(17), -1, -2], "^2 of 19 records refused"),
    ],
)
def test_parse_records_refuses_a_document_with_too_many_odd_records(records, message):
    with pytest.raises(SourceError, match=message):
        parse_records(records, parse_number, str)


def test_parse_records_accepts_a_tenth_of_odd_records():
    assert len(parse_records([*range(18), -1, -2], parse_number, str)[1]) == 2


def test_titles_names_and_organizations_are_one_bounded_line():
    listing = bound_listing(
        replace(
            LISTING,
            title_raw="Lanterns\nBcc: ada@example.org\r\n" + "x" * 2_000,
            organization="Lund\nLab",
            authors=("Ola\nBerg", "y" * 300),
        )
    )

    assert listing.title_raw.startswith("Lanterns Bcc: ada@example.org xxx")
    assert len(listing.title_raw) == 500
    assert listing.organization == "Lund Lab"
    assert listing.authors == ("Ola Berg", "y" * 199 + "…")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a b",
        "https://example.org/\nSet-Cookie:a",
        "https://example.org/" + "a" * 500,
        "https://example.org/\u202egpj",
    ],
)
def test_odd_or_too_long_addresses_are_dropped(url):
    listing = bound_listing(replace(LISTING, code_url=url, project_url=url))

    assert (listing.code_url, listing.project_url) == ("", "")
