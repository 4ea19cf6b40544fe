"""Co-readership relates papers that enough readers share, and reveals no small group."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.co_readership import (
    MIN_SHARED_READERS,
    SHRINKAGE_READERS,
    CoReadership,
    score_related,
)


def co_readership(follows, shared_from=MIN_SHARED_READERS):
    """Of (reader, paper) pairs."""
    pairs = np.array(list(follows), np.int64).reshape(-1, 2)
    return CoReadership(pairs[:, 0], pairs[:, 1], shared_from)


def neighbour_scores(follows, followed, shared_from=MIN_SHARED_READERS):
    papers, near = co_readership(follows, shared_from).neighbours(followed)
    return dict(zip(papers.tolist(), near.tolist(), strict=True))


def together(readers, *papers):
    return [(reader, paper) for reader in readers for paper in papers]


STORKS, NESTS, WELDS, SEAMS = 10, 11, 20, 21
BIOLOGISTS, SMITHS = range(8), range(100, 108)
WORLD = together(BIOLOGISTS, STORKS, NESTS) + together(SMITHS, WELDS, SEAMS)


def test_neighbours_are_papers_of_the_same_readers():
    assert set(neighbour_scores(WORLD, [STORKS])) == {NESTS}
    assert set(neighbour_scores(WORLD, [STORKS, SEAMS])) == {NESTS, WELDS}


@pytest.mark.parametrize("fewest", [1, 2, 3, 5])
def test_pairs_below_the_minimum_do_not_count(fewest):
    enough = together(range(fewest), STORKS, NESTS)

    assert set(neighbour_scores(enough, [STORKS], fewest)) == {NESTS}
    assert neighbour_scores(enough[2:], [STORKS], fewest) == {}


def test_pairs_that_few_share_do_not_add_up():
    few = MIN_SHARED_READERS - 1
    follows = together(range(few), STORKS, NESTS)
    follows += together(range(100, 100 + few), WELDS, NESTS)

    assert neighbour_scores(follows, [STORKS, WELDS]) == {}


def test_a_reader_counts_once_however_often_they_follow():
    assert (
        neighbour_scores(together([1], STORKS, NESTS) * MIN_SHARED_READERS, [STORKS])
        == {}
    )


def test_a_paper_that_everybody_follows_says_less_than_one_of_the_same_readers():
    everybody = together([*BIOLOGISTS, *SMITHS, *range(200, 230)], 99)

    related = neighbour_scores(WORLD + everybody, [STORKS])

    assert list(related) == [NESTS, 99]


def test_ten_readers_of_two_papers_and_nothing_else_are_worth_one_half():
    follows = together(range(10), STORKS, NESTS)

    assert SHRINKAGE_READERS == 10
    assert neighbour_scores(follows, [STORKS]) == {NESTS: 0.5}


def test_papers_of_very_many_readers_are_as_near():
    related = neighbour_scores(together(range(50_000), STORKS, NESTS), [STORKS])

    assert related == {NESTS: pytest.approx(1, abs=0.001)}


@pytest.mark.parametrize("followed", [[], [404]])
def test_unfollowed_papers_have_no_neighbours(followed):
    assert neighbour_scores(WORLD, followed) == {}
    assert neighbour_scores([], followed) == {}


def plainly(follows, followed, shared_from):
    """The same scores, computed in loops."""
    readers = {}
    for reader, paper in follows:
        readers.setdefault(paper, set()).add(reader)
    near = Counter()
    for paper_a in set(followed) & set(readers):
        for other in set(readers) - set(followed):
            shared = len(readers[paper_a] & readers[other])
            if shared >= shared_from:
                sizes = len(readers[paper_a]) * len(readers[other])
                near[other] += shared / (sizes**0.5 + SHRINKAGE_READERS)
    return near


small = st.integers(0, 6)


@given(
    st.lists(st.tuples(small, small), max_size=60), st.sets(small), st.integers(1, 4)
)
def test_neighbours_equal_plain_loops(follows, followed, shared_from):
    related = neighbour_scores(follows, followed, shared_from)

    assert related == pytest.approx(plainly(follows, followed, shared_from))
    assert list(related.values()) == sorted(related.values(), reverse=True)


@given(st.permutations(WORLD + together(range(100, 106), STORKS)), st.randoms())
def test_the_order_of_follows_and_of_readers_changes_nothing(follows, chance):
    names = list(range(300))
    chance.shuffle(names)
    renamed = [(names[reader], paper) for reader, paper in follows]

    assert neighbour_scores(renamed, [STORKS]) == neighbour_scores(
        sorted(follows), [STORKS]
    )


@given(st.sets(st.sampled_from(range(12)), max_size=MIN_SHARED_READERS - 1))
def test_results_do_not_reveal_small_groups(few):
    """One paper more that too few of its readers follow leaves all others as they were."""
    world = together(range(12), STORKS, NESTS)

    assert neighbour_scores(world + together(few, WELDS), [STORKS]) == neighbour_scores(
        world, [STORKS]
    )


EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
HALFWAY_NORTH = [0.6, 0.8]


def scores(known, followed, beside):
    rows = np.array(known, np.float32), np.array(followed, np.float32)
    return score_related(*rows, np.array(beside)).tolist()


def test_likeness_and_co_readership_add_up():
    related = scores([NORTH, HALFWAY_NORTH, EAST], [NORTH], [0.0, 0.3, 0.5])

    assert related == pytest.approx([1.0, 1.1, 0.5], abs=1e-6)


def test_kinds_of_papers_are_compared_apart():
    followed = [EAST] * 4 + [NORTH] * 4

    related = scores([EAST, NORTH, [0.7071068, 0.7071068]], followed, [0.0] * 3)

    assert related == pytest.approx([1.0, 1.0, 0.7071068], abs=1e-6)


def test_what_lies_between_two_papers_of_a_kind_is_nearest():
    related = scores([[0.7071068, 0.7071068], EAST], [EAST, NORTH], [0.0, 0.0])

    assert related == pytest.approx([1.0, 0.7071068], abs=1e-6)
