"""Team-draft interleaving: one list without repeats, whose teams have equal chances."""

from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.interleaving import Team, interleave, is_assigned, toss_coins

rankings = st.lists(st.integers(1, 15), unique=True, max_size=12)
seeds, lengths = st.integers(0, 1_000), st.integers(0, 12)


def team_of(picked, team):
    return [paper for paper, owner in picked.items() if owner == team]


@given(rankings, rankings, lengths, seeds)
def test_list_has_as_many_papers_as_both_rankings_can_fill(first, second, length, seed):
    picked = interleave(first, second, length, toss_coins(seed))

    assert len(picked) == min(length, len({*first, *second}))
    assert set(picked) <= {*first, *second}


@given(rankings, rankings, lengths, seeds)
def test_teams_are_equally_large_or_one_paper_apart(first, second, length, seed):
    picked = interleave(first, second, length, toss_coins(seed))

    difference = len(team_of(picked, Team.FIRST)) - len(team_of(picked, Team.SECOND))
    assert abs(difference) <= 1


@given(rankings, rankings, lengths, seeds)
def test_each_team_has_papers_of_its_ranking_in_its_order(first, second, length, seed):
    picked = interleave(first, second, length, toss_coins(seed))

    for ranking, team in ((first, Team.FIRST), (second, Team.SECOND)):
        places = [ranking.index(paper) for paper in team_of(picked, team)]
        assert places == sorted(places)


@given(rankings, rankings, lengths, seeds)
def test_swapped_rankings_swap_the_teams(first, second, length, seed):
    picked = interleave(first, second, length, toss_coins(seed))
    swapped = interleave(second, first, length, (not coin for coin in toss_coins(seed)))

    other = {Team.NONE: Team.NONE, Team.FIRST: Team.SECOND, Team.SECOND: Team.FIRST}
    competing = {paper: team for paper, team in picked.items() if team}
    assert competing == {p: other[team] for p, team in swapped.items() if team}


@given(rankings, seeds, st.lists(st.integers(20, 25), unique=True, max_size=3))
def test_shared_papers_lead_and_count_for_neither(first, seed, shared):
    picked = interleave(first, first[::-1], 12, toss_coins(seed), shared=shared)

    assert list(picked)[: len(shared)] == shared
    assert all(picked[paper] == Team.NONE for paper in shared)


@given(rankings, rankings, seeds)
def test_papers_that_do_not_fit_come_last(first, second, seed):
    def fits(picked, paper):
        return all(paper % 5 != other % 5 for other in picked)

    picked = list(interleave(first, second, 12, toss_coins(seed), fits))

    number = len({paper % 5 for paper in picked})
    assert len({paper % 5 for paper in picked[:number]}) == number
    assert len(picked) == min(12, len({*first, *second}))


def test_the_coin_decides_who_picks_first():
    heads = interleave([1, 2], [3, 4], 2, repeat(True))
    tails = interleave([1, 2], [3, 4], 2, repeat(False))

    assert heads == {1: Team.FIRST, 3: Team.SECOND}
    assert list(heads) == [1, 3]
    assert list(tails) == [3, 1]


def test_what_only_one_ranking_has_left_counts_for_neither():
    picked = interleave([1, 2, 3, 4], [9], 4, repeat(True))

    assert picked == {1: Team.FIRST, 9: Team.SECOND, 2: Team.NONE, 3: Team.NONE}


def test_a_random_reader_prefers_neither_ranking():
    wins = {Team.FIRST: 0, Team.SECOND: 0}
    for seed in range(4_000):
        picked = interleave([1, 2, 3, 4, 5], [1, 3, 2, 6, 7], 5, toss_coins(seed))
        opened = 0  # a reader who always opens the first paper
        wins[list(picked.values())[opened]] += 1

    assert abs(wins[Team.FIRST] - 2_000) < 4 * 4_000**0.5 / 2


def test_assignment_is_stable_and_near_the_share():
    assigned = [is_assigned(7, reader, 10) for reader in range(20_000)]

    assert 1_800 < sum(assigned) < 2_200
    assert assigned == [is_assigned(7, reader, 10) for reader in range(20_000)]
    assert not any(
        is_assigned(7, reader, 10) and not is_assigned(7, reader, 30)
        for reader in range(20_000)
    )
    assert all(is_assigned(7, reader, 100) for reader in range(1_000))


def test_another_experiment_assigns_other_readers():
    one = {reader for reader in range(5_000) if is_assigned(1, reader, 50)}
    other = {reader for reader in range(5_000) if is_assigned(2, reader, 50)}

    assert 1_100 < len(one & other) < 1_400
