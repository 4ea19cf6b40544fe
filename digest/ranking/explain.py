"""Explain: why a reader does or does not get a paper, in the numbers that decided it."""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import Subscriber
from digest.models import Candidate, Edition, Interest
from digest.ranking import prepare, stances
from digest.ranking.assemble import choose, known_papers
from digest.ranking.selection import CLAIMED_FROM


@dataclass(frozen=True)
class Part:
    """What one interest, or one group of example papers, makes of the paper.

    `relevance` is in [0, 1]; `score` is it times the weight, 0 where it is too weak to be
    claimed. `mutes`: this alone keeps the paper from the reader.
    """

    interests: list[Interest]
    weight: float
    relevance: float
    score: float
    mutes: bool


@dataclass(frozen=True)
class Explanation:
    """`place` is the paper's place in the digest as it would be chosen now, from 1."""

    candidate: Candidate
    parts: list[Part]
    was_sent: bool
    is_recalled: bool
    place: int | None

    @property
    def breakdown(self) -> dict[str, float]:
        """What made the trend."""
        found: dict[str, float] = self.candidate.breakdown
        return found


def explain(
    edition: Edition, subscriber: Subscriber, candidate: Candidate, now: datetime
) -> Explanation:
    """All that bears on this candidate for this reader, the strongest interest first."""
    table = prepare.table(edition)
    column = table.candidates.index(candidate.pk)
    known = stances.of([subscriber], now)
    picks = choose(edition, [subscriber], now)[subscriber.pk]
    places = {pick.candidate: i for i, pick in enumerate(picks, 1)}
    hidden = bool(table.slate.hidden[column]) and not candidate.is_hidden
    return Explanation(
        candidate,
        _parts(table, known, known.readers.get(subscriber.pk, {}), column),
        candidate.paper_id in known_papers(edition, [subscriber])[subscriber.pk],
        hidden,
        places.get(candidate.pk),
    )


def _parts(
    table: prepare.Table, known: stances.Stances, stance: stances.Stance, column: int
) -> list[Part]:
    keys = sorted(stance)
    wishes = known.wishes(keys)
    found = table.relevance(wishes)[:, column].tolist()
    limits = stances.mute_from(wishes)
    parts = [
        Part(
            [known.interests[pk] for pk in key],
            stance[key],
            relevance,
            stance[key] * relevance if relevance >= CLAIMED_FROM else 0.0,
            stance[key] < 0 and relevance >= limit,
        )
        for key, relevance, limit in zip(keys, found, limits, strict=True)
    ]
    return sorted(parts, key=lambda part: (-part.mutes, -abs(part.score)))
