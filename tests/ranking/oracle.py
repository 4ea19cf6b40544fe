"""The selection written out reader by reader in plain Python: slow, and plainly right."""

from digest.ranking.selection import (
    CLAIMED_FROM,
    GUARANTEED,
    MOST_PINS,
    PUSH_DOWN,
    REPRESENTED_FROM,
    SCALE,
    TREND_PRIOR,
    TRENDING,
    Choice,
)


def whole(score):
    return round(score * SCALE)  # half to even, as numpy's rint


def choose(slate, relevance, mute_from, follows, sent, length):
    """The picks of one reader; `follows` maps an interest's index to its weight."""
    liked = [i for i in sorted(follows) if follows[i] > 0]
    muted = [i for i in sorted(follows) if follows[i] < 0]

    def match(i, c):
        found = float(relevance[i][c])
        return whole(found * follows[i]) if found >= CLAIMED_FROM else 0

    def push(c):
        return max(
            [whole(float(relevance[i][c]) * -follows[i] * PUSH_DOWN) for i in muted]
            + [0]
        )

    def best(c):
        return max([match(i, c) for i in liked] + [0])

    def tie(c):
        return (-whole(float(slate.trend[c])), int(slate.ids[c]))

    def order(c, matched):
        """Sorts the better paper first."""
        if matched > push(c):
            score = matched + whole(float(slate.trend[c]) * TREND_PRIOR) - push(c)
            return (0, -int(slate.boost[c]), -score, tie(c))
        return (
            1,
            -int(slate.boost[c]),
            -(whole(float(slate.trend[c])) - push(c)),
            tie(c),
        )

    def allowed(c):
        if c in sent or slate.hidden[c]:
            return False
        return not any(
            whole(float(relevance[i][c])) >= whole(mute_from[i]) for i in muted
        )

    def reason(c):
        if best(c) <= push(c):
            return TRENDING
        return min(i for i in liked if match(i, c) == best(c))

    left = [c for c in range(len(slate.ids)) if allowed(c)]
    pinned = sorted(
        (c for c in range(len(slate.ids)) if slate.pin[c]),
        key=lambda c: (slate.pin[c], tie(c)),
    )
    picked = [c for c in pinned[:MOST_PINS] if c in left][:length]
    left = [c for c in left if c not in picked]

    rest = []
    for turn in range(GUARANTEED):
        offers = []
        for i in liked:
            good = [c for c in left if match(i, c) - push(c) >= REPRESENTED_FROM]
            good.sort(key=lambda c: order(c, match(i, c)))
            if len(good) > turn:
                offers.append((order(good[turn], match(i, good[turn])), good[turn]))
        for _, c in sorted(offers):
            if c not in rest and len(picked) + len(rest) < length:
                rest.append(c)
    for c in sorted(left, key=lambda c: order(c, best(c))):
        if c not in rest and len(picked) + len(rest) < length:
            rest.append(c)

    picked += sorted(rest, key=lambda c: order(c, best(c)))
    return [Choice(c, reason(c)) for c in picked]
