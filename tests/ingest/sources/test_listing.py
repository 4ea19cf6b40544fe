"""Identifiers: a paper is known by its number, whatever is written around it."""

from datetime import UTC, datetime

import pytest

from digest.ingest.sources.listing import SourceError, parse_moment
from digest.text.arxiv_ids import parse_arxiv_id


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("2401.01234", ("2401.01234", 1)),
        ("2401.01234v3", ("2401.01234", 3)),
        (" 0704.0001v2\n", ("0704.0001", 2)),
        ("hep-th/9901001", ("hep-th/9901001", 1)),
        ("hep-th/9901001v12", ("hep-th/9901001", 12)),
        ("math.GT/0309136v1", ("math/0309136", 1)),
        ("oai:arXiv.org:2508.13167v1", ("2508.13167", 1)),
        ("arXiv:2508.13167v2", ("2508.13167", 2)),
        ("https://arxiv.org/abs/2508.13167", ("2508.13167", 1)),
        ("http://export.arxiv.org/pdf/2508.13167v4.pdf", ("2508.13167", 4)),
        ("https://huggingface.co/papers/2508.13167", ("2508.13167", 1)),
    ],
)
def test_an_identifier_is_found_without_what_is_around_it(text, identity):
    assert parse_arxiv_id(text) == identity


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "2413.01234",
        "2401.123",
        "2401.01234v0",
        "2401.01234 2401.01235",
        "https://example.org/abs/2401.01234",
    ],
)
def test_what_is_no_identifier_is_not_taken_for_one(text):
    with pytest.raises(ValueError, match="is not an arXiv identifier"):
        parse_arxiv_id(text)


@pytest.mark.parametrize(
    "written",
    [
        *("2026-11-20T05:00:00Z", "2026-11-20T00:00:00-05:00"),
        *("2026-11-20T05:00:00", "2026-11-20T05:00"),
    ],
)
def test_a_moment_is_in_utc_whatever_its_zone(written):
    assert parse_moment(written) == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert parse_moment(written).tzinfo is UTC


@pytest.mark.parametrize(
    "written",
    [
        *("", "today", "2026-02-30", "1899-12-31", "2200-01-01", "0001-01-01"),
        *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_moment_in_which_no_paper_can_have_been_is_refused(written):
    with pytest.raises(SourceError, match="is not a date: fetch it again"):
        parse_moment(written)


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError])
def test_whatever_a_reader_of_dates_raises_is_a_refusal(error):
    def read(_):
        raise error

    with pytest.raises(SourceError, match="'soon' is not a date"):
        parse_moment("soon", read)
