"""BibTeX records of papers."""

from datetime import UTC, datetime

import pytest

from digest.models import Paper
from digest.site.bibtex import format_bibtex
from tests.make import DAY


def paper(**fields):
    defaults = {
        "identifier": "2611.90001",
        "title": "Sparse things",
        "authors": ["Ada Okafor", "Bruno Lindqvist"],
        "primary": "cs.LG",
        "announced_on": DAY,
    }
    return Paper(**defaults | fields)


def test_record_has_the_fields_that_arxiv_recommends():
    assert format_bibtex(paper()).splitlines() == [
        "@misc{okafor2026sparse,",
        "  title = {{Sparse things}},",
        "  author = {Ada Okafor and Bruno Lindqvist},",
        "  year = {2026},",
        "  eprint = {2611.90001},",
        "  archivePrefix = {arXiv},",
        "  primaryClass = {cs.LG},",
        "  url = {https://arxiv.org/abs/2611.90001}",
        "}",
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"published_at": datetime(2025, 12, 30, tzinfo=UTC)}, "year = {2025}"),
        (
            {"title": "50% of $x_1$ {and} A&B~"},
            r"title = {{50\% of \$x\_1\$ \{and\} A\&B\textasciitilde{}}}",
        ),
        ({"authors": ["王伟"], "title": "注意力"}, "@misc{unknown2026paper,"),
        ({"authors": [], "title": ""}, "@misc{unknown2026paper,"),
        ({"authors": ["José Muñoz"]}, "@misc{munoz2026sparse,"),
        ({"authors": ["José Muñoz"]}, "author = {José Muñoz}"),
    ],
)
def test_record_handles_first_version_tex_characters_and_other_scripts(fields, text):
    assert text in format_bibtex(paper(**fields))
