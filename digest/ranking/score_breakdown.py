"""Account: what selection makes of one paper for one reader, number by number.

The same arithmetic as `selection`, written out for a single paper, so that an editor can
add it up. Selection sorts by `order`; that a digest's places differ is the work of its
pins, of the places that each interest has, and of near-duplicates and groups of authors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from digest.ranking.selection import (
    CLAIM_THRESHOLD,
    HINT_WEIGHT,
    MUTE_PENALTY,
    SCALE,
    TREND_BONUS,
)


@dataclass(frozen=True)
class Claim:
    """What one interest says of the paper; whole steps of selection's SCALE, all but the boost.

    `match` counts where the interest may be claimed as the reason, `hint` where the paper
    comes for its trend, and `push` is how far a mute that does not reach pushes it down.
    """

    match: int
    hint: int
    push: int


@dataclass(frozen=True)
class Account:
    """The best of a reader's claims on a paper, and what is added to it."""

    match: int
    hint: int
    push: int
    trend: int
    prior: int
    boost: int

    @property
    def is_claimed(self) -> bool:
        """Whether an interest is the reason, rather than the trend."""
        return self.match > self.push

    @property
    def total(self) -> int:
        if self.is_claimed:
            return self.match + self.prior - self.push
        return self.trend + self.hint - self.push

    @property
    def order(self) -> tuple[bool, int, int]:
        """Lower comes first: claimed papers, then by boost, then by total."""
        return not self.is_claimed, -self.boost, -self.total


def claim(weight: float, relevance: float) -> Claim:
    """What an interest of this weight makes of a paper that is so relevant to it."""
    if weight < 0:
        pushes = (
            relevance >= CLAIM_THRESHOLD
        )  # what is hardly alike may be so by chance
        return Claim(0, 0, _whole(relevance * -weight * MUTE_PENALTY) if pushes else 0)
    raw = _whole(relevance * weight)
    return Claim(raw if relevance >= CLAIM_THRESHOLD else 0, int(raw * HINT_WEIGHT), 0)


def account(claims: Sequence[Claim], trend: float, boost: int) -> Account:
    """All claims of a reader on one paper, whose trend is in [0, 1]."""
    return Account(
        max((one.match for one in claims), default=0),
        max((one.hint for one in claims), default=0),
        max((one.push for one in claims), default=0),
        _whole(trend),
        _whole(trend * TREND_BONUS),
        boost,
    )


def _whole(score: float) -> int:
    return round(score * SCALE)  # half to even, as numpy does
