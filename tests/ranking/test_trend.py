"""Trend orders papers by attention and age, fairly between categories."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.attention_prior import MAX_PRIOR
from digest.ranking.trend import Attention, growth, of_the_week, percentiles, trend

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def scores(*papers):
    return [result.score for result in trend(papers)]


def voted(votes, category="cs.LG", age=0.0, **counts):
    return Attention(category, age, {"upvotes": votes, **counts})


def test_more_votes_trend_more():
    many, few = scores(voted(40), voted(3))

    assert many > few


def test_paper_without_samples_scores_above_zero_and_below_a_vote():
    silent, voted_once = scores(Attention("cs.LG", 0.0), voted(1))

    assert 0 < silent < voted_once


def test_comments_and_stars_do_not_change_the_order():
    votes, comments, stars, silent = scores(
        voted(1), voted(0, comments=10), voted(0, stars=10), voted(0)
    )

    assert votes > comments == stars == silent


def test_attention_decays_with_age():
    fresh, old = scores(voted(10), voted(10, age=72))

    assert fresh > old


def test_new_paper_without_samples_scores_above_an_old_one():
    new, old = scores(Attention("cs.LG", 0.0), Attention("cs.LG", 72.0))

    assert new > old


def test_growth_lifts_a_paper_above_slightly_more_votes_that_have_settled():
    rising, settled, more, many = scores(
        Attention("cs.LG", 0, {"upvotes": 20}, growth=19),
        Attention("cs.LG", 0, {"upvotes": 20}),
        Attention("cs.LG", 0, {"upvotes": 21}),
        Attention("cs.LG", 0, {"upvotes": 60}),
    )

    assert many > rising > more > settled


def test_small_category_competes_with_a_large_one():
    large = [voted(100 + n, "cs.LG") for n in range(60)]
    small = [voted(n, "math.GT") for n in range(20)]

    result = scores(*large, *small)

    assert result[-1] > result[10]


def test_only_paper_of_a_category_does_not_win():
    silent = Attention("math.GT", 0.0)
    crowd = [voted(5 + n) for n in range(40)]

    result = scores(silent, *crowd)

    assert result[0] < sorted(result)[5]


def test_breakdown_adds_up_to_the_score():
    result = trend([voted(5, comments=2, age=24), voted(1), Attention("cs.CL", 0)])[0]

    parts = result.breakdown
    kinds = ("upvotes", "clicks", "growth", "expected")
    signals = sum(parts[kind] for kind in kinds)
    assert parts["raw"] == pytest.approx(
        (signals + parts["recency"]) / 2**0.8, abs=1e-3
    )
    mixed = (parts["papers"] * parts["category"] + 20 * parts["overall"]) / (
        parts["papers"] + 20
    )
    assert result.score == pytest.approx(mixed, abs=1e-3)


def test_prior_counts_until_there_is_a_vote():
    dull, promising, single, pushed = trend(
        [
            Attention("cs.LG", 0.0, expected=0.1),
            Attention("cs.LG", 0.0, {"upvotes": 0}, expected=MAX_PRIOR),
            Attention("cs.LG", 0.0, {"upvotes": 1}),
            Attention("cs.LG", 0.0, {"upvotes": 1}, expected=MAX_PRIOR),
        ]
    )

    assert single.score > promising.score > dull.score
    assert pushed == single
    assert promising.breakdown["expected"] == MAX_PRIOR
    assert promising.breakdown["raw"] == pytest.approx(MAX_PRIOR + 0.5)


def test_no_papers_give_no_trend():
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


def test_growth_is_votes_per_day_between_samples_far_enough_apart():
    samples = [(12, 4), (6, 7), (1, 9), (0, 10)]
    counts = [(NOON - timedelta(hours=ago), votes) for ago, votes in samples]

    assert growth(counts) == pytest.approx(3 * 24 / 6)


@pytest.mark.parametrize("samples", [[], [(0, 5)], [(1, 2), (0, 5)], [(12, 9), (0, 5)]])
def test_growth_is_zero_without_a_second_sample_or_gained_votes(samples):
    assert growth([(NOON - timedelta(hours=ago), votes) for ago, votes in samples]) == 0


def weekly_scores(*papers):
    stored = [result.breakdown for result in trend(papers)]
    return of_the_week([(p.category, s) for p, s in zip(papers, stored, strict=True)])


def test_weekly_trend_ignores_age_within_the_week():
    monday, today = voted(30, age=6 * 24.0), voted(5)

    daily, weekly = scores(monday, today), weekly_scores(monday, today)

    assert daily[0] < daily[1]
    assert weekly[0] > weekly[1]


def test_weekly_trend_decays_papers_older_than_a_week():
    last_week, today = weekly_scores(voted(1_000, age=7 * 24.0), voted(5))

    assert last_week < today


def test_weekly_trend_equals_daily_trend_for_papers_of_one_age():
    papers = [
        voted(n, category=name) for n in (0, 3, 9) for name in ("cs.LG", "hep-th")
    ]

    assert weekly_scores(*papers) == pytest.approx(scores(*papers))
