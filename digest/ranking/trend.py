"""Trend: how much attention a paper gets, compared within its own field."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

# Weights of ln(1 + count). Comments and stars cost up to .026 of top5 in 2026.
WEIGHTS = {
    "upvotes": 1.0,  # votes, latest count
    "clicks": 0.5,  # our readers' clicks, summed over days; unmeasured, hence half a vote
}
# Weight of ln(1 + votes gained a day): of two papers with as many votes, the one that still
# gains them ends higher. Chosen on `trend` and `trend_2026`, where a quarter gains .006 and .015
# of top5 on votes alone, and .2 and .35 gain less.
GROWTH_WEIGHT = 0.25
# Two samples closer than this say nothing about a day's growth.
MIN_GROWTH_HOURS = 6.0
# What a paper has on its first day without any sample: less than one vote.
RECENCY = 0.5
OFFSET_HOURS = 24.0  # age added before decay, so that the first day is nearly flat
GRAVITY = 0.8  # power of the decay
WEEK_HOURS = 6 * 24.0  # up to this age a paper is of the week that ends with the day
# Papers that a category needs before its own percentile weighs half.
SHRINKAGE_PAPERS = 20.0


@dataclass(frozen=True)
class Attention:
    """One paper's attention at one moment.

    `counts` maps kinds of samples to their latest count; `growth` is votes per day.
    `expected` is the attention prior, which counts while there is no vote.
    """

    category: str
    age_hours: float
    counts: dict[str, float] = field(default_factory=dict)
    growth: float = 0.0
    expected: float = 0.0


@dataclass(frozen=True)
class Trend:
    """A score in (0, 1) and its parts, which are stored beside it."""

    score: float
    breakdown: dict[str, float]


def growth(counts: Iterable[tuple[datetime, float]]) -> float:
    """Votes per day between the last count and the latest one at least 6 h before it.

    Zero where no such pair exists; withdrawn votes count as no growth.
    """
    rows = sorted(counts)
    if not rows:
        return 0.0
    last_at, last = rows[-1]
    for at, value in reversed(rows[:-1]):
        hours = (last_at - at).total_seconds() / 3600
        if hours >= MIN_GROWTH_HOURS:
            return max(0.0, last - value) * 24 / hours
    return 0.0


def parts(paper: Attention) -> dict[str, float]:
    """Σ wᵢ·ln(1+xᵢ) part by part, and `raw`: their sum plus recency, decayed by age.

    raw = (Σ wᵢ·ln(1+xᵢ) + recency) · (24 / (age_h + 24))^0.8, the shape ResearchHub
    uses; half-day decays of the news sites are too fast for a daily mail. A paper without
    votes has its prior instead, always less than one vote.
    """
    scores = {
        kind: weight * math.log1p(max(0.0, paper.counts.get(kind, 0.0)))
        for kind, weight in WEIGHTS.items()
    }
    scores["growth"] = GROWTH_WEIGHT * math.log1p(max(0.0, paper.growth))
    scores["expected"] = 0.0 if scores["upvotes"] else paper.expected
    attention = sum(scores.values())
    age = max(0.0, paper.age_hours)
    raw = (attention + RECENCY) * _decay(age)
    return {**scores, "recency": RECENCY, "age_hours": age, "raw": raw}


def _decay(age: float) -> float:
    return math.pow(OFFSET_HOURS / (age + OFFSET_HOURS), GRAVITY)


def percentiles(values: Sequence[float]) -> list[float]:
    """The share of `values` below each, equal ones counting half: in (0, 1).

    A single value is at the middle: alone it is neither high nor low.
    """
    ordered = sorted(values)
    return [
        (bisect_left(ordered, value) + bisect_right(ordered, value))
        / (2 * len(ordered))
        for value in values
    ]


def trend(papers: Sequence[Attention]) -> list[Trend]:
    """The trend of each paper among all of them, in their order.

    score = (n·p + 20·g) / (n + 20), where p is the percentile of `raw` within the primary
    category of n papers and g the one over all: large fields do not drown small ones, and
    a category of two is not a contest. A paper without signals keeps its recency, so it
    stands above 0 and below every paper of its age that has attention.
    """
    breakdowns = [parts(paper) for paper in papers]
    # Rounded, so that equal attention is equal in any order of summation.
    raw = [round(breakdown["raw"], 6) for breakdown in breakdowns]
    standings = _standings([paper.category for paper in papers], raw)
    return [_trend(*pair) for pair in zip(breakdowns, standings, strict=True)]


def of_the_week(papers: Sequence[tuple[str, Mapping[str, float]]]) -> list[float]:
    """Score papers for weekly readers, to whom all papers of the week are of one age.

    Takes categories and the breakdowns of `trend`. Older papers keep their decay, so that
    last week's papers do not come back.
    """
    raw = [
        part["raw"] / (_decay(part["age_hours"]) if _is_of_the_week(part) else 1)
        for _, part in papers
    ]
    standings = _standings([category for category, _ in papers], raw)
    return [standing.score for standing in standings]


def _is_of_the_week(part: Mapping[str, float]) -> bool:
    return part["age_hours"] <= WEEK_HOURS


@dataclass(frozen=True)
class _Standing:
    """A paper's percentile within its category of so many, and among all."""

    within: float
    overall: float
    size: int

    @property
    def score(self) -> float:
        parts = self.size * self.within + SHRINKAGE_PAPERS * self.overall
        return parts / (self.size + SHRINKAGE_PAPERS)


def _standings(categories: Sequence[str], raw: Sequence[float]) -> list[_Standing]:
    within, sizes = _within(categories, raw)
    rows = zip(within, percentiles(raw), sizes, strict=True)
    return [_Standing(*row) for row in rows]


def _trend(part: dict[str, float], standing: _Standing) -> Trend:
    places = {"category": standing.within, "overall": standing.overall}
    breakdown = {**part, **places, "papers": standing.size}
    rounded = {name: round(value, 4) for name, value in breakdown.items()}
    return Trend(standing.score, rounded)


def _within(
    categories: Sequence[str], raw: Sequence[float]
) -> tuple[list[float], list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for i, category in enumerate(categories):
        places[category].append(i)
    within, sizes = [0.0] * len(raw), [0] * len(raw)
    for members in places.values():
        ranks = percentiles([raw[i] for i in members])
        for i, rank in zip(members, ranks, strict=True):
            within[i], sizes[i] = rank, len(members)
    return within, sizes
