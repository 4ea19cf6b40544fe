"""Which sentences of an abstract a mail shows, and where they are cut."""

# The signs that look like others are what is tested.

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text.summary import MAX_SUMMARY_CHARS, first_sentences, summarize
from tests.conftest import DATA, needs_data

WORD = "considerably "


def test_the_first_three_sentences_are_shown():
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
def test_no_sentence_ends_inside_an_abbreviation_or_a_number(text):
    assert first_sentences(f"{text} Four. Five.") == text


def test_a_year_may_end_a_sentence():
    assert first_sentences("It began in 2024. We saw. We won. Four.").endswith(
        "We won."
    )


def test_two_sentences_are_enough_where_a_third_does_not_fit():
    two = f"So {WORD * 15}is one. Then {WORD * 11}is two."

    assert first_sentences(f"{two} Now {WORD * 15}is three. Four.") == two


def test_a_sentence_that_is_too_long_ends_at_a_word():
    shown = first_sentences(WORD * 60)

    assert len(shown) <= MAX_SUMMARY_CHARS
    assert shown.endswith("considerably…")


def test_a_short_text_is_shown_whole():
    assert first_sentences("No end") == "No end"


@given(st.text(), st.integers(20, 500))
def test_the_beginning_is_never_longer_than_its_limit(text, limit):
    shown = first_sentences(text, limit)

    assert len(shown) <= limit
    assert text.startswith(shown.removesuffix("…")) or not shown


@given(st.lists(st.sampled_from(["We", "et", "al.", "3.5", "(A.", "end.", "e.g."])))
def test_the_beginning_ends_with_a_word_or_an_ellipsis(words):
    text = " ".join(words)
    shown = first_sentences(text, 40)
    rest = text[len(shown.removesuffix("…")) :]

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
def test_a_summary_says_what_was_done(done):
    shown = summarize(f"{BACKGROUND} {done} It helps. It is fast. It is small.")

    assert shown == f"… {done} It helps. It is fast."


@pytest.mark.parametrize(
    "not_done", ["We all need", "We really still have", "So we obtain"]
)
def test_what_everybody_does_is_not_what_was_done(not_done):
    shown = summarize(
        f"{BACKGROUND} {not_done} maps. We draw them. It helps. End. More."
    )

    assert shown == "… We draw them. It helps. End."


def test_a_summary_begins_where_a_work_is_called_by_its_name():
    abstract = (
        f"{BACKGROUND} Maps are old. Atlas-3 draws them. We test it. It helps. End."
    )

    shown = summarize(abstract, "Atlas-3: Drawing Maps in 3 (Long) Steps")

    assert shown == "… Atlas-3 draws them. We test it. It helps."
    for nameless in ("Atlas-3", "Maps are old: A Survey"):
        assert summarize(abstract, nameless) == "… We test it. It helps. End."


def test_a_summary_that_would_be_short_leads_to_what_was_done():
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
def test_a_summary_points_at_nothing_that_is_left_out(opening):
    shown = summarize(f"{BACKGROUND} {opening}we propose Maps. One. Two. Three.")

    assert shown == "… we propose Maps. One. Two."


@pytest.mark.parametrize(
    "abstract",
    [
        "Models are large. We apply Maps. It helps. More follows.",
        f"We propose {WORD * 20}Maps. {WORD * 20}It helps.",
        f"{BACKGROUND} Nothing is done about it.",
        "",
    ],
)
def test_a_summary_is_the_beginning_where_that_says_it_or_nothing_does(abstract):
    assert summarize(abstract) == first_sentences(abstract)


def test_a_beginning_that_is_cut_where_it_says_what_was_done_gives_way():
    long = f"We propose {WORD * 30}Maps."

    shown = summarize(f"Models are slow. {long} It helps.")

    assert shown == f"… {long} It helps."


@pytest.mark.parametrize("length", range(70, 90))
def test_a_summary_with_its_ellipses_is_within_its_limit(length):
    abstract = f"Models are {WORD * 12}large. We propose {'a map ' * 40}end"

    shown = summarize(abstract, limit=length)

    assert shown.startswith("… We propose a map")
    assert len(shown) <= length


@given(st.lists(st.sampled_from(["We propose", "x.", "Y", "word " * 30, "\n", "? "])))
def test_a_summary_is_a_piece_of_its_abstract_within_the_limit(words):
    abstract = " ".join(words)

    shown = summarize(abstract)

    assert len(shown) <= MAX_SUMMARY_CHARS
    assert shown.removeprefix("… ").removesuffix("…") in abstract


@needs_data
def test_recorded_abstracts_begin_with_whole_sentences():
    lines = (DATA / "seed_papers.jsonl").read_text("utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]

    shown = [first_sentences(" ".join(row["abstract"].split())) for row in rows]

    assert max(map(len, shown)) <= MAX_SUMMARY_CHARS
    whole = sum(one.endswith((".", "!", "?", ")")) for one in shown)
    assert whole > len(shown) * 0.7


@needs_data
def test_summaries_of_recorded_abstracts_say_what_was_done():
    lines = (DATA / "seed_papers.jsonl").read_text("utf-8").strip().split("\n")
    rows = [" ".join(json.loads(line)["abstract"].split()) for line in lines]

    shown = [summarize(abstract) for abstract in rows]

    assert max(map(len, shown)) <= MAX_SUMMARY_CHARS
    moved = sum(one.startswith("… ") for one in shown)
    assert moved > len(shown) * 0.6
    told = sum(" we " in f" {one.lower()}" or "this " in one.lower() for one in shown)
    assert told > len(shown) * 0.95
