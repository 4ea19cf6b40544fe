"""The selection written out reader by reader in plain Python: slow, and plainly right."""

import math

from digest.ranking.selection import (
    CLAIM_THRESHOLD,
    HINT_WEIGHT,
    MAX_PER_AUTHOR_GROUP,
    MAX_PINS,
    MAX_PLACES_PER_INTEREST,
    MUTE_PENALTY,
    SCALE,
    TREND_BONUS,
    TRENDING,
    Choice,
)


def whole(score):
    return round(score * SCALE)  # half to even, as numpy's rint


def choose(slate, relevance, mute_from, follows, sent, length, trending):
    """The picks of one reader; `follows` maps an interest's index to its weight.

    `trending`: the least and the most picks that no interest claims.
    """
    liked = [i for i in sorted(follows) if follows[i] > 0]
    muted = [i for i in sorted(follows) if follows[i] < 0]
    everything = range(len(slate.ids))

    def raw(i, c):
        return whole(float(relevance[i][c]) * follows[i])

    def match(i, c):
        return raw(i, c) if float(relevance[i][c]) >= CLAIM_THRESHOLD else 0

    def push(c):
        like = [i for i in muted if float(relevance[i][c]) >= CLAIM_THRESHOLD]
        return max(
            [whole(float(relevance[i][c]) * -follows[i] * MUTE_PENALTY) for i in like]
            + [0]
        )

    def tie(c):
        return (-whole(float(slate.trend[c])), int(slate.ids[c]))

    def order(c, interests):
        """Sorts the better paper first, for a reader who has only these interests."""
        matched = max([match(i, c) for i in interests] + [0])
        boost, trend = -int(slate.boost[c]), float(slate.trend[c])
        if matched > push(c):
            return (0, boost, -(matched + whole(trend * TREND_BONUS) - push(c)), tie(c))
        hint = max([int(raw(i, c) * HINT_WEIGHT) for i in interests] + [0])
        return (1, boost, -(whole(trend) + hint - push(c)), tie(c))

    def allowed(c):
        if c in sent or slate.hidden[c]:
            return False
        return not any(
            whole(float(relevance[i][c])) >= whole(mute_from[i]) for i in muted
        )

    def reason(c):
        best = max([match(i, c) for i in liked] + [0])
        if best <= push(c):
            return TRENDING
        return min(i for i in liked if match(i, c) == best)

    picked = []

    def open_to(c, places):
        return allowed(c) and c not in picked and len(picked) < places

    def of_a_full_circle(c):
        circle = [p for p in picked if slate.author_group[p] == slate.author_group[c]]
        return len(circle) >= MAX_PER_AUTHOR_GROUP

    def has_a_twin(c):
        return any(slate.near_duplicate[p] == slate.near_duplicate[c] for p in picked)

    pinned = sorted(
        (c for c in everything if slate.pin[c] and not slate.hidden[c]),
        key=lambda c: (slate.pin[c], tie(c)),
    )
    for c in pinned[:MAX_PINS]:
        if open_to(c, length):
            picked.append(c)
    leading = list(picked)

    def different(c):
        return not has_a_twin(c) and not of_a_full_circle(c)

    def take(c, places):
        if open_to(c, places) and different(c):
            picked.append(c)
        return c in picked

    least, most = trending
    kept = least * (length - len(leading)) // length if length else 0

    claimed = {
        i: [c for c in everything if match(i, c) > push(c) and allowed(c)]
        for i in liked
    }
    lists = {
        i: sorted(found, key=lambda c: order(c, [i]))
        for i, found in claimed.items()
        if found
    }
    served = sorted(lists, key=lambda i: order(lists[i][0], [i]))
    total = sum(follows[i] for i in liked)
    for turn in range(MAX_PLACES_PER_INTEREST):
        for i in served:
            share = math.floor(follows[i] / total * (length - least) + 1e-9)
            if max(1, share) > turn:
                while lists[i] and not take(lists[i].pop(0), length - kept):
                    pass

    best_first = sorted(everything, key=lambda c: order(c, liked))
    followed = [c for c in best_first if reason(c) != TRENDING]
    others = [c for c in best_first if reason(c) == TRENDING]
    came = []  # for their trend

    def take_trending(allow):
        for c in others:
            if len(came) < most and open_to(c, length) and allow(c):
                picked.append(c)
                came.append(c)

    def take_followed(allow, places):
        for c in followed:
            if open_to(c, places) and allow(c):
                picked.append(c)

    take_followed(different, length - kept)
    take_trending(different)
    take_followed(different, length)
    take_followed(lambda c: not has_a_twin(c), length)
    take_trending(lambda c: not has_a_twin(c))
    if most >= length:
        take_followed(lambda c: True, length)
        take_trending(lambda c: True)

    rest = [c for c in picked if c not in leading]
    picked = leading + sorted(rest, key=lambda c: order(c, liked))
    return [Choice(c, reason(c)) for c in picked]
