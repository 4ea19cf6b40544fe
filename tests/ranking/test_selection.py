"""Selection equals its oracle, and precedence holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from digest.ranking.selection import (
    FIRST_PASS,
    MATCH_THRESHOLD,
    MAX_PINS,
    TRENDING,
    Block,
    Choice,
    Matches,
    Role,
    Slate,
    select,
    to_steps,
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
        "near_duplicate": np.arange(n),
        "author_group": np.arange(n),
    }
    return Slate(
        **{**plain, **{name: np.array(value) for name, value in fields.items()}}
    )


def pick(slate, relevance, follows, sent=(), length=10, mute_from=0.8, trending=None):
    """The picks of one reader; `follows` maps an interest's index to its weight."""
    relevance = np.array(relevance, np.float32).reshape(-1, max(len(slate.ids), 1))
    relevance = relevance[:, : len(slate.ids)]
    weights = np.zeros((1, len(relevance)))
    for interest, weight in follows.items():
        weights[0, interest] = weight
    bounds = [trending] if trending else ()
    block = Block(csr_matrix(weights), [sent], [length], bounds)
    return select(slate, claim_all(relevance, [mute_from] * len(relevance)), block)[0]


def claim_all(relevance, mute_from):
    """Matches whose every interest may be claimed."""
    return Matches(relevance, np.ones(relevance.shape, bool), mute_from)


def pairs(choices):
    return [(choice.candidate, choice.interest) for choice in choices]


def papers(choices):
    return [choice.candidate for choice in choices]


# Few distinct values, so that ties and thresholds occur all the time.
LEVELS = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.30001, 0.5, 0.8, 0.9, 1.0])
WEIGHTS = st.sampled_from([-1.0, -0.5, 0.0, 0.3, 0.5, 1.0])


@st.composite
def worlds(draw):
    """What `select` is asked: a slate, relevance, limits of mutes, and a block."""
    n, kinds, readers = (
        draw(st.integers(low, high)) for low, high in ((0, 25), (0, 5), (1, 4))
    )

    def row(values, size):
        return draw(st.lists(values, min_size=size, max_size=size))

    pins = np.zeros(n, np.int64)
    for pin in range(1, 5):
        if n and draw(st.booleans()):
            pins[draw(st.integers(0, n - 1))] = pin
    made = Slate(
        ids=np.array(draw(st.permutations(range(1, n + 1))), np.int64),
        trend=np.array(row(LEVELS, n), float),
        boost=np.array(row(st.integers(-2, 2), n), np.int64),
        pin=pins,
        hidden=np.array(row(st.booleans(), n), bool),
        near_duplicate=np.array(row(st.integers(0, 2 * n), n), np.int64),
        author_group=np.array(row(st.integers(0, 5), n), np.int64),
    )
    relevance = np.array(row(LEVELS, kinds * n), np.float32).reshape(kinds, n)
    weights = np.array(row(WEIGHTS, readers * kinds)).reshape(readers, kinds)
    seen = st.sets(st.integers(0, n - 1)).map(sorted) if n else st.just([])
    lengths = row(st.integers(0, 12), readers)
    claimed = np.array(row(st.booleans(), kinds * n), bool).reshape(kinds, n)
    mute_from = row(LEVELS.filter(lambda x: x >= MATCH_THRESHOLD), kinds)
    roles = ()
    if kinds > 1 and draw(st.booleans()):
        roles = [Role.PLACES] * draw(st.integers(1, kinds - 1))
        roles += [Role.ORDER_AND_PLACES] * (kinds - 1 - len(roles)) + [Role.ORDER]
        weights[:, -1] = 1.0
    bounds = trending(draw, lengths)
    block = Block(csr_matrix(weights), row(seen, readers), lengths, bounds, roles)
    return made, Matches(relevance, claimed, mute_from), block


def trending(draw, lengths):
    """No fill mode, or for each reader: fill the rest, followed only, half, or a few."""
    if draw(st.booleans()):
        return ()
    return [
        draw(
            st.sampled_from(
                [(0, length), (0, 0), (length // 2, length), (length // 3, length // 2)]
            )
        )
        for length in lengths
    ]


def bounds(block):
    """Of each reader, the least and the most papers that come for their trend."""
    return block.trending or [(0, length) for length in block.lengths]


def follows(block):
    """Of each reader, the weights of all interests."""
    return block.weights.toarray()


def is_free(world, reader):
    """Of each candidate, whether nothing forbids to send it to the reader."""
    slate, matches, block = world
    free = ~slate.hidden
    free[block.sent[reader]] = False
    for i in np.flatnonzero(follows(block)[reader] < 0):
        threshold = np.float64(matches.mute_from[i])
        free &= to_steps(matches.relevance[i]) < to_steps(threshold)
    return free


def is_match(world, reader):
    """Whether each candidate matches an interest; the reader mutes nothing."""
    _, matches, block = world
    liked = follows(block)[reader] > 0
    return (matches.relevance[liked] >= np.float32(MATCH_THRESHOLD)).any(axis=0)


def without_mutes(world):
    slate, matches, block = world
    return slate, matches, replace(block, weights=abs(block.weights))


def all_different(world):
    slate, *rest = world
    apart = np.arange(len(slate.ids))
    return replace(slate, near_duplicate=apart, author_group=apart), *rest


def without_pins(world):
    slate, *rest = world
    return replace(slate, pin=0 * slate.pin), *rest


def plain(slate, matches, block):
    """What the oracle gives each reader."""
    readers = zip(follows(block), block.sent, block.lengths, bounds(block), strict=True)
    return [
        oracle.choose(slate, matches, dict(enumerate(row)), *rest, roles=block.roles)
        for row, *rest in readers
    ]


@given(worlds())
def test_fast_path_equals_oracle(world):
    expected = plain(*world)

    picks = select(*world)

    assert picks == expected


def long_world(chance):
    """An edition longer than the first pass; most of its papers were sent already."""
    n, kinds, readers = FIRST_PASS + 80, 6, 6
    trend = chance.random(n).round(2)
    made = Slate(
        ids=chance.permutation(n),
        trend=trend,
        boost=chance.choice([-1, 0, 1], n, p=[0.1, 0.8, 0.1]),
        pin=np.where(np.arange(n) == 7, 1, 0),
        hidden=chance.random(n) < 0.05,
        near_duplicate=chance.integers(0, n, n),
        author_group=chance.integers(0, n // 3, n),
    )
    weak = chance.random((kinds, n)).round(2) * MATCH_THRESHOLD
    relevance = np.where(chance.random((kinds, n)) < 0.01, 0.6, weak)
    weights = chance.choice([-0.5, 0.0, 0.5, 1.0], (readers, kinds))
    weights[0] = weights[5] = 0
    first = np.lexsort((made.ids, -trend, -made.boost, made.hidden))[:FIRST_PASS]
    boosted = first[made.boost[first] == 1]
    sent = [first[: FIRST_PASS - left].tolist() for left in (10, 4, 3, 2, 0)]
    sent.append(boosted[:-1].tolist())  # one is left that leads for its boost alone
    bounds = [(0, 10), (3, 3), (2, 3), (1, 2), (0, 4), (0, 2)]
    block = Block(csr_matrix(weights), sent, [10, 3, 3, 2, 4, 2], bounds)
    return made, claim_all(relevance.astype(np.float32), [0.5] * kinds), block


@pytest.mark.parametrize("seed", range(4))
def test_fast_path_equals_oracle_on_a_long_edition(seed):
    world = long_world(np.random.default_rng(seed))

    picks = select(*world)

    assert picks == plain(*world)


@given(worlds())
def test_picks_do_not_depend_on_other_readers_of_the_block(world):
    slate, matches, block = world

    together = select(*world)

    own = np.flatnonzero(follows(block)[0])
    one = Block(
        block.weights[:1, own],
        block.sent[:1],
        block.lengths[:1],
        block.trending[:1],
        [block.roles[i] for i in own] if block.roles else (),
    )
    thresholds = [matches.mute_from[i] for i in own]
    part = Matches(matches.relevance[own], matches.claimed[own], thresholds)
    alone = select(slate, part, one)[0]
    named = [
        c._replace(interest=int(own[c.interest])) if c.interest >= 0 else c
        for c in alone
    ]
    assert named == together[0]


@given(worlds())
def test_picks_are_unique_unsent_unmuted_and_shown(world):
    lengths = world[-1].lengths

    picks = select(*world)

    for reader, picked in enumerate(map(papers, picks)):
        assert len(picked) == len(set(picked)) <= lengths[reader]
        assert is_free(world, reader)[picked].all()


@given(worlds())
def test_digest_is_full_when_there_are_enough_papers(world):
    lengths = world[-1].lengths

    picks = select(*world)

    for reader, (_, most) in enumerate(bounds(world[-1])):
        there = np.count_nonzero(is_free(world, reader))
        if most >= lengths[reader]:
            assert len(picks[reader]) == min(lengths[reader], there)


@given(worlds())
def test_trending_picks_stay_within_the_maximum(world):
    slate, *_ = world

    picks = select(*world)

    for picked, (_, most) in zip(picks, bounds(world[-1]), strict=True):
        came = [c for c, interest, _ in picked if interest == TRENDING]
        assert np.count_nonzero(slate.pin[came] == 0) <= most


@given(worlds().map(without_mutes).map(all_different).map(without_pins))
def test_trending_bounds_are_met(world):
    lengths = world[-1].lengths

    picks = select(*world)

    for reader, (least, most) in enumerate(bounds(world[-1])):
        free, claimed = is_free(world, reader), is_match(world, reader)
        ours, others = np.sum(free & claimed), np.sum(free & ~claimed)
        for_us = min(ours, lengths[reader] - least)
        came = [c for c, interest, _ in picks[reader] if interest == TRENDING]
        assert len(came) == min(others, most, lengths[reader] - for_us)
        assert len(picks[reader]) - len(came) == min(ours, lengths[reader] - len(came))


@st.composite
def contests(draw):
    """One reader whose every interest could fill the digest, which has a place for each."""
    kinds, least = draw(st.integers(2, 5)), draw(st.integers(0, 3))
    length = kinds + least
    owner = np.repeat(np.arange(kinds + 1), length)  # the last have no owner
    levels = draw(
        st.lists(LEVELS.filter(lambda x: x > 0.28), min_size=kinds, max_size=kinds)
    )
    relevance = (owner == np.arange(kinds)[:, None]) * np.array(levels, np.float32)[
        :, None
    ]
    weights = draw(
        st.lists(WEIGHTS.filter(lambda x: x > 0), min_size=kinds, max_size=kinds)
    )
    order = np.array(draw(st.permutations(range(1, owner.size + 1))))
    made = slate(owner.size, ids=order, trend=order / order.size)
    block = Block(csr_matrix([weights]), [[]], [length], [(least, length)])
    return made, claim_all(relevance.astype(np.float32), [1.0] * kinds), block


@given(contests())
def test_added_interest_keeps_a_paper_of_every_other(world):
    _, matches, block = world
    fewer = block.weights.copy()
    fewer[0, -1] = 0
    fewer.eliminate_zeros()

    before, after = (
        select(*world[:-1], replace(block, weights=weights))[0]
        for weights in (fewer, block.weights)
    )

    assert {c.interest for c in before} - {c.interest for c in after} == set()
    assert {c.interest for c in after} >= set(range(len(matches.relevance)))


@given(worlds())
def test_pin_is_picked_unless_sent_muted_or_hidden(world):
    slate, matches, block = world
    places = [12] * len(block.lengths)

    picks = select(slate, matches, replace(block, lengths=places))

    tie = np.lexsort((slate.ids, -to_steps(slate.trend), slate.pin))
    first = [c for c in tie if slate.pin[c] and not slate.hidden[c]][:MAX_PINS]
    for reader, picked in enumerate(map(papers, picks)):
        there = is_free(world, reader)
        assert picked[: np.sum(there[first])] == [c for c in first if there[c]]


def test_near_duplicate_is_picked_once():
    world = slate(4, near_duplicate=[7, 7, 8, 9])

    picks = pick(world, [0.9, 0.8, 0.5, 0], {0: 1}, length=3)

    assert papers(picks) == [0, 2, 3]


def test_author_group_does_not_fill_the_digest():
    world = slate(6, author_group=[1, 1, 1, 1, 1, 2])

    picks = pick(world, [0.9] * 5 + [0.3], {0: 1}, length=4)

    assert papers(picks) == [0, 1, 2, 5]


def test_places_follow_weights():
    row = np.eye(2).repeat(20, axis=1)

    picks = pick(slate(40), [row[0], row[1] * 0.9], {0: 0.9, 1: 0.3})

    assert sum(c >= 20 for c in papers(picks)) == 2  # a quarter of ten, rounded down


def test_better_interest_fills_the_rest():
    row = np.eye(2).repeat(10, axis=1)

    picks = pick(slate(20), [row[0] * 0.5, row[1] * 0.9], {0: 1, 1: 1}, length=8)

    assert sum(c >= 10 for c in papers(picks)) == 5  # three places each, and two more


def test_no_place_is_lost_to_rounding():
    row = np.eye(2).repeat(20, axis=1)

    picks = pick(slate(40), [row[0] * 0.9, row[1]], {0: 0.6, 1: 0.9}, length=5)

    assert (
        sum(c < 20 for c in papers(picks)) == 2
    )  # 0.6 / 1.5 * 5 is 1.9999999999999998


def test_trending_fill_prefers_nearer_papers():
    picks = pick(slate(2, trend=[0.52, 0.5]), [0, 0.15], {0: 1})

    assert pairs(picks) == [(1, TRENDING), (0, TRENDING)]


def test_reader_without_interests_gets_trending_papers():
    picks = pick(slate(5), [], {}, length=3)

    assert pairs(picks) == [(0, TRENDING), (1, TRENDING), (2, TRENDING)]


def test_matches_precede_trending_papers():
    picks = pick(slate(5), [0, 0, 0, 0.4, 0.9], {0: 1}, length=4)

    assert pairs(picks) == [(4, 0), (3, 0), (0, TRENDING), (1, TRENDING)]


def test_trend_orders_equally_relevant_papers():
    picks = pick(slate(3, trend=[0.2, 0.9, 0.5]), [0.6, 0.6, 0.6], {0: 1})

    assert papers(picks) == [1, 2, 0]


def test_trend_bonus_outweighs_little_relevance():
    picks = pick(slate(2, trend=[0.1, 1.0]), [0.65, 0.6], {0: 1})

    assert papers(picks) == [1, 0]


def test_equal_papers_are_ordered_by_id():
    picks = pick(slate(3, ids=[30, 10, 20], trend=[0.5, 0.5, 0.5]), [], {})

    assert papers(picks) == [1, 2, 0]


def test_trend_breaks_ties_of_scores():
    world = slate(2, trend=[0.25, 0.3])

    picks = pick(world, [0.1, 0], {0: 1})  # half of its relevance makes up for .05

    assert papers(picks) == [1, 0]


def test_differences_below_a_step_are_ties():
    picks = pick(slate(2, ids=[2, 1], trend=[0.5000001, 0.5]), [], {})

    assert papers(picks) == [1, 0]


def test_winning_interest_is_the_reason():
    picks = pick(slate(2), [[0.9, 0.3], [0.5, 0.8]], {0: 1, 1: 1})

    assert set(pairs(picks)) == {(0, 0), (1, 1)}


def test_older_of_equal_interests_is_the_reason():
    picks = pick(slate(1), [[0.7], [0.7]], {0: 1, 1: 1})

    assert pairs(picks) == [(0, 0)]


def test_rare_interest_has_a_place_beside_a_broad_one():
    broad = [1.0] * 30 + [0.0, 0.0]
    rare = [0.0] * 30 + [0.4, 0.4]

    picks = pick(slate(32), [broad, rare], {0: 1, 1: 1}, length=10)

    assert {30, 31} < set(papers(picks))
    assert len(picks) == 10


def test_interest_of_the_best_open_paper_is_served_first():
    matched, fresh = [0.9, 0.4, 0.0], [0.0, 0.0, 0.5]

    picks = pick(slate(3), [matched, fresh], {0: 1, 1: 1}, sent=[0], length=1)

    assert pairs(picks) == [(2, 1)]


def test_weak_relevance_takes_no_place_from_a_match():
    good, chance = [1.0] * 12 + [0.0], [0.0] * 12 + [0.15]

    picks = pick(slate(13), [good, chance], {0: 1, 1: 1}, length=10)

    assert 12 not in papers(picks)


def test_pins_lead_in_order():
    picks = pick(slate(5, pin=[0, 0, 2, 0, 1]), [0, 0.9, 0, 0, 0], {0: 1}, length=4)

    assert papers(picks) == [4, 2, 1, 0]


def test_a_short_digest_holds_the_first_pins():
    picks = pick(slate(4, pin=[0, 2, 3, 1]), [], {}, length=2)

    assert papers(picks) == [3, 1]


def test_sent_paper_is_not_picked_even_when_pinned():
    picks = pick(slate(3, pin=[1, 0, 0]), [], {}, sent=[0])

    assert papers(picks) == [1, 2]


def test_mute_beats_pin():
    picks = pick(slate(3, pin=[1, 0, 0]), [0.9, 0, 0], {0: -1})

    assert papers(picks) == [1, 2]


def test_hide_beats_pin_and_boost():
    picks = pick(
        slate(3, pin=[1, 0, 0], boost=[0, 2, 0], hidden=[True, True, False]), [], {}
    )

    assert papers(picks) == [2]


def test_boost_beats_score_among_matches():
    picks = pick(slate(4, boost=[0, 0, 1, 2]), [0.9, 0.8, 0.3, 0], {0: 1})

    assert papers(picks) == [2, 0, 1, 3]


def test_a_negative_boost_moves_a_paper_down():
    picks = pick(slate(3, boost=[-1, 0, 0]), [], {})

    assert papers(picks) == [1, 2, 0]


def test_paper_below_the_mute_threshold_is_penalised():
    liked, disliked = [0.8, 0.7], [0.5, 0.0]

    picks = pick(slate(2), [liked, disliked], {0: 1, 1: -1})

    assert papers(picks) == [1, 0]


def test_penalised_paper_loses_its_interests_first_place():
    liked, disliked = [0.8, 0.8, 0.75], [0.5, 0.0, 0.0]

    picks = pick(slate(3), [liked, disliked], {0: 1, 1: -1}, length=2)

    assert papers(picks) == [1, 2]


def test_trending_paper_below_the_mute_threshold_is_penalised():
    picks = pick(slate(2, trend=[0.6, 0.5]), [0.5, 0.0], {0: -1})

    assert pairs(picks) == [(1, TRENDING), (0, TRENDING)]


def test_weak_relevance_to_a_mute_is_not_penalised():
    liked, disliked = [0.8, 0.75], [MATCH_THRESHOLD - 0.01, 0.0]

    picks = pick(slate(2), [liked, disliked], {0: 1, 1: -1})

    assert papers(picks) == [0, 1]


def test_a_weight_scales_its_interest():
    picks = pick(slate(2), [[0.9, 0.0], [0.0, 0.6]], {0: 0.5, 1: 1})

    assert papers(picks) == [1, 0]


def test_mute_threshold_is_inclusive_at_any_precision():
    # 0.9 is a little less in single than in double precision.
    picks = pick(slate(2), [0.9, 0.0], {0: -1}, mute_from=0.9)

    assert papers(picks) == [1]


def test_empty_edition_gives_no_picks():
    assert pick(slate(0), [], {}) == []


def test_paper_below_the_match_threshold_is_a_trending_pick():
    relevance = np.array([[MATCH_THRESHOLD - 0.01, MATCH_THRESHOLD]], np.float32)
    block = Block(csr_matrix([[1.0]]), [[]], [2])

    picks = select(slate(2), claim_all(relevance, [0.5]), block)[0]

    assert picks == [Choice(1, 0, True), Choice(0, TRENDING)]


HALF, ONLY_MINE = (2, 4), (0, 0)


def test_half_of_the_digest_is_trending_in_fill_mode_half():
    picks = pick(slate(8), [0] * 4 + [0.9] * 4, {0: 1}, length=4, trending=HALF)

    assert pairs(picks) == [(4, 0), (5, 0), (0, TRENDING), (1, TRENDING)]


def test_reserved_trending_places_prefer_nearer_papers():
    world = slate(3, trend=[0.52, 0.5, 0.1])

    picks = pick(world, [0, 0.15, 0.9], {0: 1}, length=2, trending=(1, 2))

    assert pairs(picks) == [(2, 0), (1, TRENDING)]


def test_match_is_never_a_trending_pick():
    picks = pick(slate(3), [0.9, 0.9, 0], {0: 1}, length=2, trending=(1, 2))

    assert pairs(picks) == [(0, 0), (2, TRENDING)]


def test_unused_trending_places_go_to_matches():
    picks = pick(slate(4), [0, 0.9, 0.8, 0.7], {0: 1}, length=4, trending=HALF)

    assert pairs(picks) == [(1, 0), (2, 0), (3, 0), (0, TRENDING)]


def test_followed_only_digest_may_be_short_or_empty():
    picks = pick(slate(3), [0.9, 0, 0.15], {0: 1}, trending=ONLY_MINE)
    nothing = pick(slate(3), [0, 0, 0.15], {0: 1}, trending=ONLY_MINE)

    assert pairs(picks) == [(0, 0)]
    assert nothing == []


def test_pin_is_in_a_followed_only_digest():
    picks = pick(slate(2, pin=[0, 1]), [0, 0], {0: 1}, trending=ONLY_MINE)

    assert pairs(picks) == [(1, TRENDING)]


def test_pins_take_places_from_both_halves():
    world = slate(9, pin=[1, 2, 0, 0, 0, 0, 0, 0, 0])

    picks = pick(world, [0] * 5 + [0.9] * 4, {0: 1}, length=6, trending=(3, 6))

    assert pairs(picks) == [(0, -1), (1, -1), (5, 0), (6, 0), (2, -1), (3, -1)]


def test_trending_places_are_reserved_before_interests_share_the_rest():
    row = np.eye(2).repeat(20, axis=1)

    picks = pick(slate(40), row, {0: 0.9, 1: 0.3}, length=10, trending=(6, 10))

    assert sum(c >= 20 for c in papers(picks)) == 1  # a quarter of four


def test_short_digest_holds_no_near_duplicates():
    world = slate(3, near_duplicate=[1, 1, 2])

    picks = pick(world, [0.9, 0.8, 0], {0: 1}, trending=ONLY_MINE)

    assert papers(picks) == [0]


def test_short_digest_may_exceed_the_author_group_limit():
    world = slate(5, author_group=[1] * 5)

    picks = pick(world, [0.9] * 4 + [0], {0: 1}, trending=ONLY_MINE)

    assert papers(picks) == [0, 1, 2, 3]


def test_full_digest_takes_near_duplicates_last():
    world = slate(4, near_duplicate=[1, 1, 2, 3])

    picks = pick(world, [0.9, 0.8, 0, 0], {0: 1}, length=3)

    assert papers(picks) == [0, 2, 3]
