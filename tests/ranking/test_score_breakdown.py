"""The score shown to an editor is the one that selection sorts by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from digest.ranking.score_breakdown import PaperScore, score_interest, score_paper
from digest.ranking.selection import (
    MATCH_THRESHOLD,
    TRENDING,
    Block,
    Matches,
    Slate,
    select,
)

LEVELS = st.sampled_from([0.0, 0.1, 0.19999, 0.2, 0.3, 0.5, 0.77777, 0.9, 1.0])
WEIGHTS = st.sampled_from([-1.0, -0.5, 0.0625, 0.3, 0.5, 1.0])
NEVER_MUTES = 2.0


@st.composite
def readers(draw):
    """A slate with boosts only, and one reader's weights and relevance."""
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


def score_columns(slate, relevance, weights):
    return [
        score_paper(
            [score_interest(w, float(r)) for w, r in zip(weights, column, strict=True)],
            float(trend),
            int(boost),
        )
        for column, trend, boost in zip(
            relevance.T, slate.trend, slate.boost, strict=True
        )
    ]


@given(readers())
def test_selection_sorts_by_the_scores_that_are_shown(reader):
    slate, relevance, weights = reader
    scores = score_columns(slate, relevance, weights)
    claimed = np.ones(relevance.shape, bool)
    matches = Matches(relevance, claimed, [NEVER_MUTES] * len(weights))
    block = Block(csr_matrix([weights]), [[]], [len(slate.ids)])

    picks = select(slate, matches, block)[0]

    def order(column):
        return scores[column].order, -scores[column].trend, slate.ids[column]

    assert [pick.candidate for pick in picks] == sorted(range(len(scores)), key=order)
    for pick in picks:
        assert scores[pick.candidate].is_match == (pick.interest != TRENDING)


def test_score_of_a_match_adds_up():
    interests = [
        score_interest(1.0, 0.6),
        score_interest(0.5, 0.9),
        score_interest(-1.0, 0.3),
    ]

    score = score_paper(interests, trend=0.8, boost=1)

    assert score == PaperScore(600_000, 300_000, 150_000, 800_000, 120_000, 1)
    assert score.total == 600_000 + 120_000 - 150_000
    assert score.is_match


def test_score_of_a_trending_paper_adds_up():
    score = score_paper([score_interest(1.0, 0.1)], trend=0.8, boost=0)

    assert score.total == 800_000 + 50_000
    assert not score.is_match


@pytest.mark.parametrize(("below", "expected"), [(0, 100_000), (0.001, 0)])
def test_relevance_below_the_threshold_neither_matches_nor_penalises(below, expected):
    relevance = MATCH_THRESHOLD - below

    assert score_interest(0.5, relevance).match == expected
    assert score_interest(-1.0, relevance).penalty == expected


def test_reader_without_interests_gets_the_trend():
    assert score_paper([], 0.4, 0).total == 400_000
