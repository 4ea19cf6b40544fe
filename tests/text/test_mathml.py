"""Formulas as MathML: safe, guarded, with the plain text around them."""

import gzip
import json
import time
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text.mathml import Segment, split_formulas, to_mathml
from digest.text.plain import to_plain_text
from tests.conftest import DATA, needs_data


def test_formula_becomes_mathml():
    assert to_mathml(r"\frac{a}{2}") == (
        '<math display="inline"><mrow><mfrac><mrow><mi>a</mi></mrow>'
        "<mrow><mn>2</mn></mrow></mfrac></mrow></math>"
    )


@pytest.mark.parametrize(
    "formula",
    [r"\text{<script>alert(1)</script>}", "a<b>c</b>&\"'", r"\text{&lt;img src=x&gt;}"],
)
def test_text_in_formulas_is_escaped(formula):
    mathml = to_mathml(formula)

    assert mathml.startswith("<math")
    assert not any(bad in mathml for bad in ("<script", "<b>", "<img"))


@pytest.mark.parametrize(
    "formula",
    [r"\href{javascript:alert(1)}{x}", r"\style{color:red}{x}", r"\class{a}{x}"],
)
def test_links_and_styles_are_not_written(formula):
    mathml = to_mathml(formula)

    assert not any(bad in mathml for bad in ("href", "javascript", "style=", "class"))


@pytest.mark.parametrize(
    "formula", [r"\frac{", r"\method{x}", "x" * 601, r"\left(" * 90, "{" * 600]
)
def test_formula_that_cannot_be_converted_is_empty(formula):
    assert to_mathml(formula) == ""


def test_text_is_split_into_plain_text_and_formulas():
    segments = split_formulas(r"An \emph{old} $\alpha_t$-test, 10\% of $\method$ & $5.")

    assert segments == [
        Segment("An old "),
        Segment("αₜ", to_mathml(r"\alpha_t")),
        Segment("-test, 10% of method & $5."),
    ]


@given(st.text(st.sampled_from("{}^_ab1&<> \n\ue010\ue011") | st.characters()))
def test_text_without_formulas_is_one_segment_of_plain_text(raw):
    joined = "".join(segment.text for segment in split_formulas(raw.replace("$", "")))

    assert joined == to_plain_text(raw.replace("$", "")) or "\\" in raw


@given(st.text(st.sampled_from("$\\{}^_ab1&<> ")))
def test_any_text_is_split(raw):
    for segment in split_formulas(raw):
        assert segment.text
        assert segment.mathml == "" or segment.mathml.startswith("<math")


@needs_data
def test_formulas_of_recorded_papers_are_converted_fast():
    with gzip.open(DATA / "corpus" / "papers_sample_40k.jsonl.gz", "rt") as file:
        abstracts = [json.loads(line)["abstract"] for line in islice(file, 4000)]

    start = time.process_time()
    segments = [segment for text in abstracts for segment in split_formulas(text)]

    assert time.process_time() - start < 20
    assert sum(bool(segment.mathml) for segment in segments) > 1000
