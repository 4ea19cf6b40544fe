"""BibTeX that BibTeX can read."""

from datetime import UTC, datetime

from digest.models import Paper
from digest.site.bibtex import bibtex
from tests.make import DAY


def paper(**fields):
    known = {
        "identifier": "2611.90001",
        "title": "Sparse things",
        "authors": ["Ada Okafor", "Bruno Lindqvist"],
        "primary": "cs.LG",
        "announced_on": DAY,
    }
    return Paper(**known | fields)


def test_a_paper_is_cited_as_arxiv_recommends():
    assert bibtex(paper()).splitlines() == [
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


def test_the_year_is_that_of_the_first_version():
    assert "year = {2025}" in bibtex(
        paper(published_at=datetime(2025, 12, 30, tzinfo=UTC))
    )


def test_signs_that_tex_acts_upon_are_escaped():
    assert r"title = {{50\% of \$x\_1\$ \{and\} A\&B\textasciitilde{}}}" in bibtex(
        paper(title="50% of $x_1$ {and} A&B~")
    )


def test_a_paper_without_a_usable_author_or_word_still_has_a_key():
    assert bibtex(paper(authors=["王伟"], title="注意力")).startswith(
        "@misc{unknown2026paper,"
    )
    assert bibtex(paper(authors=[], title="")).startswith("@misc{unknown2026paper,")


def test_accents_leave_the_key_and_stay_in_the_name():
    text = bibtex(paper(authors=["José Muñoz"]))

    assert text.startswith("@misc{munoz2026sparse,")
    assert "author = {José Muñoz}" in text
