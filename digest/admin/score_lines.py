"""Show an editor the numbers of a trend and of a choice, line by line.

The lines above a sum add up to it.
"""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from accounts.models import Subscriber
from digest.models import Candidate, Follow, Interest
from digest.ranking.score_breakdown import MATCH_THRESHOLD, SCALE
from digest.ranking.trend import (
    GRAVITY,
    OFFSET_HOURS,
    SHRINKAGE_PAPERS,
    WEIGHTS,
)
from digest.reasons import display_name

if TYPE_CHECKING:  # imports numpy, which the web process does not need at start
    from digest.ranking.placement import Part, Placement

MAX_NAMED_PAPERS = 3  # of a group
MAX_TITLE_CHARS = 60
SAMPLE_NAMES = {"upvotes": "votes", "clicks": "clicks of our readers"}

Names = dict[str, str]


class Line(NamedTuple):
    """A row of a table of numbers; `is_sum`: the lines above add up to it."""

    name: str
    number: float
    words: str = ""
    is_sum: bool = False


class InterestLine(NamedTuple):
    """What one interest makes of a paper."""

    name: str
    kind: str
    weight: float
    relevance: float
    counts: float
    words: str
    is_mute: bool


def trend_lines(candidate: Candidate) -> list[Line]:
    parts: Mapping[str, float] = candidate.breakdown
    if "raw" not in parts:  # a candidate that was never ranked
        return [Line("trend", candidate.trend, is_sum=True)]
    attention = list(_attention(parts))
    days = parts["age_hours"] / 24
    decay = (OFFSET_HOURS / (parts["age_hours"] + OFFSET_HOURS)) ** GRAVITY
    field = candidate.card.get("primary") or "no category"
    n, p, g = parts["papers"], parts["category"], parts["overall"]
    return [
        *attention,
        Line("attention", sum(line.number for line in attention), is_sum=True),
        Line("age, a factor", decay, f"announced {_days(days)} before"),
        Line("compared by", parts["raw"], is_sum=True),
        Line(f"in {field}", p, f"p: the share of its {n:.0f} papers below it"),
        Line("in the edition", g, "g: the share of all its papers below it"),
        Line(
            "trend",
            candidate.trend,
            f"(n · p + {SHRINKAGE_PAPERS:g} · g) / (n + {SHRINKAGE_PAPERS:g}), n = {n:.0f}",
            is_sum=True,
        ),
    ]


def _attention(parts: Mapping[str, float]) -> Iterator[Line]:
    for kind, weight in WEIGHTS.items():
        if parts[kind] or kind == "upvotes":
            count = _about(math.expm1(parts[kind] / weight))
            words = f"{weight:g} · ln(1 + {count})"
            yield Line(SAMPLE_NAMES.get(kind, kind), parts[kind], words)
    if parts["growth"]:
        yield Line("growth", parts["growth"], "votes gained a day")
    if parts.get("expected"):
        words = "no vote yet: what similar papers and its authors got"
        yield Line("expected", parts["expected"], words)
    yield Line("every paper", parts["recency"], "so that a new paper is never at 0")


def _about(count: float) -> str:
    """A count from four decimals of its logarithm."""
    digits = max(len(str(round(count))) - 3, 0)
    return f"{round(count, -digits):,.0f}"


def _days(days: float) -> str:
    return f"{days:.0f} day{'' if days == 1 else 's'}"


def score_lines(placement: "Placement", names: Names) -> list[Line]:
    score = placement.score
    lines = list(
        _match_lines(placement, names) if score.is_match else _trending_lines(placement)
    )
    if score.penalty:
        words = "half of its relevance to a muted interest"
        lines.append(Line("pushed down", -score.penalty / SCALE, words))
    return [*lines, Line("score", score.total / SCALE, is_sum=True)]


def _match_lines(placement: "Placement", names: Names) -> Iterator[Line]:
    score = placement.score
    ordering = [part for part in placement.parts if part.orders]
    best = max(ordering, key=lambda part: part.score.match)
    words = f"weight · relevance of {interest_name(best, names)}"
    yield Line("best match", score.match / SCALE, words)
    weight = score.trend_bonus / score.trend if score.trend else 0
    words = f"{weight:.2g} · {score.trend / SCALE:.4f}{_weekly_note(placement)}"
    yield Line("trend", score.trend_bonus / SCALE, words)


def _weekly_note(placement: "Placement") -> str:
    """Say where a weekly reader's trend differs from everybody's."""
    differs = placement.score.trend != round(placement.candidate.trend * SCALE)
    return ", compared within the week" if differs else ""


def _trending_lines(placement: "Placement") -> Iterator[Line]:
    score = placement.score
    words = f"no interest matches{_weekly_note(placement)}"
    yield Line("trend", score.trend / SCALE, words)
    if score.hint:
        words = f"half of its best relevance, below {MATCH_THRESHOLD:g}"
        yield Line("nearness", score.hint / SCALE, words)


def interest_lines(placement: "Placement", names: Names) -> list[InterestLine]:
    return [
        InterestLine(
            interest_name(part, names),
            part.interests[0].get_kind_display(),
            part.weight,
            part.relevance,
            (part.score.match or -part.score.penalty) / SCALE,
            _effect(part),
            part.weight < 0,
        )
        for part in placement.parts
        if part.relevance
    ]


def interest_name(part: "Part", names: Names) -> str:
    """Name an interest, or the first papers of a group."""
    shown = part.interests[:MAX_NAMED_PAPERS]
    titles = "; ".join(_truncate(display_name(i, names)) for i in shown)
    more = len(part.interests) - len(shown)
    return f"{titles}; and {more} more" if more else titles


def _truncate(name: str) -> str:
    if len(name) <= MAX_TITLE_CHARS:
        return name
    return f"{name[: MAX_TITLE_CHARS - 1].rstrip()}…"


def _effect(part: "Part") -> str:
    """Say what the interest does to the paper."""
    if part.mutes:
        return f"mutes it from {part.mute_from:g}"
    if part.weight < 0:
        return "below its mute threshold: pushes down" if part.score.penalty else "none"
    opened = "opened, not chosen; " if part.opened else ""
    places = "" if part.orders else "for reserved places only; "
    if part.is_claimed:
        return f"{opened}{places}may be claimed"
    if part.score.match:
        return f"{opened}{places}near: chosen, but not claimed"
    return f"{opened}{places}below {MATCH_THRESHOLD:g}: orders trending papers only"


def verdict(placement: "Placement", reader: Subscriber, names: Names) -> list[str]:
    """Say why the paper is in the reader's next digest or not; every reason that holds."""
    if placement.place:
        return [f"Number {placement.place} of the digest as it would be chosen now."]
    return list(_exclusions(placement, names)) or [_crowded_out(placement, reader)]


def _exclusions(placement: "Placement", names: Names) -> Iterator[str]:
    if placement.was_sent:
        yield "Already sent: a digest of the last 14 editions holds it."
    if placement.own_follow:
        yield _own_follow_text(placement.own_follow)
    for part in placement.parts:
        if part.mutes:
            yield f"The reader mutes {interest_name(part, names)}."
    if placement.candidate.is_hidden:
        yield "An editor hid it."
    if placement.is_recalled:
        yield "It was recalled."


def _own_follow_text(follow: Follow) -> str:
    if follow.weight <= 0:
        return "The reader asked for less like this very paper."
    if follow.source == Follow.Source.OPENED:
        return "The reader opened it from an earlier digest."
    return "It is one of the reader's own example papers."


def _crowded_out(placement: "Placement", reader: Subscriber) -> str:
    if placement.duplicate_place:
        return (
            f"Nearly the same text as number {placement.duplicate_place} of the digest."
        )
    if placement.author_group_is_full:
        return f"The digest already has {placement.author_group_size} papers of the same author group."
    followed_only = (
        reader.fill_mode == Subscriber.FillMode.FOLLOWED_ONLY
        and placement.only_followed
    )
    if followed_only and not placement.score.is_match:
        return "No interest matches, and the reader wants only what they follow."
    return f"{placement.before} of {placement.open} available papers score better, and the digest holds {placement.length}."


def placement_context(
    placement: "Placement", reader: Subscriber, names: Names
) -> dict[str, Any]:
    lines = interest_lines(placement, names)
    return {
        "placement": placement,
        "verdict": verdict(placement, reader, names),
        "sum": score_lines(placement, names),
        "interests": lines,
        "silent": len(placement.parts) - len(lines),
        "trend": trend_lines(placement.candidate),
    }


def all_interests(placement: "Placement") -> list[Interest]:
    return [interest for part in placement.parts for interest in part.interests]
