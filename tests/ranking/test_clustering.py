"""Example papers are grouped by interest, and one interest is not split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking import clustering


def near(axis, n, seed=0):
    """Unit rows around one axis, as the papers of one interest lie."""
    rows = np.random.default_rng(seed).normal(0, 0.1, (n, 64))
    rows[:, axis] += 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_two_interests_that_were_shuffled_are_two_groups():
    rows = np.vstack([near(0, 5), near(1, 5, seed=1)])
    order = [0, 5, 6, 1, 2, 7, 8, 3, 9, 4]

    groups = clustering.group_examples(rows[order])

    names = [sorted(order[i] // 5 for i in group) for group in groups]
    assert names == [[0] * 5, [1] * 5]


def test_one_interest_is_not_split():
    assert clustering.group_examples(near(0, 12)) == [list(range(12))]


def test_two_papers_beside_many_are_no_group_of_their_own():
    groups = clustering.group_examples(np.vstack([near(0, 9), near(1, 2, seed=1)]))

    assert len(groups) == 1


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_papers_are_one_group(n):
    assert clustering.group_examples(near(0, n)) == ([list(range(n))] if n else [])


def test_papers_that_are_all_the_same_are_one_group():
    assert len(clustering.group_examples(np.repeat(near(0, 1), 8, axis=0))) == 1


@given(st.integers(0, 30), st.integers(0, 9))
def test_every_paper_is_in_exactly_one_group(n, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)

    groups = clustering.group_examples(rows)

    assert sorted(index for group in groups for index in group) == list(range(n))


def test_a_small_group_weighs_less_but_more_than_its_share():
    assert clustering.group_weights([[0] * 16, [0] * 4]) == [1.0, 0.5]
