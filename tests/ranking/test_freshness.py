"""New papers come first unless an older one is clearly nearer."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from digest.ranking.selection import TREND_BONUS, Block, Matches, Slate, select
from digest.ranking.trend import Attention, trend


def order(papers, relevance):
    """The candidates as a reader of one interest gets them."""
    scores = np.array([result.score for result in trend(papers)])
    n = len(papers)
    none, ids = np.zeros(n, np.int64), np.arange(n)
    slate = Slate(ids, scores, none, none, none.astype(bool), ids, ids)
    block = Block(csr_matrix([[1.0]]), [[]], [n])
    rows = np.array([relevance], np.float32)
    picks = select(slate, Matches(rows, np.ones((1, n), bool), [0.9]), block)
    return [choice.candidate for choice in picks[0]]


def unvoted(days):
    return Attention("cs.LG", days * 24.0)


def test_of_equally_relevant_papers_without_votes_the_newest_comes_first():
    fortnight = [unvoted(days) for days in (10, 0, 13, 3)]

    assert order(fortnight, [0.6] * 4) == [1, 3, 0, 2]


def test_of_what_comes_for_its_trend_the_newest_comes_first():
    fortnight = [unvoted(days) for days in (10, 0, 13, 3)]

    assert order(fortnight, [0.0] * 4) == [1, 3, 0, 2]


@pytest.mark.parametrize(("nearer", "first"), [(0.04, 0), (TREND_BONUS + 0.01, 1)])
def test_an_older_paper_comes_before_todays_only_where_it_is_clearly_nearer(
    nearer, first
):
    others = [unvoted(days) for days in range(1, 13) for _ in range(5)]
    papers = [unvoted(0), unvoted(13), *others]

    picks = order(papers, [0.5, 0.5 + nearer] + [0.0] * len(others))

    assert picks[0] == first


def test_only_much_attention_makes_up_for_a_fortnight():
    noticed = Attention("cs.LG", 13 * 24.0, {"upvotes": 10})
    discussed = Attention("cs.LG", 13 * 24.0, {"upvotes": 200})

    assert order([noticed, unvoted(0), discussed], [0.6] * 3) == [2, 1, 0]
