"""The fields of a paper that mails and pages show."""

import json

import pytest

from digest.cards import authors_line, card
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
