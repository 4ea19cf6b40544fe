"""Score one paper for one reader in plain numbers.

`selection` computes the same for a whole block with arrays; a placement in the admin
and the tests that check the fast path use these functions. All scores but the boost are
whole steps of SCALE, so that both agree exactly. A digest's order differs from `order` only
by pins, by the places that each interest has, and by near-duplicates and author groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SCALE = 1_000_000  # steps of a score from 0 to 1; fewer would tie distant papers
# Relevance from which a paper is chosen for an interest before any trending paper. Whether
# a mail claims the interest is decided apart from the order, in `relevance`.
MATCH_THRESHOLD = 0.2
TREND_BONUS = 0.15  # what the most trending paper gains on an equally relevant one
# Share of the relevance below the threshold that is added to the trend of a paper that
# fills the mail: the trending papers nearest to the reader come first.
HINT_WEIGHT = 0.5
# Share of the relevance to a muted interest that is taken away below its mute threshold.
MUTE_PENALTY = 0.5
# Weight of a sentence-transformer beside the other parts of likeness to examples, see
# `relevance`.
DENSE_WEIGHT = 2.0


@dataclass(frozen=True)
class RankingWeights:
    """What a ranking setting may change; the defaults are the evaluated ones.

    `centroid`, `nearest` and `sentences` weigh the parts of likeness to example papers,
    beside words with weight 1.
    """

    trend: float = TREND_BONUS
    centroid: float = 1.0
    nearest: float = 1.0
    sentences: float = DENSE_WEIGHT


DEFAULT_WEIGHTS = RankingWeights()


@dataclass(frozen=True)
class InterestScore:
    """What one interest says of a paper.

    `match` counts where the paper is relevant to the interest, `hint` where it comes for
    its trend, and `penalty` is what a mute below its threshold takes away.
    """

    match: int
    hint: int
    penalty: int


@dataclass(frozen=True)
class PaperScore:
    """The best of a reader's interests for a paper, and what is added to it."""

    match: int
    hint: int
    penalty: int
    trend: int
    trend_bonus: int
    boost: int

    @property
    def is_match(self) -> bool:
        return self.match > self.penalty

    @property
    def total(self) -> int:
        if self.is_match:
            return self.match + self.trend_bonus - self.penalty
        return self.trend + self.hint - self.penalty

    @property
    def order(self) -> tuple[bool, int, int]:
        """Lower comes first: matches, then by boost, then by total."""
        return not self.is_match, -self.boost, -self.total


def score_interest(weight: float, relevance: float) -> InterestScore:
    matches = relevance >= MATCH_THRESHOLD
    if weight < 0:
        penalty = to_steps(relevance * -weight * MUTE_PENALTY)
        return InterestScore(0, 0, penalty if matches else 0)
    score = to_steps(relevance * weight)
    return InterestScore(score if matches else 0, int(score * HINT_WEIGHT), 0)


def score_paper(
    interests: Sequence[InterestScore],
    trend: float,
    boost: int,
    trend_weight: float = TREND_BONUS,
) -> PaperScore:
    """Combine all interests of a reader for one paper, whose trend is in [0, 1]."""
    return PaperScore(
        max((score.match for score in interests), default=0),
        max((score.hint for score in interests), default=0),
        max((score.penalty for score in interests), default=0),
        to_steps(trend),
        to_steps(trend * trend_weight),
        boost,
    )


def is_muted(weight: float, relevance: float, threshold: float) -> bool:
    return weight < 0 and to_steps(relevance) >= to_steps(threshold)


def to_steps(score: float) -> int:
    return round(score * SCALE)  # half to even, as numpy does
