"""Trend: how much attention a paper gets, compared within its own field."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

# Weight of ln(1 + x) of each signal. Upvotes alone order the next morning best (top5 .859
# on the recorded days); comments at .3 cost nothing, stars at more than .1 mislead: they
# belong to the code repository and most papers have none.
WEIGHTS = {
    "upvotes": 1.0,  # votes, latest count
    "comments": 0.3,  # comments, latest count
    "stars": 0.1,  # stars of the repository, latest count
    "clicks": 0.5,  # our readers' clicks, summed over days; unmeasured, hence half a vote
}
GROWTH_WEIGHT = 0.1  # of ln(1 + votes per day)
GROWTH_SPAN_HOURS = 6.0  # two looks closer than this say nothing about a day's growth
# What a paper has on its first day without any signal: less than one vote.
RECENCY = 0.5
OFFSET_HOURS = 24.0  # age added before decay, so that the first day is nearly flat
GRAVITY = 0.8  # power of the decay
SHRINKAGE = 20.0  # papers a category needs before its own percentile weighs half


@dataclass(frozen=True)
class Attention:
    """What is known of one paper's attention at one moment.

    `counts` maps a kind of WEIGHTS to its latest count; `growth` is votes per day.
    `expected` is what `promise` expects of the paper; it counts while there is no vote.
    """

    category: str
    age_hours: float
    counts: dict[str, float] = field(default_factory=dict)
    growth: float = 0.0
    expected: float = 0.0


@dataclass(frozen=True)
class Trend:
    """A score in (0, 1) and the parts it was made of, to be stored beside it."""

    score: float
    breakdown: dict[str, float]


def growth(counts: Iterable[tuple[datetime, float]]) -> float:
    """Votes per day between the last count and the latest one at least 6 h before it.

    Zero where no such pair exists; un-votes count as no growth.
    """
    rows = sorted(counts)
    if not rows:
        return 0.0
    last_at, last = rows[-1]
    for at, value in reversed(rows[:-1]):
        hours = (last_at - at).total_seconds() / 3600
        if hours >= GROWTH_SPAN_HOURS:
            return max(0.0, last - value) * 24 / hours
    return 0.0


def parts(paper: Attention) -> dict[str, float]:
    """Σ wᵢ·ln(1+xᵢ) part by part, and `raw`: their sum plus recency, decayed by age.

    raw = (Σ wᵢ·ln(1+xᵢ) + recency) · (24 / (age_h + 24))^0.8, the shape ResearchHub
    uses; half-day decays of the news sites are too fast for a daily mail. A paper without
    votes has what may be expected of it in their place, always less than one vote.
    """
    found = {
        kind: weight * math.log1p(max(0.0, paper.counts.get(kind, 0.0)))
        for kind, weight in WEIGHTS.items()
    }
    found["growth"] = GROWTH_WEIGHT * math.log1p(max(0.0, paper.growth))
    found["expected"] = 0.0 if found["upvotes"] else paper.expected
    attention = sum(found.values())
    age = max(0.0, paper.age_hours)
    decay = (OFFSET_HOURS / (age + OFFSET_HOURS)) ** GRAVITY
    raw = (attention + RECENCY) * decay
    return {**found, "recency": RECENCY, "age_hours": age, "raw": raw}


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
    found = [parts(paper) for paper in papers]
    # Rounded so that the same attention is the same number however it was summed.
    raw = [round(part["raw"], 6) for part in found]
    overall = percentiles(raw)
    within, sizes = _within([paper.category for paper in papers], raw)
    return [
        _trend(part, within[i], overall[i], sizes[i]) for i, part in enumerate(found)
    ]


def _trend(part: dict[str, float], within: float, overall: float, size: int) -> Trend:
    score = (size * within + SHRINKAGE * overall) / (size + SHRINKAGE)
    breakdown = {**part, "category": within, "overall": overall, "papers": size}
    return Trend(score, {name: round(value, 4) for name, value in breakdown.items()})


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
