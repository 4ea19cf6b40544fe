"""Account: the numbers shown to an editor are the ones that selection sorts by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from digest.ranking.score_breakdown import Account, account, claim
from digest.ranking.selection import TRENDING, Block, Slate, select

LEVELS = st.sampled_from([0.0, 0.1, 0.27999, 0.28, 0.3, 0.5, 0.77777, 0.9, 1.0])
WEIGHTS = st.sampled_from([-1.0, -0.5, 0.0625, 0.3, 0.5, 1.0])
MUTED_NEVER = 2.0


@st.composite
def readers(draw):
    """A slate nobody has touched but by boosts, and one reader's weights and relevance."""
    n, kinds = draw(st.integers(1, 15)), draw(st.integers(1, 4))

    def row(values, size):
        return draw(st.lists(values, min_size=size, max_size=size))

    slate = Slate(
        ids=np.array(draw(st.permutations(range(1, n + 1))), np.int64),
        trend=np.array(row(st.floats(0, 1), n), float),
        boost=np.array(row(st.integers(-2, 2), n), np.int64),
        pin=np.zeros(n, np.int64),
        hidden=np.zeros(n, bool),
        near_duplicate=np.arange(n),
        author_group=np.arange(n),
    )
    relevance = np.array(row(LEVELS, kinds * n), np.float32).reshape(kinds, n)
    return slate, relevance, row(WEIGHTS, kinds)


def accounts(slate, relevance, weights):
    return [
        account(
            [claim(w, float(r)) for w, r in zip(weights, column, strict=True)],
            float(trend),
            int(boost),
        )
        for column, trend, boost in zip(
            relevance.T, slate.trend, slate.boost, strict=True
        )
    ]


@given(readers())
def test_papers_sorted_by_their_accounts_are_as_selection_sorts_them(reader):
    slate, relevance, weights = reader
    found = accounts(slate, relevance, weights)
    block = Block(csr_matrix([weights]), [[]], [len(slate.ids)])

    picks = select(slate, relevance, [MUTED_NEVER] * len(weights), block)[0]

    def order(column):
        return found[column].order, -found[column].trend, slate.ids[column]

    assert [pick.candidate for pick in picks] == sorted(range(len(found)), key=order)
    for pick in picks:
        assert found[pick.candidate].is_claimed == (pick.interest != TRENDING)


def test_a_claimed_paper_adds_up():
    claims = [claim(1.0, 0.6), claim(0.5, 0.9), claim(-1.0, 0.3)]

    found = account(claims, trend=0.8, boost=1)

    assert found == Account(6_000, 3_000, 1_500, 8_000, 1_200, 1)
    assert found.total == 6_000 + 1_200 - 1_500
    assert found.is_claimed


def test_a_paper_that_comes_for_its_trend_adds_up():
    found = account([claim(1.0, 0.2)], trend=0.8, boost=0)

    assert found.total == 8_000 + 1_000
    assert not found.is_claimed


@pytest.mark.parametrize(("relevance", "match"), [(0.28, 1_400), (0.2799, 0)])
def test_what_is_too_weak_is_not_claimed(relevance, match):
    assert claim(0.5, relevance).match == match


@pytest.mark.parametrize(("relevance", "push"), [(0.28, 1_400), (0.2799, 0)])
def test_what_is_hardly_like_something_muted_is_not_pushed_down(relevance, push):
    assert claim(-1.0, relevance).push == push


def test_whoever_follows_nothing_gets_the_trend():
    assert account([], 0.4, 0).total == 4_000
