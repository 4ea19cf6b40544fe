"""Bibliographies: the papers of pasted lines, BibTeX, RIS, CSL-JSON and CSV."""

import csv
import gzip
import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text.arxiv_ids import parse_arxiv_id
from digest.text.bibliography import (
    MAX_LINES,
    Bibliography,
    normalize_title,
    parse_bibliography,
)
from digest.text.plain import to_plain_text
from tests.conftest import DATA, needs_data

ANYTHING = st.text(max_size=400) | st.text(
    st.sampled_from('@{}()",=\n\\ aeprint:/.0123456789v-') | st.characters(),
    max_size=400,
)


def test_lines_without_an_identifier_are_counted_and_listed():
    text = "\ufeff2401.01234\n\nmy favourite\r\n  \nhep-th/9901001 x\n" + "y" * 200

    parsed = parse_bibliography(text)

    assert parsed.identifiers == ("2401.01234", "hep-th/9901001")
    assert (parsed.unrecognized_count, parsed.titles) == (2, ())
    assert parsed.unrecognized == ("my favourite", "y" * 79 + "…")


BIBTEX = r"""% Encoding: UTF-8, see also 2401.09999
@string{pub = {A Publisher}}
@comment{jabref-meta: 2401.00001}
@article{one, title={A {Deep} Look at \textit{Floods}}, author="Quist, O. and \"{U}nal, P.",
  eprint = {2401.01234v2}, archivePrefix={arXiv}, primaryClass = {cs.LG}, abstract={after 2401.00002}}
@Misc{two,
  Title = "Scholar writes {arXiv} so",
  journal = "arXiv preprint arXiv:2402.00003"
}
@article{DBLP:journals/corr/abs-2403-00004, journal = {CoRR}, volume = {abs/2403.00004}, title = {X} }
@online(five, title = {In parentheses}, url = {https://arxiv.org/abs/hep-th/9901001}, year = 1999)
@article{six, doi={10.48550/arXiv.2404.00006}, title=Unquoted, year=2024}
@article{seven, title = {Only a Title: Sch{\"o}ne {$k$}-Means}, volume = {1203.4567}, doi = {10.1145/3411.12345}}
@article{eight, title = {Kept Elsewhere}, eprint = {2405.00008}, eprinttype = {jstor}}
@book{nine, author = {Nobody}}
@misc{ten, note = {Available as arXiv:cs/0112017}, title = {Ten}}
"""


def test_bibtex_gives_identifiers_titles_and_unrecognized_records():
    parsed = parse_bibliography(BIBTEX)

    assert parsed.identifiers == (
        "2401.09999",
        "2401.01234",
        "2402.00003",
        "2403.00004",
        "hep-th/9901001",
        "2404.00006",
        "cs/0112017",
    )
    assert parsed.titles == ("Only a Title: Schöne k-Means", "Kept Elsewhere")
    assert (parsed.unrecognized_count, parsed.unrecognized) == (
        1,
        ("@book{nine, author = {Nobody}}",),
    )


OVERLEAF = r"""
@string{arxiv = "arXiv preprint"}
@misc{a, title = "Sparse Lanterns", howpublished = "\url{https://arxiv.org/abs/2401.01234}"}
@article{b, title={Harbours}, journal = arxiv # " arXiv:2305.04321", year=2023}
@techreport{c, title={Lakes}, eid={arXiv:2306.00042}}
@article{d, title={Rivers}, Bdsk-Url-1 = {https://arxiv.org/abs/2306.00043}}
@article{e, title={Ponds}, url = {https://arxiv.org/abs/
   2306.00044}}
@article{DBLP:journals/corr/abs-2306-00045, title={Brooks}}
@article{2023arXiv230600046L, title={Seas}, abstract = {We follow arXiv:2301.00001.}}
@article{g, title={A $\beta$-Lake of {\o}re}}
"""


def test_bibtex_of_overleaf_bibdesk_dblp_and_ads():
    parsed = parse_bibliography(OVERLEAF)

    assert parsed.identifiers == (
        *("2401.01234", "2305.04321", "2306.00042", "2306.00043", "2306.00044"),
        *("2306.00045", "2306.00046"),
    )
    assert parsed.titles == ("A β-Lake of øre",)


RIS = """TY  - Preprint
TI  - Sparse Lanterns for Quiet Networks
AU  - Berg, Ola
AB  - We follow lamps. See arXiv:2301.00001
and arXiv:2301.00003.
N1  - Compare arXiv:2301.00002
DO  - 10.48550/arXiv.2401.01234
ER  -

TY  - CONF
T1  - Harbours of
  $\\beta$-Attention
N2  - As in arXiv:2301.00004.
ER  -
TY  - JOUR
AU  - Dahl, Kim
ER  -
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_ris_gives_its_own_papers_and_not_those_it_cites(newline):
    parsed = parse_bibliography(RIS.replace("\n", newline))

    assert parsed.identifiers == ("2401.01234",)
    assert parsed.titles == ("Harbours of β-Attention",)
    assert parsed.unrecognized == ("Dahl, Kim",)


def test_csl_json_gives_identifiers_and_titles():
    items = [
        {"id": "x", "title": "A", "URL": "http://arxiv.org/abs/2401.01234"},
        {"id": "y", "title": "B", "DOI": "10.48550/arXiv.2401.01235", "volume": 3},
        {"id": "z", "title": "C", "number": "arXiv:2401.01236", "author": [{}]},
        {"title": "A <i>River</i> of Models", "abstract": "See arXiv:2301.00001."},
        {"id": "nothing"},
    ]

    for document in (items, {"items": items}):
        parsed = parse_bibliography(json.dumps(document))
        assert parsed.identifiers == ("2401.01234", "2401.01235", "2401.01236")
        assert parsed.titles == ("A River of Models",)
        assert parsed.unrecognized == ("nothing",)


def test_scholar_csv_gives_identifiers_and_titles():
    rows = [
        ["Authors", "Title", "Publication", "Volume", "Number", "Pages", "Year"],
        ["Berg, Ola; ", "Lanterns", "arXiv preprint arXiv:2401.01234", "", "", "", ""],
        [
            "Dahl, Kim; ",
            "Harbours of attention",
            "Journal of Results",
            "3",
            "2",
            "",
            "",
        ],
    ]

    parsed = parse_bibliography(as_csv(rows))

    assert parsed.identifiers == ("2401.01234",)
    assert parsed.titles == ("Harbours of attention",)


def test_lines_of_titles_are_titles():
    parsed = parse_bibliography(
        "1. Sparse Lanterns for Quiet Networks\n- Harbours of $\\beta$\nGraph Lakes\nx\n"
    )

    assert parsed.titles == (
        "Sparse Lanterns for Quiet Networks",
        "Harbours of β",
        "Graph Lakes",
    )
    assert parsed.unrecognized == ("x",)


@pytest.mark.parametrize(
    "text",
    [
        "https://arxiv.org/abs/\n2401.01234",
        "see https://arxiv.org/pdf/2401.\n01234.",
        "https://arxiv.org/abs/2401.=\n01234",
        "https://www.google.com/url?q=3Dhttps%3A%2F%2Farxiv.org%2Fabs%2F2401.01234&sa=D",
    ],
)
def test_wrapped_and_redirected_links_are_read(text):
    parsed = parse_bibliography(text)

    assert parsed.identifiers == ("2401.01234",)
    assert parsed.unrecognized_count == 0


def test_unclosed_record_does_not_swallow_the_next():
    text = "@article{one, title = {Never closed, eprint = {2401.00001}\n@misc{two, eprint = 2401.00002}"

    parsed = parse_bibliography(text)

    assert "2401.00002" in parsed.identifiers


@given(st.integers(2, 6), st.data())
def test_cut_record_does_not_affect_the_others(size, data):
    records = [
        f'@article{{k{n}, title = "A {{Title}} of {n}", eprint={{2401.0000{n}}}, note = {{x}}}}'
        for n in range(size)
    ]
    broken = data.draw(st.integers(0, size - 1))
    records[broken] = records[broken][: data.draw(st.integers(0, 90))]

    parsed = parse_bibliography("\n".join(records))

    others = {f"2401.0000{n}" for n in range(size) if n != broken}
    assert others <= set(parsed.identifiers)


ZOTERO = [
    ["Key", "Item Type", "Title", "Publication Title", "DOI", "Url", "Abstract Note"],
    [
        "A",
        "preprint",
        "By <i>Address</i>",
        "",
        "",
        "http://arxiv.org/abs/2401.01234",
        "x",
    ],
    ["B", "preprint", "By DOI", "", "10.48550/arXiv.2402.00002", "", ""],
    ["C", "journalArticle", "By <i>Title</i>", "Journal", "10.1145/3411.12345", "", ""],
    ["D", "journalArticle", "Cites 2401.00009", "J", "", "", "Two\nlines, 2401.00008"],
    ["E", "note", "", "", "", "", ""],
]


def as_csv(rows, **options):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, **options).writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_zotero_csv_gives_identifiers_and_titles(comma):
    parsed = parse_bibliography("\ufeff" + as_csv(ZOTERO, delimiter=comma))

    assert parsed.identifiers == ("2401.01234", "2402.00002")
    assert parsed.titles == ("By Title", "Cites 2401.00009")
    assert parsed.unrecognized_count == 1


def test_csv_column_of_identifiers_and_extra_column():
    extra = [["Title", "Extra"], ["X", "arXiv:2401.01234 [cs]"]]
    alone = [["arxiv_id", "title"], ["2401.01234v2", "X"]]

    assert parse_bibliography(as_csv(extra)).identifiers == ("2401.01234",)
    assert parse_bibliography(as_csv(alone)).identifiers == ("2401.01234",)


def test_byte_order_mark_is_ignored():
    rows = [["Title", "Url"], ["Of a Thing", ""]]

    assert parse_bibliography("\ufeff" + as_csv(rows)).titles == ("Of a Thing",)


def test_csv_with_an_over_long_cell_is_read_by_line():
    text = f'"Title","Url"\n"{"x" * 200_000}","https://arxiv.org/abs/2401.01234"'

    assert parse_bibliography(text).identifiers == ("2401.01234",)


def test_papers_over_the_limit_are_counted():
    numbers = [f"2401.{n:05}" for n in range(1, 291)]
    records = [f"@misc{{x, eprint={{{n}}}}}" for n in numbers]
    records += [f"@misc{{x, title={{Title {n}}}}}" for n in range(25)]

    parsed = parse_bibliography("\n".join(records))

    assert parsed.identifiers == tuple(numbers)
    assert len(parsed.titles) == 10
    assert parsed.over_limit == 15


def test_each_text_has_its_own_format():
    parsed = parse_bibliography("2401.00003", BIBTEX, as_csv(ZOTERO))

    assert parsed.identifiers[0] == "2401.00003"
    assert parsed.identifiers[-1] == "2402.00002"
    assert "By Title" in parsed.titles


def test_same_paper_is_returned_once():
    text = "@misc{a, title={A  Title!}}@misc{b, title={{a} title}}@misc{c,eprint={2401.00001}}@misc{d,url={arxiv.org/abs/2401.00001v2}}"

    parsed = parse_bibliography(text)

    assert (parsed.identifiers, parsed.titles) == (("2401.00001",), ("A Title!",))


def test_normalize_title_ignores_accents_case_and_punctuation():
    assert normalize_title("Schrödinger's  Naïve-Cat!") == "schrodingersnaivecat"
    assert normalize_title("猫 2") == "猫2"


@given(ANYTHING)
def test_any_text_gives_valid_identifiers_and_titles(text):
    parsed = parse_bibliography(text)

    assert all(parse_arxiv_id(number) == (number, 1) for number in parsed.identifiers)
    assert all(map(normalize_title, parsed.titles))


@pytest.mark.parametrize(
    "bit",
    [
        *(
            "@a",
            "@abc{",
            "@abc{a={",
            '@abc{a="',
            "@abc{a=",
            "@abc{(a ",
            "x=",
            " ",
            "\\",
        ),
        *("{", "}", '"', "arxiv ", "abs/", "2401.", "cs/", "2401.01234", "title,url\n"),
        *("TY  - ", "TI  - a", "TY  - a\nER  - \n", "[", '[{"', "%3A", "a # ", "=\n"),
        *(
            "@string{a=",
            "<sub ",
            "$\\beta$",
            "1. ",
            "abs-24",
            "https://arxiv.org/abs/\n",
        ),
        *('title,url\n"', "arxiv:    ", "@      ", "v1", "aa  ", ",a  ="),
    ],
)
def test_parsing_is_linear(bit):
    long = bit * (300_000 // len(bit))

    begun = time.process_time()
    parse_bibliography(long)
    parse_bibliography(f"@misc{{x, {long}")

    assert time.process_time() - begun < 5  # a quadratic reading takes an hour


def test_text_over_the_line_limit_is_truncated():
    parsed = parse_bibliography("x\n" * MAX_LINES + "2401.01234")

    assert (parsed.unrecognized_count, parsed.is_truncated) == (
        MAX_LINES,
        True,
    )
    assert not parse_bibliography("x\n" * MAX_LINES).is_truncated


@needs_data
@pytest.mark.parametrize("first", range(0, 9_000, 1_500))
def test_recorded_papers_in_lines_bibtex_and_csv(first):
    with gzip.open(DATA / "evaluation" / "topics" / "papers.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file][first : first + 250]
    numbers, titles = [row["id"] for row in rows], [row["title"] for row in rows]
    text = "\n".join(f"https://arxiv.org/abs/{n}v1" for n in numbers)
    bibtex = "\n".join(f"@misc{{k, title={{T}}, eprint={{{n}}}}}" for n in numbers)
    records = [["T", f"http://arxiv.org/abs/{n}"] for n in numbers]
    only_titles = as_csv([["Title", "Url"], *([title, ""] for title in titles)])

    for pasted in (text, bibtex, as_csv([["Title", "Url"], *records])):
        assert parse_bibliography(pasted) == Bibliography(tuple(numbers))
    assert list(parse_bibliography(only_titles).titles) == [
        to_plain_text(title) for title in titles
    ]


@pytest.mark.parametrize("name", ["arxivId", "arxiv_id", "eprint"])
def test_json_field_of_identifiers_is_read(name):
    bibliography = parse_bibliography(f'[{{"title": "Lakes", "{name}": "2306.00042"}}]')

    assert bibliography.identifiers == ("2306.00042",)


ENDNOTE = """%0 Journal Article
%T Storks over Uppland
%A Berg, Ola
%J arXiv preprint arXiv:2401.01234
%X We extend arXiv:2301.00001 and others.
%D 2024

%0 Conference Paper
%T Welds under
 stress
%U https://arxiv.org/abs/2402.05678
"""
PUBMED = """PMID- 39000001
TI  - Storks over
      Uppland
AB  - We extend arXiv:2301.00001
      and others.
LID - 10.48550/arXiv.2401.01234 [doi]

PMID- 39000002
TI  - Welds under stress
AB  - As in arXiv:2301.00002.
"""
LOWER_CASE_RIS = """ty  - JOUR
ti  - Storks over Uppland
ab  - We extend arXiv:2301.00001.
ur  - https://arxiv.org/abs/2401.01234
er  -
"""


@pytest.mark.parametrize(
    ("text", "identifiers", "titles"),
    [
        (ENDNOTE, ("2401.01234", "2402.05678"), ()),
        (PUBMED, ("2401.01234",), ("Welds under stress",)),
        (LOWER_CASE_RIS, ("2401.01234",), ()),
    ],
    ids=["endnote", "pubmed", "lower-case ris"],
)
def test_tagged_formats_ignore_papers_that_an_abstract_cites(text, identifiers, titles):
    bibliography = parse_bibliography(text)

    assert (bibliography.identifiers, bibliography.titles) == (identifiers, titles)


@pytest.mark.parametrize(
    "text",
    [
        "Title,Year\nStorks over Uppland,2024\nWelds under stress,2025\n",
        "sep=;\nItem Title;Source\nStorks over Uppland;A\nWelds under stress;B\n",
        '\u201cStorks over Uppland\u201d\n"Welds under stress"\n',
    ],
    ids=["title and year", "separator line", "quoted lines"],
)
def test_titles_come_without_other_columns_and_quotation_marks(text):
    bibliography = parse_bibliography(text)

    assert bibliography.titles == ("Storks over Uppland", "Welds under stress")
    assert bibliography.identifiers == ()
