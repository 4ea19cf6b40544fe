"""The list of arXiv's categories, and selections of categories and archives."""

import pytest

from digest.text.arxiv_categories import (
    ARCHIVES,
    CATEGORIES,
    category_matcher,
    is_selected,
    normalize_categories,
    unknown_categories,
)


def test_list_has_the_155_categories_and_20_archives_of_arxiv():
    assert len(CATEGORIES) == 155
    assert len(ARCHIVES) == 20
    assert {"cs.LG", "hep-th", "cond-mat.mtrl-sci", "physics.optics"} <= CATEGORIES


def test_names_are_stripped_and_archives_written_alike():
    names = [" cs.CV", "cs.CL ", "", "stat.*", "stat", "cs.CV"]

    assert normalize_categories(names) == ["cs.CV", "cs.CL", "stat"]


def test_unknown_names_are_listed():
    assert unknown_categories(["cs", "cs.*", "cs.LG", "cs.XX", "biology"]) == [
        "cs.XX",
        "biology",
    ]


@pytest.mark.parametrize(
    ("category", "selected", "expected"),
    [
        ("cs.LG", ["cs.LG"], True),
        ("cs.LG", ["cs"], True),
        ("cs.LG", ["cs.*"], True),
        ("cs", ["cs.LG"], True),
        ("cs.LG", ["cs.CV"], False),
        ("math-ph", ["math"], False),
        ("math", ["math-ph"], False),
    ],
)
def test_selection_covers_categories_and_whole_archives(category, selected, expected):
    assert is_selected(category, selected) == expected


def test_matcher_accepts_papers_with_any_selected_category():
    matches = category_matcher(["math", "cs.LG"])

    assert matches(["stat.ML", "math.ST"])
    assert matches(["cs.LG"])
    assert not matches(["math-ph", "cs.CV"])
