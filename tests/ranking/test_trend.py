"""Trend: attention, age, and fairness between fields."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.attention_prior import MOST
from digest.ranking.trend import Attention, growth, of_the_week, percentiles, trend

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def scores(*papers):
    return [found.score for found in trend(papers)]


def voted(votes, category="cs.LG", age=0.0, **counts):
    return Attention(category, age, {"upvotes": votes, **counts})


def test_more_votes_trend_more():
    many, few = scores(voted(40), voted(3))

    assert many > few


def test_a_paper_without_signals_is_above_zero_and_below_attention():
    silent, voted_once = scores(Attention("cs.LG", 0.0), voted(1))

    assert 0 < silent < voted_once


def test_comments_and_stars_count_less_than_votes():
    votes, comments, stars, silent = scores(
        voted(10), voted(0, comments=10), voted(0, stars=10), voted(0)
    )

    assert votes > comments > stars > silent


def test_the_same_attention_fades_with_age():
    fresh, old = scores(voted(10), voted(10, age=72))

    assert fresh > old


def test_a_new_paper_without_signals_is_above_an_old_one():
    new, old = scores(Attention("cs.LG", 0.0), Attention("cs.LG", 72.0))

    assert new > old


def test_growth_tells_apart_what_votes_do_not():
    rising, settled = scores(
        Attention("cs.LG", 0, {"upvotes": 10}, growth=8),
        Attention("cs.LG", 0, {"upvotes": 10}),
    )

    assert rising > settled


def test_a_small_field_is_not_drowned_by_a_large_one():
    large = [voted(100 + n, "cs.LG") for n in range(60)]
    small = [voted(n, "math.GT") for n in range(20)]

    found = scores(*large, *small)

    assert found[-1] > found[10]


def test_the_only_paper_of_a_field_is_not_its_winner():
    silent = Attention("math.GT", 0.0)
    crowd = [voted(5 + n) for n in range(40)]

    found = scores(silent, *crowd)

    assert found[0] < sorted(found)[5]


def test_the_breakdown_adds_up_to_the_score():
    found = trend([voted(5, comments=2, age=24), voted(1), Attention("cs.CL", 0)])[0]

    parts = found.breakdown
    kinds = ("upvotes", "comments", "stars", "clicks", "growth", "expected")
    signals = sum(parts[kind] for kind in kinds)
    assert parts["raw"] == pytest.approx(
        (signals + parts["recency"]) / 2**0.8, abs=1e-3
    )
    mixed = (parts["papers"] * parts["category"] + 20 * parts["overall"]) / (
        parts["papers"] + 20
    )
    assert found.score == pytest.approx(mixed, abs=1e-3)


def test_what_is_expected_counts_until_there_is_a_vote():
    dull, promising, one, pushed = trend(
        [
            Attention("cs.LG", 0.0, expected=0.1),
            Attention("cs.LG", 0.0, {"upvotes": 0}, expected=MOST),
            Attention("cs.LG", 0.0, {"upvotes": 1}),
            Attention("cs.LG", 0.0, {"upvotes": 1}, expected=MOST),
        ]
    )

    assert one.score > promising.score > dull.score
    assert pushed == one
    assert promising.breakdown["expected"] == MOST
    assert promising.breakdown["raw"] == pytest.approx(MOST + 0.5)


def test_no_papers_have_no_trend():
    assert trend([]) == []


@given(
    st.lists(
        st.builds(voted, st.integers(0, 50), st.sampled_from("abc"), st.floats(0, 400))
    )
)
def test_scores_are_above_zero_and_at_most_one(papers):
    assert all(0 < score <= 1 for score in scores(*papers))


def test_equal_values_share_a_percentile():
    assert percentiles([3, 1, 3, 9]) == [0.5, 0.125, 0.5, 0.875]


def test_growth_is_votes_per_day_between_looks_that_are_far_enough_apart():
    looks = [(12, 4), (6, 7), (1, 9), (0, 10)]
    counts = [(NOON - timedelta(hours=ago), votes) for ago, votes in looks]

    assert growth(counts) == pytest.approx(3 * 24 / 6)


@pytest.mark.parametrize("looks", [[], [(0, 5)], [(1, 2), (0, 5)], [(12, 9), (0, 5)]])
def test_without_a_second_look_or_votes_gained_there_is_no_growth(looks):
    assert growth([(NOON - timedelta(hours=ago), votes) for ago, votes in looks]) == 0


def weekly_scores(*papers):
    stored = [found.breakdown for found in trend(papers)]
    return of_the_week([(p.category, s) for p, s in zip(papers, stored, strict=True)])


def test_to_who_reads_once_a_week_all_papers_of_the_week_are_equally_new():
    monday, today = voted(30, age=6 * 24.0), voted(5)

    daily, weekly = scores(monday, today), weekly_scores(monday, today)

    assert daily[0] < daily[1]
    assert weekly[0] > weekly[1]


def test_what_is_older_than_a_week_does_not_come_back_for_its_votes():
    last_week, today = weekly_scores(voted(1_000, age=7 * 24.0), voted(5))

    assert last_week < today


def test_a_week_of_one_age_scores_as_the_day_did():
    papers = [
        voted(n, category=name) for n in (0, 3, 9) for name in ("cs.LG", "hep-th")
    ]

    assert weekly_scores(*papers) == pytest.approx(scores(*papers))
