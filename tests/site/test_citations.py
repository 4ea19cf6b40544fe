"""Citations of papers: BibTeX, RIS, meta tags and JSON-LD."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pybtex.database import parse_string

from digest.models import Paper
from digest.site.citations import (
    citation_tags,
    format_bibtex,
    format_ris,
    json_ld,
)
from digest.text.bibliography import parse_bibliography
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
            r"title = {{50\% of \$x\_1\$ \textbraceleft{}and\textbraceright{} A\&B\textasciitilde{}}}",
        ),
        ({"authors": ["王伟"], "title": "注意力"}, "@misc{unknown2026paper,"),
        ({"authors": [], "title": ""}, "@misc{unknown2026paper,"),
        ({"authors": ["José Muñoz"]}, "@misc{munoz2026sparse,"),
        ({"authors": ["José Muñoz"]}, "author = {José Muñoz}"),
    ],
)
def test_record_handles_first_version_tex_characters_and_other_scripts(fields, text):
    assert text in format_bibtex(paper(**fields))


def read_bibtex(record):
    """The one entry of a record, as pybtex reads it."""
    (entry,) = parse_string(record, "bibtex").entries.values()
    return entry


@pytest.mark.parametrize(
    ("name", "first", "last", "lineage"),
    [
        ("Ada Okafor", ["Ada"], ["Okafor"], []),
        ("Ada B. Okafor", ["Ada"], ["Okafor"], []),
        ("Bruno Lindqvist, Jr.", ["Bruno"], ["Lindqvist"], ["Jr."]),
        ("Bruno Lindqvist III", ["Bruno"], ["Lindqvist"], ["III"]),
        ("Lindqvist, Bruno", ["Bruno"], ["Lindqvist"], []),
        ("ATLAS Collaboration", [], ["{ATLAS Collaboration}"], []),
        ("The Maps and Tides Consortium", [], ["{The Maps and Tides Consortium}"], []),
        ("王伟", [], ["王伟"], []),
    ],
)
def test_bibtex_names_keep_suffixes_and_collaborations(name, first, last, lineage):
    entry = read_bibtex(format_bibtex(paper(authors=["Bruno Berg", name])))

    assert len(entry.persons["author"]) == 2
    person = entry.persons["author"][1]
    assert person.first_names == first
    assert person.last_names == last
    assert person.lineage_names == lineage


@pytest.mark.parametrize(
    ("doi", "written"),
    [
        ("10.1000/182", "10.1000/182"),
        ("10.1002/(SICI)1097<1:AID>3.0.CO;2-#", "10.1002/(SICI)1097<1:AID>3.0.CO;2-#"),
        ("10.1000/{\\it x}%_1", "10.1000/%7B%5Cit%20x%7D%25_1"),
    ],
)
def test_bibtex_doi_is_verbatim_without_tex(doi, written):
    assert read_bibtex(format_bibtex(paper(doi=doi))).fields["doi"] == written


text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('{}\\"@,%#$&_^~'),
    max_size=30,
)


@given(title=text, authors=st.lists(text, max_size=3), doi=text)
def test_pybtex_reads_every_record(title, authors, doi):
    entry = read_bibtex(format_bibtex(paper(title=title, authors=authors, doi=doi)))

    assert entry.fields["eprint"] == "2611.90001"


def test_ris_has_one_tag_a_line():
    record = format_ris(
        paper(
            abstract="We map.\n\nER  - no",
            authors=["Ada Okafor", "Bo Berg, Jr.", "ATLAS Collaboration"],
            doi="10.1000/182",
            categories=["cs.LG", "cs.CL"],
        )
    )

    assert record.split("\r\n") == [
        "TY  - UNPB",
        "TI  - Sparse things",
        "AU  - Okafor, Ada",
        "AU  - Berg, Bo, Jr.",
        "AU  - ATLAS Collaboration",
        "PY  - 2026",
        "DA  - 2026/11/20",
        "AB  - We map. ER - no",
        "DO  - 10.1000/182",
        "UR  - https://arxiv.org/abs/2611.90001",
        "L1  - https://arxiv.org/pdf/2611.90001",
        "AN  - arXiv:2611.90001",
        "KW  - cs.LG",
        "KW  - cs.CL",
        "ER  - ",
        "",
    ]


def test_own_reader_of_bibliographies_reads_both_formats():
    for record in (format_bibtex(paper()), format_ris(paper())):
        assert parse_bibliography(record).identifiers == ("2611.90001",)


def test_citation_tags_name_what_zotero_reads():
    tags = dict(citation_tags(paper(doi="10.1000/182", abstract="We map.")))

    assert tags["citation_title"] == "Sparse things"
    assert tags["citation_author"] == "Lindqvist, Bruno"
    assert tags["citation_publication_date"] == "2026/11/20"
    assert tags["citation_arxiv_id"] == "2611.90001"
    assert tags["citation_pdf_url"] == "https://arxiv.org/pdf/2611.90001"
    assert tags["citation_doi"] == "10.1000/182"


def test_json_ld_cannot_end_its_script_element():
    title = "</script><script>alert(1)</script> <!-- &amp; \u2028"

    text = json_ld(paper(title=title), "https://papers.example")

    assert not set("<>&\u2028") & set(text)
    data = json.loads(text)
    assert data["headline"] == title
    assert data["url"] == "https://papers.example/papers/2611.90001"
