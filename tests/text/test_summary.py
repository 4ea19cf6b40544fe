"""Summaries: which sentences of an abstract are selected, and where they are cut."""

# The signs that look like others are what is tested.

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text.summary import (
    MAX_ONE_LINE_CHARS,
    MAX_SUMMARY_CHARS,
    first_sentences,
    summarize,
    summarize_in_one_line,
)
from tests.conftest import DATA, needs_data

WORD = "considerably "


def test_first_sentences_are_three():
    text = "We ask why. The answer is known. We prove it. More follows. And more."

    assert first_sentences(text) == "We ask why. The answer is known. We prove it."


@pytest.mark.parametrize(
    "text",
    [
        "As Roe et al. Show, it holds. Two. Three.",
        "Methods, e.g. Adam, work. Two. Three.",
        "See Fig. 3 and Eq. 4 for it. Two. Three.",
        "It gains 3.5 points vs. Others. Two. Three.",
        "It is No. 5 of all. Two. Three.",
        "J. Roe found it. Two. Three.",
        "Is it so? Yes! It is.",
        'They said "no." Then "yes." Then left.',
        "In the U.S. Many did. Two. Three.",
    ],
)
def test_sentences_do_not_end_inside_abbreviations_or_numbers(text):
    assert first_sentences(f"{text} Four. Five.") == text


def test_sentence_may_end_with_a_year():
    assert first_sentences("It began in 2024. We saw. We won. Four.").endswith(
        "We won."
    )


def test_third_sentence_is_left_out_if_it_does_not_fit():
    two = f"So {WORD * 15}is one. Then {WORD * 11}is two."

    assert first_sentences(f"{two} Now {WORD * 15}is three. Four.") == two


def test_long_sentence_is_cut_at_a_word():
    summary = first_sentences(WORD * 60)

    assert len(summary) <= MAX_SUMMARY_CHARS
    assert summary.endswith("considerably…")


def test_short_text_is_kept():
    assert first_sentences("No end") == "No end"


@given(st.text(), st.integers(20, 500))
def test_first_sentences_are_within_the_limit(text, limit):
    summary = first_sentences(text, limit)

    assert len(summary) <= limit
    assert text.startswith(summary.removesuffix("…")) or not summary


@given(st.lists(st.sampled_from(["We", "et", "al.", "3.5", "(A.", "end.", "e.g."])))
def test_first_sentences_end_at_a_word(words):
    text = " ".join(words)
    summary = first_sentences(text, 40)
    rest = text[len(summary.removesuffix("…")) :]

    assert not rest or rest[0].isspace() or rest[0] in ",;:(."


BACKGROUND = f"Models are {WORD * 12}large. Many are {WORD * 12}slow. Why is that?"


@pytest.mark.parametrize(
    "done",
    [
        "We propose Maps.",
        "To get there, we carefully introduced Maps.",
        "This work is about Maps.",
        "A method of Maps is proposed.",
    ],
)
def test_summary_starts_where_the_authors_say_what_they_did(done):
    summary = summarize(f"{BACKGROUND} {done} It helps. It is fast. It is small.")

    assert summary == f"… {done} It helps. It is fast."


@pytest.mark.parametrize(
    "not_done", ["We all need", "We really still have", "So we obtain"]
)
def test_summary_skips_verbs_that_do_not_say_what_was_done(not_done):
    summary = summarize(
        f"{BACKGROUND} {not_done} maps. We draw them. It helps. End. More."
    )

    assert summary == "… We draw them. It helps. End."


def test_summary_starts_at_the_name_from_the_title():
    abstract = (
        f"{BACKGROUND} Maps are old. Atlas-3 draws them. We test it. It helps. End."
    )

    summary = summarize(abstract, "Atlas-3: Drawing Maps in 3 (Long) Steps")

    assert summary == "… Atlas-3 draws them. We test it. It helps."
    for nameless in ("Atlas-3", "Maps are old: A Survey"):
        assert summarize(abstract, nameless) == "… We test it. It helps. End."


def test_short_summary_includes_earlier_sentences():
    abstract = f"{BACKGROUND} Some draw. Few print. We find both bad."

    assert summarize(abstract) == "… Some draw. Few print. We find both bad."


@pytest.mark.parametrize(
    "opening",
    [
        "In this paper, ",
        "In this position paper ",
        "To close this gap, ",
        "To this end, ",
        "Motivated by these limits of models, ",
        "Based on such findings, ",
    ],
)
def test_summary_drops_openings_that_refer_back(opening):
    summary = summarize(f"{BACKGROUND} {opening}we propose Maps. One. Two. Three.")

    assert summary == "… we propose Maps. One. Two."


@pytest.mark.parametrize(
    "abstract",
    [
        "Models are large. We apply Maps. It helps. More follows.",
        f"We propose {WORD * 20}Maps. {WORD * 20}It helps.",
        f"{BACKGROUND} Nothing is done about it.",
        "",
    ],
)
def test_summary_is_the_beginning_otherwise(abstract):
    assert summarize(abstract) == first_sentences(abstract)


def test_summary_prefers_a_whole_sentence_to_a_cut_beginning():
    long = f"We propose {WORD * 30}Maps."

    summary = summarize(f"Models are slow. {long} It helps.")

    assert summary == f"… {long} It helps."


@pytest.mark.parametrize("length", range(70, 90))
def test_summary_with_ellipsis_is_within_the_limit(length):
    abstract = f"Models are {WORD * 12}large. We propose {'a map ' * 40}end"

    summary = summarize(abstract, limit=length)

    assert summary.startswith("… We propose a map")
    assert len(summary) <= length


@given(st.lists(st.sampled_from(["We propose", "x.", "Y", "word " * 30, "\n", "? "])))
def test_summary_is_a_part_of_its_abstract(words):
    abstract = " ".join(words)

    summary = summarize(abstract)

    assert len(summary) <= MAX_SUMMARY_CHARS
    assert summary.removeprefix("… ").removesuffix("…") in abstract


@needs_data
def test_first_sentences_of_recorded_abstracts_are_whole():
    lines = (DATA / "seed_papers.jsonl").read_text("utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]

    cut = [first_sentences(" ".join(row["abstract"].split())) for row in rows]

    assert max(map(len, cut)) <= MAX_SUMMARY_CHARS
    whole = sum(text.endswith((".", "!", "?", ")")) for text in cut)
    assert whole > len(cut) * 0.7


@needs_data
def test_summaries_of_recorded_abstracts_say_what_was_done():
    lines = (DATA / "seed_papers.jsonl").read_text("utf-8").strip().split("\n")
    abstracts = [" ".join(json.loads(line)["abstract"].split()) for line in lines]

    summaries = [summarize(abstract) for abstract in abstracts]

    assert max(map(len, summaries)) <= MAX_SUMMARY_CHARS
    assert sum(text.startswith("… ") for text in summaries) > len(summaries) * 0.6
    saying = sum(
        " we " in f" {text.lower()}" or "this " in text.lower() for text in summaries
    )
    assert saying > len(summaries) * 0.95


@pytest.mark.parametrize(
    ("abstract", "title", "line"),
    [
        ("", "", ""),
        ("Tides are old.", "", "Tides are old."),
        ("Tides are old. We map them. It works.", "", "We map them."),
        ("Old. To address this issue, we map tides. Good.", "", "We map tides."),
        (
            "Old. Moon maps every tide. Good.",
            "Moon: Maps of Tides",
            "Moon maps every tide.",
        ),
    ],
)
def test_one_line_is_the_sentence_that_says_what_was_done(abstract, title, line):
    assert summarize_in_one_line(abstract, title) == line


def test_long_one_line_is_cut_at_a_word():
    line = summarize_in_one_line("We " + "measure " * 100 + "tides.")

    assert len(line) <= MAX_ONE_LINE_CHARS
    assert line.endswith("measure…")
