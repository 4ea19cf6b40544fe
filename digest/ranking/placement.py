"""Explain why a paper stands where it stands for a reader, or is left out, in numbers.

The words under a paper in a mail are those of `digest.reasons`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.utils.formats import date_format

from accounts.models import Subscriber
from digest.models import Candidate, Edition, Follow, Interest, Paper, Pick
from digest.models.papers import CANDIDATE_DAYS
from digest.ranking import edition_index, reader_profiles
from digest.ranking.choose import (
    choose,
    exclude_columns,
    is_weekly,
    load_sent_candidates,
)
from digest.ranking.edition_index import EditionIndex
from digest.ranking.reader_profiles import Key, Profile, ReaderProfiles
from digest.ranking.score_breakdown import (
    InterestScore,
    PaperScore,
    is_muted,
    score_interest,
    score_paper,
)
from digest.ranking.selection import MAX_PER_AUTHOR_GROUP, Flags, Matches, Role


@dataclass(frozen=True)
class Part:
    """What one interest, or one group of papers, makes of the paper.

    `relevance` is in [0, 1]. `opened`: papers that the reader did not choose, only opened.
    `mute_from`: the relevance from which a negative weight mutes. A group of several only
    has places in the digest; `orders` is false for it.
    """

    interests: list[Interest]
    opened: bool
    orders: bool
    weight: float
    relevance: float
    is_claimed: bool
    mute_from: float
    score: InterestScore

    @property
    def mutes(self) -> bool:
        return is_muted(self.weight, self.relevance, self.mute_from)


@dataclass(frozen=True)
class Placement:
    """`place` is the paper's place in the digest as it would be chosen now, from 1, and `pick` why.

    `before`: how many of the `open` papers that the reader may get have a better score.
    `duplicate_place`: where the digest has nearly the same text. `author_group_size`: how
    many of its papers are by the same author group.
    """

    candidate: Candidate
    parts: list[Part]
    score: PaperScore
    place: int | None
    pick: Pick | None
    length: int
    before: int
    open: int
    was_sent: bool
    own_follow: Follow | None  # of this very paper
    is_recalled: bool
    duplicate_place: int | None
    author_group_size: int
    only_followed: bool  # no pick came for its trend

    @property
    def breakdown(self) -> dict[str, float]:
        breakdown: dict[str, float] = self.candidate.breakdown
        return breakdown

    @property
    def author_group_is_full(self) -> bool:
        return self.place is None and self.author_group_size >= MAX_PER_AUTHOR_GROUP


@dataclass(frozen=True)
class ReaderMatches:
    """A reader's keys [k] and weights [k], and what they make of an edition."""

    keys: list[Key]
    weights: list[float]
    matches: Matches

    def score_interests(self, column: int) -> list[InterestScore]:
        relevance = self.matches.relevance[:, column].tolist()
        pairs = zip(self.weights, relevance, strict=True)
        return [score_interest(weight, value) for weight, value in pairs]

    def score_paper(self, index: EditionIndex, column: int) -> PaperScore:
        trend = float(index.slate.trend[column])
        scores = zip(self.keys, self.score_interests(column), strict=True)
        ordering = [score for key, score in scores if key.role != Role.PLACES]
        boost = int(index.slate.boost[column])
        return score_paper(ordering, trend, boost, index.slate.trend_weight)

    def muted(self) -> Flags:
        """Whether a mute reaches each candidate: [n]."""
        rows = zip(
            self.weights, self.matches.relevance, self.matches.mute_from, strict=True
        )
        muted = np.zeros(self.matches.relevance.shape[1], bool)
        for weight, relevance, threshold in rows:
            if weight < 0:
                muted |= [is_muted(weight, r, threshold) for r in relevance.tolist()]
        return muted


def explain_placement(
    edition: Edition, subscriber: Subscriber, candidate: Candidate, now: datetime
) -> Placement:
    """Collect all that bears on this candidate for this reader, the strongest interest first."""
    index = edition_index.load_index(edition, is_weekly(subscriber))
    column = index.candidates.index(candidate.pk)
    profiles = reader_profiles.load_profiles([subscriber], now)
    matches = _match(index, profiles, profiles.profiles.get(subscriber.pk, {}))
    readers = [subscriber]
    sent = load_sent_candidates(edition, readers)
    excluded = exclude_columns(index, profiles, sent, readers)[subscriber.pk]
    picks = choose(edition, [subscriber], now)[subscriber.pk]
    columns = [index.candidates.index(pick.candidate) for pick in picks]
    place = columns.index(column) if column in columns else None
    slate = index.slate
    duplicates = [
        bool(slate.near_duplicate[c] == slate.near_duplicate[column]) for c in columns
    ]
    before, free = _count_before(index, matches, excluded, column)
    return Placement(
        candidate,
        _parts(profiles, matches, profiles.opened.get(subscriber.pk, set()), column),
        matches.score_paper(index, column),
        None if place is None else place + 1,
        None if place is None else picks[place],
        subscriber.length,
        before,
        free,
        column in map(index.load_columns(()).get, sent[subscriber.pk]),
        _own_follow(subscriber, candidate.paper),
        bool(slate.hidden[column]) and not candidate.is_hidden,
        duplicates.index(True) + 1 if any(duplicates) and place is None else None,
        sum(bool(slate.author_group[c] == slate.author_group[column]) for c in columns),
        all(pick.interest for pick in picks),
    )


def absence(edition: Edition, paper: Paper) -> str:
    """Say why the edition does not hold this paper."""
    first = edition.day - timedelta(days=CANDIDATE_DAYS - 1)
    announced = f"It was first announced on {date_format(paper.announced_on)}"
    if not paper.is_announced:
        return f"{paper.get_announce_type_display().capitalize()} when first seen: such papers are never mailed."
    if paper.announced_on > edition.day:
        return f"{announced}, after this edition's day."
    if paper.announced_on < first:
        return f"{announced}; this edition holds papers from {date_format(first)} on."
    return f"{announced}, but it is not among this edition's papers: it arrived after the last ranking, or the edition was full."


def _match(
    index: EditionIndex, profiles: ReaderProfiles, profile: Profile
) -> ReaderMatches:
    keys = sorted(profile)
    matches = index.match(profiles.build_queries(keys))
    return ReaderMatches(keys, [profile[key] for key in keys], matches)


def _parts(
    profiles: ReaderProfiles, own: ReaderMatches, opened: set[int], column: int
) -> list[Part]:
    interests = Interest.objects.in_bulk(
        [pk for key in own.keys for pk in key.interests]
    )
    parts = [
        Part(
            [interests[pk] for pk in key.interests],
            opened.issuperset(key.interests),
            key.role != Role.PLACES,
            weight,
            relevance,
            claimed,
            threshold,
            score,
        )
        for key, weight, relevance, claimed, threshold, score in zip(
            own.keys,
            own.weights,
            own.matches.relevance[:, column].tolist(),
            own.matches.claimed[:, column].tolist(),
            own.matches.mute_from,
            own.score_interests(column),
            strict=True,
        )
    ]
    return sorted(parts, key=_strength)


def _strength(part: Part) -> tuple[bool, int, int]:
    score = part.score
    return not part.mutes, -max(score.match, score.penalty), -score.hint


def _count_before(
    index: EditionIndex, own: ReaderMatches, excluded: set[int], column: int
) -> tuple[int, int]:
    """How many papers that the reader may get have a better score, and how many there are."""
    is_excluded = np.isin(np.arange(len(index.papers)), sorted(excluded))
    closed = index.slate.hidden | own.muted() | is_excluded
    open_columns = np.flatnonzero(~closed).tolist()
    orders = {c: _order(index, own, c) for c in {*open_columns, column}}
    before = sum(orders[c] < orders[column] for c in open_columns)
    return before, len(open_columns)


def _order(
    index: EditionIndex, own: ReaderMatches, column: int
) -> tuple[tuple[bool, int, int], int, int]:
    score = own.score_paper(index, column)
    return score.order, -score.trend, index.papers[column]


def _own_follow(subscriber: Subscriber, paper: Paper) -> Follow | None:
    return subscriber.follows.filter(
        interest__kind=Interest.Kind.PAPER, interest__value=paper.identifier
    ).first()
