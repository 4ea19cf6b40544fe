"""Lists of papers: whatever a reader pastes, its papers are told, and nothing else is."""

import csv
import gzip
import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text import bibliography
from digest.text.arxiv_ids import find_arxiv_ids, parse_arxiv_id
from tests.conftest import DATA, needs_data

ANYTHING = st.text(max_size=400) | st.text(
    st.sampled_from('@{}()",=\n\\ aeprint:/.0123456789v-') | st.characters(),
    max_size=400,
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2401.01234", ["2401.01234"]),
        ("arXiv:2401.01234v3 [cs.LG]", ["2401.01234"]),
        ("arxiv 1207.7214", ["1207.7214"]),
        ("see https://arxiv.org/abs/2401.01234v2.", ["2401.01234"]),
        ("http://www.arxiv.org/pdf/2401.01234v2.pdf", ["2401.01234"]),
        ("https://ar5iv.labs.arxiv.org/html/2401.01234", ["2401.01234"]),
        ("https://huggingface.co/papers/2401.01234?x=1", ["2401.01234"]),
        ("https://www.alphaxiv.org/abs/hep-th/9901001", ["hep-th/9901001"]),
        ("https://doi.org/10.48550/arXiv.2401.01234", ["2401.01234"]),
        ("https://doi.org/10.48550/arXiv.cs/0112017", ["cs/0112017"]),
        (
            "math.GT/0309136v2 and (astro-ph/0601001)",
            ["math/0309136", "astro-ph/0601001"],
        ),
        ("2401.01234,2402.00001;2401.01234v2", ["2401.01234", "2402.00001"]),
        ("~/papers/arxiv_2401.01234v1.pdf", ["2401.01234"]),
        ("2401.01234v1.pdf", ["2401.01234"]),
    ],
)
def test_ids_of_both_styles_are_told_wherever_they_stand(text, told):
    assert find_arxiv_ids(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no paper here, page 1234.5678",
        "10.1145/3411.12345",
        "10.1103/PhysRevD.1203.45678",
        "2413.01234",  # no such month
        "1401.01234",  # five digits came in 2015
        "1501.0123",
        "2401.012345",
        "2401.01234.5",
        "version 12401.01234",
        "and/0112017 or cs/0113017",
        "https://example.org/2401.01234",
        "me@example.org",
    ],
)
def test_other_numbers_are_not_taken_for_papers(text):
    assert find_arxiv_ids(text) == []


def test_lines_without_an_id_are_counted_and_the_first_are_named():
    text = "\ufeff2401.01234\n\nmy favourite\r\n  \nhep-th/9901001 x\n" + "y" * 200

    found = bibliography.parse_bibliography(text)

    assert found.identifiers == ("2401.01234", "hep-th/9901001")
    assert (found.unrecognized_count, found.titles) == (2, ())
    assert found.unrecognized == ("my favourite", "y" * 79 + "…")


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


def test_bibtex_tells_ids_titles_and_what_it_could_not_read():
    found = bibliography.parse_bibliography(BIBTEX)

    assert found.identifiers == (
        "2401.09999",
        "2401.01234",
        "2402.00003",
        "2403.00004",
        "hep-th/9901001",
        "2404.00006",
        "cs/0112017",
    )
    assert found.titles == ("Only a Title: Schöne k-Means", "Kept Elsewhere")
    assert (found.unrecognized_count, found.unrecognized) == (
        1,
        ("@book{nine, author = {Nobody}}",),
    )


def test_a_broken_record_does_not_swallow_the_next():
    text = "@article{one, title = {Never closed, eprint = {2401.00001}\n@misc{two, eprint = 2401.00002}"

    found = bibliography.parse_bibliography(text)

    assert "2401.00002" in found.identifiers


@given(st.integers(2, 6), st.data())
def test_wherever_a_record_is_cut_the_others_are_told(size, data):
    records = [
        f'@article{{k{n}, title = "A {{Title}} of {n}", eprint={{2401.0000{n}}}, note = {{x}}}}'
        for n in range(size)
    ]
    broken = data.draw(st.integers(0, size - 1))
    records[broken] = records[broken][: data.draw(st.integers(0, 90))]

    found = bibliography.parse_bibliography("\n".join(records))

    told = {f"2401.0000{n}" for n in range(size) if n != broken}
    assert told <= set(found.identifiers)


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
def test_a_zotero_export_tells_ids_and_titles_of_its_columns(comma):
    found = bibliography.parse_bibliography("\ufeff" + as_csv(ZOTERO, delimiter=comma))

    assert found.identifiers == ("2401.01234", "2402.00002")
    assert found.titles == ("By Title", "Cites 2401.00009")
    assert found.unrecognized_count == 1


def test_the_extra_column_and_columns_of_ids_alone_are_read():
    extra = [["Title", "Extra"], ["X", "arXiv:2401.01234 [cs]"]]
    alone = [["arxiv_id", "title"], ["2401.01234v2", "X"]]

    assert bibliography.parse_bibliography(as_csv(extra)).identifiers == ("2401.01234",)
    assert bibliography.parse_bibliography(as_csv(alone)).identifiers == ("2401.01234",)


def test_a_byte_order_mark_hides_no_column():
    rows = [["Title", "Url"], ["Of a Thing", ""]]

    assert bibliography.parse_bibliography("\ufeff" + as_csv(rows)).titles == (
        "Of a Thing",
    )


def test_a_cell_too_long_for_a_csv_leaves_its_lines():
    text = f'"Title","Url"\n"{"x" * 200_000}","https://arxiv.org/abs/2401.01234"'

    assert bibliography.parse_bibliography(text).identifiers == ("2401.01234",)


def test_at_most_three_hundred_papers_are_taken_and_the_rest_is_counted():
    numbers = [f"2401.{n:05}" for n in range(1, 291)]
    records = [f"@misc{{x, eprint={{{n}}}}}" for n in numbers]
    records += [f"@misc{{x, title={{Title {n}}}}}" for n in range(25)]

    found = bibliography.parse_bibliography("\n".join(records))

    assert found.identifiers == tuple(numbers)
    assert len(found.titles) == 10
    assert found.over_limit == 15


def test_several_texts_are_each_read_in_their_own_way():
    found = bibliography.parse_bibliography("2401.00003", BIBTEX, as_csv(ZOTERO))

    assert found.identifiers[0] == "2401.00003"
    assert found.identifiers[-1] == "2402.00002"
    assert "By Title" in found.titles


def test_the_same_paper_counts_once():
    text = "@misc{a, title={A  Title!}}@misc{b, title={{a} title}}@misc{c,eprint={2401.00001}}@misc{d,url={arxiv.org/abs/2401.00001v2}}"

    found = bibliography.parse_bibliography(text)

    assert (found.identifiers, found.titles) == (("2401.00001",), ("A Title!",))


def test_titles_are_compared_without_accents_case_and_signs():
    assert (
        bibliography.normalize_title("Schrödinger's  Naïve-Cat!")
        == "schrodingersnaivecat"
    )
    assert bibliography.normalize_title("猫 2") == "猫2"


@given(ANYTHING)
def test_whatever_is_pasted_is_read_and_tells_true_ids_only(text):
    found = bibliography.parse_bibliography(text)

    assert all(parse_arxiv_id(number) == (number, 1) for number in found.identifiers)
    assert all(map(bibliography.normalize_title, found.titles))


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
        *('title,url\n"', "arxiv:    ", "@      ", "v1", "aa  ", ",a  ="),
    ],
)
def test_a_long_text_of_anything_is_read_soon(bit):
    long = bit * (300_000 // len(bit))

    begun = time.process_time()
    bibliography.parse_bibliography(long)
    bibliography.parse_bibliography(f"@misc{{x, {long}")

    assert time.process_time() - begun < 5  # a quadratic reading takes an hour


def test_a_text_without_end_is_cut_and_says_so():
    found = bibliography.parse_bibliography(
        "x\n" * bibliography.MAX_LINES + "2401.01234"
    )

    assert (found.unrecognized_count, found.is_truncated) == (
        bibliography.MAX_LINES,
        True,
    )
    assert not bibliography.parse_bibliography(
        "x\n" * bibliography.MAX_LINES
    ).is_truncated


@needs_data
@pytest.mark.parametrize("first", range(0, 9_000, 1_500))
def test_real_papers_are_told_from_text_bibtex_and_csv(first):
    with gzip.open(DATA / "evaluation" / "topics" / "papers.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file][first : first + 250]
    numbers, titles = [row["id"] for row in rows], [row["title"] for row in rows]
    text = "\n".join(f"https://arxiv.org/abs/{n}v1" for n in numbers)
    bibtex = "\n".join(f"@misc{{k, title={{T}}, eprint={{{n}}}}}" for n in numbers)
    records = [["T", f"http://arxiv.org/abs/{n}"] for n in numbers]
    only_titles = as_csv([["Title", "Url"], *([title, ""] for title in titles)])

    for one in (text, bibtex, as_csv([["Title", "Url"], *records])):
        assert bibliography.parse_bibliography(one) == bibliography.Bibliography(
            tuple(numbers)
        )
    assert list(bibliography.parse_bibliography(only_titles).titles) == [
        " ".join(t.split()) for t in titles
    ]
