"""Selection: the fast path is the plain one, and the precedence holds."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from digest.ranking.selection import (
    CLAIMED_FROM,
    TRENDING,
    Block,
    Choice,
    Slate,
    select,
    whole,
)
from tests.ranking import oracle


def slate(n, **fields):
    """Candidates with ids 1 to n, the first the most trending."""
    plain = {
        "ids": np.arange(1, n + 1),
        "trend": np.linspace(1, 0.1, n),
        "boost": np.zeros(n, np.int64),
        "pin": np.zeros(n, np.int64),
        "hidden": np.zeros(n, bool),
        "twin": np.arange(n),
        "circle": np.arange(n),
    }
    return Slate(
        **{**plain, **{name: np.array(value) for name, value in fields.items()}}
    )


def pick(slate, relevance, follows, sent=(), length=10, mute_from=0.8):
    """The picks of one reader; `follows` maps an interest's index to its weight."""
    relevance = np.array(relevance, np.float32).reshape(-1, max(len(slate.ids), 1))
    relevance = relevance[:, : len(slate.ids)]
    weights = np.zeros((1, len(relevance)))
    for interest, weight in follows.items():
        weights[0, interest] = weight
    block = Block(csr_matrix(weights), [sent], [length])
    return select(slate, relevance, [mute_from] * len(relevance), block)[0]


def papers(choices):
    return [choice.candidate for choice in choices]


# Few distinct values, so that ties and thresholds are met all the time.
LEVELS = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.30001, 0.5, 0.8, 0.9, 1.0])
WEIGHTS = st.sampled_from([-1.0, -0.5, 0.0, 0.3, 0.5, 1.0])


@st.composite
def worlds(draw):
    n, kinds, readers = (
        draw(st.integers(low, high)) for low, high in ((0, 25), (0, 5), (1, 4))
    )

    def row(values, size):
        return draw(st.lists(values, min_size=size, max_size=size))

    pins = np.zeros(n, np.int64)
    for pin in range(1, 4):
        if n and draw(st.booleans()):
            pins[draw(st.integers(0, n - 1))] = pin
    made = Slate(
        ids=np.array(draw(st.permutations(range(1, n + 1))), np.int64),
        trend=np.array(row(LEVELS, n), float),
        boost=np.array(row(st.integers(-2, 2), n), np.int64),
        pin=pins,
        hidden=np.array(row(st.booleans(), n), bool),
        twin=np.array(row(st.integers(0, 2 * n), n), np.int64),
        circle=np.array(row(st.integers(0, 5), n), np.int64),
    )
    relevance = np.array(row(LEVELS, kinds * n), np.float32).reshape(kinds, n)
    weights = np.array(row(WEIGHTS, readers * kinds)).reshape(readers, kinds)
    sent = [
        sorted(draw(st.sets(st.integers(0, n - 1)))) if n else []
        for _ in range(readers)
    ]
    return (
        made,
        relevance,
        row(LEVELS.filter(bool), kinds),
        weights,
        sent,
        row(st.integers(0, 12), readers),
    )


@given(worlds())
def test_the_fast_path_agrees_exactly_with_the_plain_one(world):
    slate, relevance, mute_from, weights, sent, lengths = world
    expected = [
        oracle.choose(slate, relevance, mute_from, dict(enumerate(row)), *rest)
        for row, *rest in zip(weights, sent, lengths, strict=True)
    ]

    found = select(
        slate, relevance, mute_from, Block(csr_matrix(weights), sent, lengths)
    )

    assert found == expected


@given(worlds())
def test_nobody_depends_on_who_else_is_in_the_block(world):
    slate, relevance, mute_from, weights, sent, lengths = world

    together = select(
        slate, relevance, mute_from, Block(csr_matrix(weights), sent, lengths)
    )

    own = np.flatnonzero(weights[0])
    alone = select(
        slate,
        relevance[own],
        [mute_from[i] for i in own],
        Block(csr_matrix(weights[:1, own]), sent[:1], lengths[:1]),
    )
    named = [Choice(c, int(own[i]) if i >= 0 else TRENDING) for c, i in alone[0]]
    assert named == together[0]


@given(worlds())
def test_nothing_is_picked_twice_or_was_sent_or_is_muted_or_hidden(world):
    slate, relevance, mute_from, weights, sent, lengths = world

    found = select(
        slate, relevance, mute_from, Block(csr_matrix(weights), sent, lengths)
    )

    for reader, picked in enumerate(map(papers, found)):
        assert len(picked) == len(set(picked)) <= lengths[reader]
        assert not set(picked) & set(sent[reader])
        for c in picked:
            assert not slate.hidden[c]
            muted = np.flatnonzero(weights[reader] < 0)
            assert all(relevance[i, c] < mute_from[i] for i in muted)


@given(worlds())
def test_a_digest_is_full_when_there_are_enough_papers(world):
    slate, relevance, _, weights, sent, lengths = world
    nothing_muted = np.abs(weights)

    found = select(
        slate,
        relevance,
        [1.0] * len(relevance),
        Block(csr_matrix(nothing_muted), sent, lengths),
    )

    for picked, seen, length in zip(found, sent, lengths, strict=True):
        there = set(np.flatnonzero(~slate.hidden)) - set(seen)
        assert len(picked) == min(length, len(there))


@given(worlds(), st.integers(0, 4))
def test_another_interest_never_removes_the_last_paper_of_one(world, number):
    slate, relevance, _, weights, sent, _ = world
    relevance = relevance * (relevance > 0.8)  # few claims, or each has all
    row = np.abs(weights[:1])
    if number >= row.size:
        return
    fewer = row.copy()
    fewer[0, number] = 0
    apart = np.arange(len(slate.ids))
    slate = replace(slate, twin=apart, circle=apart, pin=0 * apart)
    limits = [1.0] * len(relevance)
    places = np.count_nonzero(row)  # the fewest that can hold them all

    before, after = (
        select(slate, relevance, limits, Block(csr_matrix(of), sent[:1], [places]))[0]
        for of in (fewer, row)
    )

    for lost in {interest for _, interest in before if interest != TRENDING}:
        assert any(relevance[lost, c] >= CLAIMED_FROM for c in papers(after))


@given(worlds())
def test_a_pin_is_there_unless_it_was_sent_or_muted_or_hidden(world):
    slate, relevance, mute_from, weights, sent, _ = world
    block = Block(csr_matrix(weights), sent, [12] * len(sent))

    found = select(slate, relevance, mute_from, block)

    for reader, picked in enumerate(map(papers, found)):
        muting = np.flatnonzero(weights[reader] < 0)
        for pin in np.flatnonzero(slate.pin):
            found_at, limits = relevance[muting, pin], np.take(mute_from, muting)
            muted = (whole(found_at) >= whole(limits)).any()
            gone = muted or slate.hidden[pin] or pin in sent[reader]
            assert (pin in picked) != gone


def test_a_near_duplicate_comes_once():
    world = slate(4, twin=[7, 7, 8, 9])

    found = pick(world, [0.9, 0.8, 0.5, 0], {0: 1}, length=3)

    assert papers(found) == [0, 2, 3]


def test_one_group_of_authors_does_not_fill_the_mail():
    world = slate(6, circle=[1, 1, 1, 1, 1, 2])

    found = pick(world, [0.9] * 5 + [0.3], {0: 1}, length=4)

    assert papers(found) == [0, 1, 2, 5]


def test_places_go_by_weight():
    row = np.eye(2).repeat(20, axis=1)

    found = pick(slate(40), [row[0], row[1] * 0.9], {0: 0.9, 1: 0.3})

    assert sum(c >= 20 for c in papers(found)) == 2  # a quarter of ten, rounded down


def test_what_fills_the_mail_is_nearer_to_the_reader():
    found = pick(slate(2, trend=[0.52, 0.5]), [0, 0.2], {0: 1})

    assert found == [(1, TRENDING), (0, TRENDING)]


def test_a_reader_without_interests_gets_the_trending_papers():
    found = pick(slate(5), [], {}, length=3)

    assert found == [(0, TRENDING), (1, TRENDING), (2, TRENDING)]


def test_relevant_papers_come_first_and_trending_ones_fill_the_rest():
    found = pick(slate(5), [0, 0, 0, 0.4, 0.9], {0: 1}, length=4)

    assert found == [(4, 0), (3, 0), (0, TRENDING), (1, TRENDING)]


def test_among_equally_relevant_papers_the_trending_one_leads():
    found = pick(slate(3, trend=[0.2, 0.9, 0.5]), [0.6, 0.6, 0.6], {0: 1})

    assert papers(found) == [1, 2, 0]


def test_much_attention_outweighs_a_little_relevance():
    found = pick(slate(2, trend=[0.1, 1.0]), [0.65, 0.6], {0: 1})

    assert papers(found) == [1, 0]


def test_equal_papers_go_by_their_ids():
    found = pick(slate(3, ids=[30, 10, 20], trend=[0.5, 0.5, 0.5]), [], {})

    assert papers(found) == [1, 2, 0]


def test_differences_below_a_step_are_ties():
    found = pick(slate(2, ids=[2, 1], trend=[0.50001, 0.5]), [], {})

    assert papers(found) == [1, 0]


def test_the_winning_interest_is_the_reason():
    found = pick(slate(2), [[0.9, 0.3], [0.5, 0.8]], {0: 1, 1: 1})

    assert set(found) == {(0, 0), (1, 1)}


def test_of_equal_interests_the_older_one_is_the_reason():
    found = pick(slate(1), [[0.7], [0.7]], {0: 1, 1: 1})

    assert found == [(0, 0)]


def test_a_rare_interest_is_represented_beside_a_broad_one():
    broad = [1.0] * 30 + [0.0, 0.0]
    rare = [0.0] * 30 + [0.4, 0.4]

    found = pick(slate(32), [broad, rare], {0: 1, 1: 1}, length=10)

    assert {30, 31} < set(papers(found))
    assert len(found) == 10


def test_a_match_by_chance_takes_no_place_from_a_good_one():
    good, chance = [1.0] * 12 + [0.0], [0.0] * 12 + [0.2]

    found = pick(slate(13), [good, chance], {0: 1, 1: 1}, length=10)

    assert 12 not in papers(found)


def test_pins_lead_in_their_order():
    found = pick(slate(5, pin=[0, 0, 2, 0, 1]), [0, 0.9, 0, 0, 0], {0: 1}, length=4)

    assert papers(found) == [4, 2, 1, 0]


def test_a_short_digest_holds_the_first_pins():
    found = pick(slate(4, pin=[0, 2, 3, 1]), [], {}, length=2)

    assert papers(found) == [3, 1]


def test_what_was_sent_is_not_sent_again_even_when_pinned():
    found = pick(slate(3, pin=[1, 0, 0]), [], {}, sent=[0])

    assert papers(found) == [1, 2]


def test_a_mute_beats_a_pin():
    found = pick(slate(3, pin=[1, 0, 0]), [0.9, 0, 0], {0: -1})

    assert papers(found) == [1, 2]


def test_hiding_beats_a_pin_and_a_boost():
    found = pick(
        slate(3, pin=[1, 0, 0], boost=[0, 2, 0], hidden=[True, True, False]), [], {}
    )

    assert papers(found) == [2]


def test_a_boost_beats_the_score_among_papers_that_fit():
    found = pick(slate(4, boost=[0, 0, 1, 2]), [0.9, 0.8, 0.3, 0], {0: 1})

    assert papers(found) == [2, 0, 1, 3]


def test_a_negative_boost_moves_a_paper_down():
    found = pick(slate(3, boost=[-1, 0, 0]), [], {})

    assert papers(found) == [1, 2, 0]


def test_what_is_like_a_muted_paper_is_pushed_down_but_kept():
    liked, disliked = [0.8, 0.7], [0.5, 0.0]

    found = pick(slate(2), [liked, disliked], {0: 1, 1: -1})

    assert papers(found) == [1, 0]


def test_a_weight_scales_its_interest():
    found = pick(slate(2), [[0.9, 0.0], [0.0, 0.6]], {0: 0.5, 1: 1})

    assert papers(found) == [1, 0]


def test_a_mute_at_its_threshold_mutes_whatever_the_precision():
    # 0.9 is a little less in single than in double precision.
    found = pick(slate(2), [0.9, 0.0], {0: -1}, mute_from=0.9)

    assert papers(found) == [1]


def test_an_edition_without_papers_gives_nobody_anything():
    assert pick(slate(0), [], {}) == []


def test_a_paper_that_hardly_matches_comes_for_its_trend_and_says_so():
    relevance = np.array([[CLAIMED_FROM - 0.01, CLAIMED_FROM]], np.float32)
    block = Block(csr_matrix([[1.0]]), [[]], [2])

    picks = select(slate(2), relevance, [0.5], block)[0]

    assert picks == [Choice(1, 0), Choice(0, TRENDING)]
