"""arXiv identifiers in every spelling, and numbers that only look like them."""

from datetime import date

import pytest

from digest.text.arxiv_ids import (
    find_arxiv_ids,
    find_marked_arxiv_ids,
    month_of,
    parse_arxiv_id,
)

SPELLINGS = [
    ("2401.01234", "2401.01234", 1),
    ("2401.01234v3", "2401.01234", 3),
    (" 0704.0001v2\n", "0704.0001", 2),
    ("hep-th/9901001v12", "hep-th/9901001", 12),
    ("math.GT/0309136v1", "math/0309136", 1),
    ("oai:arXiv.org:2508.13167v1", "2508.13167", 1),
    ("oai:arXiv.org:0811.36489v2", "0811.36489", 2),
    ("arXiv:2508.13167v2", "2508.13167", 2),
    ("arXiv:2401.01234v3 [cs.LG]", "2401.01234", 3),
    ("arxiv 1207.7214", "1207.7214", 1),
    ("arxiv.org/abs/2611.09999", "2611.09999", 1),
    ("https://arxiv.org/abs/2401.01234v2?context=cs", "2401.01234", 2),
    ("see https://arxiv.org/abs/2401.01234v2.", "2401.01234", 2),
    ("<https://arxiv.org/abs/2401.01234>", "2401.01234", 1),
    ("http://www.arxiv.org/pdf/2401.01234v2.pdf", "2401.01234", 2),
    ("http://export.arxiv.org/pdf/2508.13167v4.pdf", "2508.13167", 4),
    ("https://ar5iv.labs.arxiv.org/html/2401.01234", "2401.01234", 1),
    ("https://ar5iv.org/abs/2401.01234", "2401.01234", 1),
    ("https://huggingface.co/papers/2401.01234?x=1", "2401.01234", 1),
    ("https://www.alphaxiv.org/abs/hep-th/9901001", "hep-th/9901001", 1),
    ("https://hf.co/papers/2401.01234", "2401.01234", 1),
    ("https://arxiv.org/e-print/2401.01234v2", "2401.01234", 2),
    ("https://scirate.com/arxiv/2401.01234", "2401.01234", 1),
    ("10.48550/arXiv.2611.09999", "2611.09999", 1),
    ("https://doi.org/10.48550/arXiv.2611.09999", "2611.09999", 1),
    ("https://doi.org/10.48550/arXiv.cs/0112017", "cs/0112017", 1),
    (
        "https://www.google.com/url?q=https%3A%2F%2Farxiv.org%2Fabs%2F2401.01234&sa=D",
        "2401.01234",
        1,
    ),
    (
        "https://www.google.com/url?q=https://arxiv.org/abs/2401.01234v2&sa=D&ust=17",
        "2401.01234",
        2,
    ),
    (
        "https://links.example.org/?u=https%253A%252F%252Farxiv.org%252Fpdf%252F2401.01234",
        "2401.01234",
        1,
    ),
    ("~/papers/arxiv_2401.01234v1.pdf", "2401.01234", 1),
    ("2401.01234v1.pdf", "2401.01234", 1),
    ("DBLP:journals/corr/abs-2401-01234", "2401.01234", 1),
    ("2024arXiv240101234B", "2401.01234", 1),
    ("https://ui.adsabs.harvard.edu/abs/2008arXiv0801.1234B/abstract", "0801.1234", 1),
]


@pytest.mark.parametrize(("text", "identifier", "version"), SPELLINGS)
def test_every_spelling_is_parsed_and_found(text, identifier, version):
    assert parse_arxiv_id(text) == (identifier, version)
    assert find_arxiv_ids(f"{text}\n{text}") == [identifier]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "no paper here, page 1234.5678",
        "10.1145/3411.12345",
        "10.1103/PhysRevD.1203.45678",
        "2413.01234",  # no such month
        "1401.01234",  # five digits since 2015
        "1501.0123",
        "2401.123",
        "2401.01234v0",
        "2401.012345",
        "2401.01234.5",
        "version 12401.01234",
        "and/0112017 or cs/0113017",
        "https://example.org/2401.01234",
        "https://example.org/abs/2401.01234",
        "https://notarxiv.org/abs/2401.01234",
        "me@example.org",
    ],
)
def test_other_numbers_are_not_identifiers(text):
    assert find_arxiv_ids(text) == []
    with pytest.raises(ValueError, match="is not an arXiv identifier"):
        parse_arxiv_id(text)


def test_parse_refuses_several_papers():
    with pytest.raises(ValueError, match="is not an arXiv identifier"):
        parse_arxiv_id("2401.01234 2401.01235")


def test_find_returns_each_paper_once_in_order():
    text = "2401.01234,2402.00001;2401.01234v2 math.GT/0309136v2 and (astro-ph/0601001)"

    assert find_arxiv_ids(text) == [
        *("2401.01234", "2402.00001", "math/0309136", "astro-ph/0601001")
    ]


def test_find_marked_ignores_bare_numbers():
    text = "2401.00001, arXiv:2401.00002, abs/2401.00003, doi 10.48550/arXiv.2401.00004"

    assert find_marked_arxiv_ids(text) == ["2401.00002", "2401.00003", "2401.00004"]


@pytest.mark.parametrize(
    ("identifier", "month"),
    [
        ("2401.01234", date(2024, 1, 1)),
        ("9112.01234", date(2091, 12, 1)),
        ("hep-th/9112001", date(1991, 12, 1)),
        ("math/0309136", date(2003, 9, 1)),
    ],
)
def test_month_of_reads_the_month_of_the_identifier(identifier, month):
    assert month_of(identifier) == month
