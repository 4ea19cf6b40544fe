"""Explain: why a reader does or does not get a paper, in the numbers that decided it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from accounts.models import Subscriber
from digest.models import Candidate, Edition, Follow, Interest, Paper, Pick
from digest.ranking import edition_index, reader_profiles
from digest.ranking.choose import (
    choose,
    is_weekly,
    load_excluded_papers,
    load_sent_papers,
)
from digest.ranking.rank_edition import CANDIDATE_DAYS
from digest.ranking.relevance import Row, mute_thresholds
from digest.ranking.score_breakdown import Account, Claim, account, claim
from digest.ranking.selection import MAX_PER_AUTHOR_GROUP, Flags, whole


@dataclass(frozen=True)
class Part:
    """What one interest, or one group of papers, makes of the paper.

    `relevance` is in [0, 1]. `opened`: the reader did not choose it, but opened papers of
    that kind. `mute_from`: the relevance from which it keeps the paper away where the
    weight is negative; `mutes`: it does.
    """

    interests: list[Interest]
    opened: bool
    weight: float
    relevance: float
    mute_from: float
    claim: Claim

    @property
    def mutes(self) -> bool:
        reached = whole(np.array([self.relevance, self.mute_from]))
        return self.weight < 0 and bool(reached[0] >= reached[1])


@dataclass(frozen=True)
class Explanation:
    """`place` is the paper's place in the digest as it would be chosen now, from 1, and `pick` why.

    `before`: how many papers open to the reader come first by their accounts alone, of
    `open` in all. `twin_place`: where the digest has nearly the same text, `circle`: how
    many of its papers are by the same group.
    """

    candidate: Candidate
    parts: list[Part]
    account: Account
    place: int | None
    pick: Pick | None
    length: int
    before: int
    open: int
    was_sent: bool
    stance: Follow | None  # to this very paper
    is_recalled: bool
    twin_place: int | None
    circle: int
    only_followed: bool  # no pick came for its trend

    @property
    def breakdown(self) -> dict[str, float]:
        """What made the trend."""
        found: dict[str, float] = self.candidate.breakdown
        return found

    @property
    def circle_is_full(self) -> bool:
        return self.place is None and self.circle >= MAX_PER_AUTHOR_GROUP


@dataclass(frozen=True)
class Weighed:
    """What a reader's interests make of an edition: their keys [k] and relevance [k, n]."""

    keys: list[reader_profiles.Key]
    weights: list[float]
    limits: list[float]
    relevance: Row

    def claims(self, column: int) -> list[Claim]:
        pairs = zip(self.weights, self.relevance[:, column].tolist(), strict=True)
        return [claim(weight, relevance) for weight, relevance in pairs]

    @property
    def muted(self) -> Flags:
        """Of each candidate whether a mute reaches it: [n]."""
        reached = whole(self.relevance) >= whole(np.array(self.limits))[:, None]
        mutes = np.array(self.weights)[:, None] < 0
        return np.asarray((reached & mutes).any(axis=0))


def explain(
    edition: Edition, subscriber: Subscriber, candidate: Candidate, now: datetime
) -> Explanation:
    """All that bears on this candidate for this reader, the strongest interest first."""
    table = edition_index.load_index(edition, is_weekly(subscriber))
    column = table.candidates.index(candidate.pk)
    known = reader_profiles.load_profiles([subscriber], now)
    weighed = _weighed(table, known, known.profiles.get(subscriber.pk, {}))
    closed = load_excluded_papers(edition, [subscriber])[subscriber.pk]
    picks = choose(edition, [subscriber], now)[subscriber.pk]
    columns = [table.candidates.index(pick.candidate) for pick in picks]
    place = columns.index(column) if column in columns else None
    twins = [
        bool(table.slate.near_duplicate[c] == table.slate.near_duplicate[column])
        for c in columns
    ]
    before, free = _before(table, weighed, closed, column)
    return Explanation(
        candidate,
        _parts(known, weighed, known.opened.get(subscriber.pk, set()), column),
        _account(table, weighed, column),
        None if place is None else place + 1,
        None if place is None else picks[place],
        subscriber.length,
        before,
        free,
        candidate.paper_id in load_sent_papers(edition, [subscriber])[subscriber.pk],
        _stance(subscriber, candidate.paper),
        bool(table.slate.hidden[column]) and not candidate.is_hidden,
        twins.index(True) + 1 if any(twins) and place is None else None,
        sum(
            bool(table.slate.author_group[c] == table.slate.author_group[column])
            for c in columns
        ),
        all(pick.interest for pick in picks),
    )


def absence(edition: Edition, paper: Paper) -> str:
    """Why the edition does not hold this paper, in words."""
    first = edition.day - timedelta(days=CANDIDATE_DAYS - 1)
    announced = f"It was first announced on {paper.announced_on:%d %B %Y}"
    if not paper.is_announced:
        return f"{paper.get_announce_type_display().capitalize()} when we first met it: such papers are never mailed."
    if paper.announced_on > edition.day:
        return f"{announced}, after this edition's day."
    if paper.announced_on < first:
        return f"{announced}; this edition holds papers from {first:%d %B} on."
    return f"{announced}, but it is not among this edition's papers: it came after the last ranking, or newer and more trending ones filled it."


def _weighed(
    table: edition_index.EditionIndex,
    known: reader_profiles.ReaderProfiles,
    stance: reader_profiles.Profile,
) -> Weighed:
    keys = sorted(stance)
    requested_interests = known.build_queries(keys)
    limits = mute_thresholds(requested_interests)
    weights = [stance[key] for key in keys]
    return Weighed(keys, weights, limits, table.relevance(requested_interests))


def _parts(
    known: reader_profiles.ReaderProfiles,
    weighed: Weighed,
    opened: set[int],
    column: int,
) -> list[Part]:
    parts = [
        Part(
            [known.interests[pk] for pk in key.interests],
            opened.issuperset(key.interests),
            weight,
            relevance,
            limit,
            found,
        )
        for key, weight, relevance, limit, found in zip(
            weighed.keys,
            weighed.weights,
            weighed.relevance[:, column].tolist(),
            weighed.limits,
            weighed.claims(column),
            strict=True,
        )
    ]
    return sorted(parts, key=_strength)


def _strength(part: Part) -> tuple[bool, int, int]:
    found = part.claim
    return not part.mutes, -max(found.match, found.push), -found.hint


def _account(
    table: edition_index.EditionIndex, weighed: Weighed, column: int
) -> Account:
    trend, boost = float(table.slate.trend[column]), int(table.slate.boost[column])
    return account(weighed.claims(column), trend, boost)


def _before(
    table: edition_index.EditionIndex, weighed: Weighed, closed: set[int], column: int
) -> tuple[int, int]:
    """How many papers that may reach the reader come before this one, and how many may."""
    shut = table.slate.hidden | weighed.muted | np.isin(table.papers, sorted(closed))
    free = [c for c in range(len(table.papers)) if not shut[c]]
    orders = {c: _order(table, weighed, c) for c in {*free, column}}
    return sum(orders[c] < orders[column] for c in free), len(free)


def _order(
    table: edition_index.EditionIndex, weighed: Weighed, column: int
) -> tuple[tuple[bool, int, int], int, int]:
    found = _account(table, weighed, column)
    return found.order, -found.trend, table.papers[column]


def _stance(subscriber: Subscriber, paper: Paper) -> Follow | None:
    return subscriber.follows.filter(
        interest__kind=Interest.Kind.PAPER, interest__value=paper.identifier
    ).first()
