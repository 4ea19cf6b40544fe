"""Rescore: the day's open edition is filled, its trends and cards brought up to date."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from digest.cards import card
from digest.models import (
    CURATED,
    AttentionSample,
    Candidate,
    Edition,
    Frozen,
    Paper,
    Submission,
)
from digest.ranking import attention_prior, embeddings
from digest.ranking.attention_prior import Past
from digest.ranking.lsa import Rows
from digest.ranking.trend import Attention, Trend, growth, trend

DAYS = 14  # of first announcement, up to and including the edition's day
MOST = 2_000  # candidates; a digest of ten never looks further
# Papers to learn from, the newest: three weeks of them teach as much as a year (ndcg@10 .578
# and .587), and 20,000 are read and learned from in a second.
LEARN_FROM = 20_000

Measured = list[tuple[str, datetime, int]]  # kind, time, value


def rescore(day: date, now: datetime) -> Edition | None:
    """Fill and score the edition of a day; None on a day without a new paper.

    Candidates are papers first announced in the 14 days up to the day, never those first
    met as replacements: at most 2,000, first those that readers asked for and an editor
    approved, then the newest, then the most trending. What editors did (pin, boost, hide,
    note) stays. Raises Frozen where the edition is frozen.
    """
    refuse_frozen(day)
    papers = list(eligible(day))
    if not any(paper.announced_on == day for paper in papers):
        return None
    model = embeddings.refresh()
    promised = _promised(day, model.version) if model else {}
    trends = _trends(papers, promised, day, now)
    asked_for = _approved()
    chosen = sorted(
        papers,
        key=lambda p: (
            p.identifier not in asked_for,
            -p.announced_on.toordinal(),
            -trends[p.pk].score,
            p.pk,
        ),
    )
    return _fill(day, now, chosen[:MOST], trends)


def _approved() -> set[str]:
    rows = Submission.objects.filter(state=Submission.State.APPROVED)
    return set(rows.values_list("identifier", flat=True))


def refuse_frozen(day: date) -> None:
    if Edition.objects.frozen().filter(day=day).exists():
        raise Frozen(
            f"The edition of {day} is frozen: it is being mailed as it is, and is not ranked again."
        )


def eligible(day: date) -> QuerySet[Paper]:
    """The papers that an edition of this day may hold."""
    first = day - timedelta(days=DAYS - 1)
    return Paper.objects.announced_between(first, day).defer(
        "title_raw", "abstract_raw", "vector"
    )


def _promised(day: date, version: str) -> dict[int, float]:
    """What may be expected of each eligible paper without votes; nothing where too little is known."""
    waiting = eligible(day).filter(votes=0, vector_version=version)
    found = list(waiting.order_by("pk").values_list("pk", "vector", "authors"))
    learned = attention_prior.learn(past(day, version)) if found else None
    if learned is None:
        return {}
    ids, vectors, authors = zip(*found, strict=True)
    expected = learned.expected(_rows(vectors), authors)
    return dict(zip(ids, expected, strict=True))


def past(day: date, version: str) -> Past:
    """The papers that were settled by then, under one version of the vectors.

    Days without a single vote are left out: nobody asked for the votes of their papers.
    """
    before = day - timedelta(days=attention_prior.SETTLED)
    announced = Paper.objects.announced().filter(announced_on__lt=before)
    settled = announced.filter(vector_version=version).order_by("-announced_on", "-pk")[
        :LEARN_FROM
    ]
    found = list(settled.values_list("announced_on", "votes", "authors", "vector"))
    asked = {announced for announced, votes, *_ in found if votes}
    kept = [row for row in found if row[0] in asked]
    vectors, authors = [row[3] for row in kept], [row[2] for row in kept]
    return Past(_rows(vectors), authors, [row[1] for row in kept])


def _rows(vectors: Sequence[bytes | memoryview | None]) -> Rows:
    return np.array([np.frombuffer(vector or b"", np.float32) for vector in vectors])


def _trends(
    papers: Sequence[Paper], promised: Mapping[int, float], day: date, now: datetime
) -> dict[int, Trend]:
    measured = _measured(papers, day, now)
    found = trend(
        [
            _attention(
                paper, measured.get(paper.pk, []), day, promised.get(paper.pk, 0.0)
            )
            for paper in papers
        ]
    )
    return {paper.pk: trend for paper, trend in zip(papers, found, strict=True)}


def _measured(papers: Sequence[Paper], day: date, now: datetime) -> dict[int, Measured]:
    """The signals of the eligible papers up to `now`, oldest first."""
    first = day - timedelta(days=DAYS - 1)
    signals = AttentionSample.objects.filter(
        paper__announced_on__range=(first, day), at__lte=now
    )
    found: dict[int, Measured] = defaultdict(list)
    for pk, kind, at, value in signals.order_by("at", "pk").values_list(
        "paper_id", "kind", "at", "value"
    ):
        found[pk].append((kind, at, value))
    return found


def _attention(
    paper: Paper, measured: Measured, day: date, expected: float
) -> Attention:
    # Age runs in whole days of announcement: arXiv arrives in one batch, and the same day
    # ranked later is the same edition.
    age = (day - paper.announced_on).days * 24.0
    votes = [
        (at, float(value))
        for kind, at, value in measured
        if kind == AttentionSample.Kind.UPVOTES
    ]
    counts = _counts(measured)
    return Attention(paper.primary, age, counts, growth(votes), expected)


def _counts(measured: Measured) -> dict[str, float]:
    """The latest count of each kind; our readers' clicks are daily sums and add up."""
    counts: dict[str, float] = {}
    for kind, _, value in measured:
        before = counts.get(kind, 0.0) if kind == AttentionSample.Kind.CLICKS else 0.0
        counts[kind] = before + value
    return counts


@transaction.atomic
def _fill(
    day: date, now: datetime, papers: Iterable[Paper], trends: dict[int, Trend]
) -> Edition:
    Edition.objects.get_or_create(day=day)
    edition = Edition.objects.select_for_update().get(day=day)
    edition.ranked_at = now
    # Refused where it froze while we computed; from here on the lock holds it open.
    edition.save(update_fields=["ranked_at"])
    rows = [_candidate(edition, paper, trends[paper.pk]) for paper in papers]
    Candidate.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["edition", "paper"],
        update_fields=["trend", "breakdown", "card"],
    )
    _drop_others(edition, {row.paper_id for row in rows})
    return edition


def _candidate(edition: Edition, paper: Paper, trend: Trend) -> Candidate:
    return Candidate(
        edition=edition,
        paper=paper,
        trend=trend.score,
        breakdown=trend.breakdown,
        card=card(paper),
    )


def _drop_others(edition: Edition, kept: set[int]) -> None:
    """What no longer belongs goes, unless an editor has touched it."""
    known = edition.candidates.exclude(CURATED).values_list("pk", "paper_id")
    gone = [pk for pk, paper in known if paper not in kept]
    edition.candidates.filter(pk__in=gone).delete()
