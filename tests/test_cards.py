"""The fields of a paper that mails and pages show."""

import json

import pytest

from digest.cards import MAX_GENERATED_CHARS, authors_line, card
from tests import make


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ([], ""),
        (["A"], "A"),
        (["A", "B", "C"], "A, B, C"),
        (["A", "B", "C", "D"], "A, B, C, D"),
        (["A", "B", "C", "D", "E"], "A, B, C + 2 more"),
        ([str(n) for n in range(3303)], "0, 1, 2 + 3,300 more"),
    ],
)
def test_long_author_lists_are_shortened(names, line):
    assert authors_line(names) == line


def test_card_has_every_field_an_edition_shows(db):
    paper = make.paper("Maps", authors=["A", "B", "C", "D", "E"], votes=7, stars=3)

    shown = card(paper)

    assert shown.keys() == make.card(paper).keys()
    assert (shown["title"], shown["authors"]) == ("Maps", "A, B, C + 2 more")
    assert (shown["votes"], shown["stars"], shown["date"]) == (7, 3, "2026-11-20")
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//example.org", "https://"])
def test_card_drops_links_that_are_not_http(db, url):
    paper = make.paper(code_url=url, project_url="https://example.org/p")

    shown = card(paper)

    assert (shown["code_url"], shown["project_url"]) == ("", "https://example.org/p")


def test_one_line_is_the_generated_summary_and_marked_as_such(db):
    generated = card(make.paper("A", ai_summary="A model maps tides."))
    extracted = card(make.paper("B", abstract="Tides are old. We map tides. Good."))

    assert (generated["one_line"], generated["one_line_is_generated"]) == (
        "A model maps tides.",
        True,
    )
    assert (extracted["one_line"], extracted["one_line_is_generated"]) == (
        "We map tides.",
        False,
    )


def test_long_generated_summary_is_cut_at_a_sentence(db):
    paper = make.paper(ai_summary="The model maps every tide of the sea. " * 40)

    line = card(paper)["one_line"]

    assert len(line) <= MAX_GENERATED_CHARS
    assert line.endswith("sea.")
