"""What mails and pages show of a paper, and what is left out."""

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
def test_the_first_authors_stand_for_all(names, line):
    assert authors_line(names) == line


def test_a_card_has_all_that_an_edition_shows(db):
    paper = make.paper("Maps", authors=["A", "B", "C", "D", "E"], votes=7, stars=3)

    shown = card(paper)

    assert shown.keys() == make.card(paper).keys()
    assert (shown["title"], shown["authors"]) == ("Maps", "A, B, C + 2 more")
    assert (shown["votes"], shown["stars"], shown["date"]) == (7, 3, "2026-11-20")
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//example.org", "https://"])
def test_a_card_leads_nowhere_but_to_the_web(db, url):
    paper = make.paper(code_url=url, project_url="https://example.org/p")

    shown = card(paper)

    assert (shown["code_url"], shown["project_url"]) == ("", "https://example.org/p")
