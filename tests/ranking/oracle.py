"""The selection written out reader by reader in plain Python: slow, and plainly right.

Scores come from `score_breakdown`, which the placement in the admin shares.
"""

import math

from digest.ranking.score_breakdown import (
    is_muted,
    score_interest,
    score_paper,
    to_steps,
)
from digest.ranking.selection import (
    MAX_PER_AUTHOR_GROUP,
    MAX_PINS,
    MAX_PLACES_PER_INTEREST,
    TRENDING,
    Choice,
    Role,
)


def choose(slate, matches, follows, sent, length, trending, roles=()):
    """The picks of one reader; `follows` maps an interest's index to its weight.

    `trending`: the least and the most picks that match no interest.
    """
    candidates = range(len(slate.ids))
    followed = [i for i in sorted(follows) if follows[i] > 0]
    muted = [i for i in sorted(follows) if follows[i] < 0]
    roles = roles or [Role.ORDER_AND_PLACES] * len(matches.relevance)
    ordering = [i for i in followed if roles[i] != Role.PLACES]
    with_places = [i for i in followed if roles[i] != Role.ORDER]

    def relevance(i, c):
        return float(matches.relevance[i][c])

    def score(c, interests):
        scores = [score_interest(follows[i], relevance(i, c)) for i in interests]
        return score_paper(scores, float(slate.trend[c]), int(slate.boost[c]))

    def penalty(c):
        return score(c, muted).penalty

    def match(i, c):
        return score_interest(follows[i], relevance(i, c)).match

    def tie(c):
        return (-to_steps(float(slate.trend[c])), int(slate.ids[c]))

    def order(c, interests):
        """Sorts the better paper first, for a reader who has only these interests."""
        return (*score(c, [*interests, *muted]).order, tie(c))

    def final_order(c):
        """As `order`, and a paper that only a group gave a place is a match too."""
        is_match, *rest = order(c, ordering)
        if is_match and any(match(i, c) > penalty(c) for i in with_places):
            raw = max(to_steps(relevance(i, c) * follows[i]) for i in ordering)
            own = score(c, [])
            total = raw + own.trend_bonus - penalty(c)
            return (False, -own.boost, -total, tie(c))
        return (is_match, *rest)

    def allowed(c):
        if c in sent or slate.hidden[c]:
            return False
        return not any(
            is_muted(follows[i], relevance(i, c), matches.mute_from[i]) for i in muted
        )

    def interest(c):
        """The best interest that matches, if possible one that may be claimed."""
        matching = [i for i in followed if match(i, c) > penalty(c)]
        if not matching:
            return TRENDING
        best = max([match(i, c) for i in ordering])
        first = min(
            (i for i in ordering if match(i, c) == best and best > penalty(c)),
            default=None,
        )
        if first is None:
            raw = {i: to_steps(relevance(i, c) * follows[i]) for i in ordering}
            first = min(i for i in ordering if raw[i] == max(raw.values()))
        if matches.claimed[first][c]:
            return first
        claimed = [i for i in matching if matches.claimed[i][c]]
        return min(claimed, key=lambda i: (-match(i, c), i), default=first)

    def is_trending(c):
        return not any(match(i, c) > penalty(c) for i in followed)

    picked = []

    def is_open(c, places):
        return allowed(c) and c not in picked and len(picked) < places

    def group_is_full(c):
        group = [p for p in picked if slate.author_group[p] == slate.author_group[c]]
        return len(group) >= MAX_PER_AUTHOR_GROUP

    def has_duplicate(c):
        return any(slate.near_duplicate[p] == slate.near_duplicate[c] for p in picked)

    pinned = sorted(
        (c for c in candidates if slate.pin[c] and not slate.hidden[c]),
        key=lambda c: (slate.pin[c], tie(c)),
    )
    for c in pinned[:MAX_PINS]:
        if is_open(c, length):
            picked.append(c)
    leading = list(picked)

    def is_different(c):
        return not has_duplicate(c) and not group_is_full(c)

    def take(c, places):
        if is_open(c, places) and is_different(c):
            picked.append(c)
        return c in picked

    least, most = trending
    kept = least * (length - len(leading)) // length if length else 0

    matching = {
        i: [c for c in candidates if match(i, c) > penalty(c) and allowed(c)]
        for i in with_places
    }
    lists = {
        i: sorted(columns, key=lambda c: order(c, [i]))
        for i, columns in matching.items()
        if columns
    }
    served = sorted(lists, key=lambda i: order(lists[i][0], [i]))
    total = sum(follows[i] for i in with_places)
    for turn in range(MAX_PLACES_PER_INTEREST):
        for i in served:
            share = math.floor(follows[i] / total * (length - least) + 1e-9)
            if max(1, share) > turn:
                while lists[i] and not take(lists[i].pop(0), length - kept):
                    pass

    best_first = sorted(candidates, key=lambda c: order(c, ordering))
    matched = [c for c in best_first if score(c, [*ordering, *muted]).is_match]
    by_group = sorted(candidates, key=lambda c: order(c, with_places))
    matched += [c for c in by_group if score(c, [*with_places, *muted]).is_match]
    others = [c for c in best_first if is_trending(c)]
    came = []  # for their trend

    def take_trending(allow):
        for c in others:
            if len(came) < most and is_open(c, length) and allow(c):
                picked.append(c)
                came.append(c)

    def take_matched(allow, places):
        for c in matched:
            if is_open(c, places) and allow(c):
                picked.append(c)

    take_matched(is_different, length - kept)
    take_trending(is_different)
    take_matched(is_different, length)
    take_matched(lambda c: not has_duplicate(c), length)
    take_trending(lambda c: not has_duplicate(c))
    if most >= length:
        take_matched(lambda c: True, length)
        take_trending(lambda c: True)

    rest = [c for c in picked if c not in leading]
    picked = leading + sorted(rest, key=final_order)
    return [_choice(c, interest(c), matches) for c in picked]


def _choice(candidate, interest, matches):
    claimed = interest != TRENDING and bool(matches.claimed[interest][candidate])
    return Choice(candidate, interest, claimed)
