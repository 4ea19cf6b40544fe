"""Breakdown: the numbers of a trend and of a choice as an editor reads them, line by line.

Each line has a number and what it is; the lines above a sum add up to it.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from accounts.models import Subscriber
from digest.models import Candidate, Follow, Interest
from digest.ranking.explain import Explanation, Part
from digest.ranking.selection import CLAIM_THRESHOLD, SCALE, TREND_BONUS
from digest.ranking.trend import (
    GRAVITY,
    GROWTH_WEIGHT,
    OFFSET_HOURS,
    SHRINKAGE,
    WEIGHTS,
)

NAMED = 3  # papers of a group that are named
TITLE = 60  # characters of each
COUNTED = {"upvotes": "votes", "clicks": "clicks of our readers"}

Names = dict[str, str]


class Line(NamedTuple):
    """A row of a table of numbers; `is_sum`: what stands above it adds up to it."""

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
    """What the trend was made of when it was ranked."""
    parts: Mapping[str, float] = candidate.breakdown
    if "raw" not in parts:  # stored by hand, or before there was a breakdown
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
            f"(n · p + {SHRINKAGE:g} · g) / (n + {SHRINKAGE:g}), n = {n:.0f}",
            is_sum=True,
        ),
    ]


def _attention(parts: Mapping[str, float]) -> Iterator[Line]:
    for kind, weight in WEIGHTS.items():
        if parts[kind] or kind == "upvotes":
            count = _about(math.expm1(parts[kind] / weight))
            words = f"{weight:g} · ln(1 + {count})"
            yield Line(COUNTED.get(kind, kind), parts[kind], words)
    if parts["growth"]:
        votes = math.expm1(parts["growth"] / GROWTH_WEIGHT)
        words = f"{GROWTH_WEIGHT:g} · ln(1 + {votes:.1f} votes a day)"
        yield Line("growth", parts["growth"], words)
    if parts.get("expected"):
        words = "nobody voted yet: what papers like it and by its authors got"
        yield Line("expected", parts["expected"], words)
    yield Line("every paper", parts["recency"], "so that a new one never has nothing")


def _about(count: float) -> str:
    """A count that was kept with four decimals of its logarithm."""
    digits = max(len(str(round(count))) - 3, 0)
    return f"{round(count, -digits):,.0f}"


def _days(days: float) -> str:
    return f"{days:.0f} day{'' if days == 1 else 's'}"


def account_lines(found: Explanation, names: Names) -> list[Line]:
    """How the paper's score for this reader adds up."""
    account = found.account
    lines = list(_claimed(found, names) if account.is_claimed else _trending(found))
    if account.push:
        words = "half of its match with what they mute"
        lines.append(Line("pushed down", -account.push / SCALE, words))
    return [*lines, Line("score", account.total / SCALE, is_sum=True)]


def _claimed(found: Explanation, names: Names) -> Iterator[Line]:
    account = found.account
    best = max(found.parts, key=lambda part: part.claim.match)
    words = f"weight · relevance of {name_of(best, names)}"
    yield Line("best match", account.match / SCALE, words)
    words = f"{TREND_BONUS:g} · {account.trend / SCALE:.4f}{_of_the_week(found)}"
    yield Line("trend", account.prior / SCALE, words)


def _of_the_week(found: Explanation) -> str:
    """Where a reader's trend is not that of everybody."""
    own = found.account.trend != round(found.candidate.trend * SCALE)
    return ", as the papers of their week compare" if own else ""


def _trending(found: Explanation) -> Iterator[Line]:
    account = found.account
    words = f"no interest claims it{_of_the_week(found)}"
    yield Line("trend", account.trend / SCALE, words)
    if account.hint:
        words = "half of its best match with what they follow, too weak to be claimed"
        yield Line("nearness", account.hint / SCALE, words)


def interest_lines(found: Explanation, names: Names) -> list[InterestLine]:
    """The interests that the paper has to do with."""
    return [
        InterestLine(
            name_of(part, names),
            part.interests[0].get_kind_display(),
            part.weight,
            part.relevance,
            _counts(part) / SCALE,
            _said(part),
            part.weight < 0,
        )
        for part in found.parts
        if part.relevance
    ]


def name_of(part: Part, names: Names) -> str:
    """An interest, or the first papers of a group."""
    shown = [_cut(names.get(one.value, one.value)) for one in part.interests[:NAMED]]
    more = len(part.interests) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _cut(name: str) -> str:
    return name if len(name) <= TITLE else f"{name[: TITLE - 1].rstrip()}…"


def _counts(part: Part) -> int:
    return part.claim.match or -part.claim.push


def _said(part: Part) -> str:
    """What the interest does to the paper."""
    opened = "opened, not chosen; " if part.opened else ""
    if part.mutes:
        return f"mutes it: {part.mute_from:g} is enough"
    if part.weight < 0:
        return "does not mute it, but pushes it down" if part.claim.push else "nothing"
    if part.claim.match:
        return f"{opened}may be claimed"
    if part.claim.hint:
        return f"{opened}too weak to be claimed, below {CLAIM_THRESHOLD:g}"
    return f"{opened}nothing"


def verdict(found: Explanation, reader: Subscriber, names: Names) -> list[str]:
    """Why the paper is in the reader's next digest or is not, every reason that holds."""
    if found.place:
        return [f"Number {found.place} of the digest as it would be chosen now."]
    kept_out = list(_kept_out(found, names))
    return kept_out or [_crowded_out(found, reader)]


def _kept_out(found: Explanation, names: Names) -> Iterator[str]:
    if found.was_sent:
        yield "They got it already: a digest of the last 14 editions holds it."
    if found.stance:
        yield _own(found.stance)
    for part in found.parts:
        if part.mutes:
            yield f"They mute {name_of(part, names)}."
    if found.candidate.is_hidden:
        yield "An editor hid it."
    if found.is_recalled:
        yield "It was recalled."


def _own(stance: Follow) -> str:
    """What the reader's stance to the paper itself is."""
    if stance.weight < 0:
        return "They asked for less like this very paper."
    if stance.source == Follow.Source.OPENED:
        return "They opened it from a digest before."
    return "It is one of their own examples: they know it."


def _crowded_out(found: Explanation, reader: Subscriber) -> str:
    if found.twin_place:
        return f"Nearly the same text as number {found.twin_place}, which they get."
    if found.circle_is_full:
        return f"The digest has {found.circle} papers of the same group of authors already."
    own = reader.fill_mode == Subscriber.FillMode.FOLLOWED_ONLY and found.only_followed
    if own and not found.account.is_claimed:
        return "No interest claims it, and they want only what they follow."
    return f"{found.before} of {found.open} papers open to them come before it, and the digest holds {found.length}."


def told(found: Explanation, reader: Subscriber, names: Names) -> dict[str, Any]:
    """All that the page shows of one paper and reader."""
    return {
        "found": found,
        "verdict": verdict(found, reader, names),
        "sum": account_lines(found, names),
        "interests": (lines := interest_lines(found, names)),
        "silent": len(found.parts) - len(lines),
        "trend": trend_lines(found.candidate),
    }


def interests_of(found: Explanation) -> list[Interest]:
    return [interest for part in found.parts for interest in part.interests]
