"""Rank an edition: fill the day's open edition, and bring its trends and cards up to date."""

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
from digest.models.papers import CANDIDATE_DAYS
from digest.ranking import attention_prior, embeddings
from digest.ranking.attention_prior import PastPapers
from digest.ranking.lsa import Rows
from digest.ranking.trend import Attention, Trend, growth, trend

# More than 14 days of all of computer science and statistics; a guard against a flood, cut
# by trend and never by age, so that a niche reader's paper of last week stays.
MAX_CANDIDATES = 15_000
# Papers to learn from, the newest: three weeks of them teach as much as a year (ndcg@10 .578
# and .587), and 20,000 are read and learned from in a second.
MAX_PAST_PAPERS = 20_000

Samples = list[tuple[str, datetime, int]]  # kind, time, value


def rank_edition(day: date, now: datetime) -> Edition | None:
    """Fill and score the edition of a day; None on a day without a new paper.

    Candidates are all papers first announced in the 14 days up to the day. Curation (pin,
    boost, hide, note) stays. Raises Frozen where the edition is frozen.
    """
    refuse_frozen(day)
    papers = list(eligible_papers(day))
    if not any(paper.announced_on == day for paper in papers):
        return None
    model = embeddings.refresh()
    priors = _predict_attention(day, model.version) if model else {}
    trends = _score_trends(papers, priors, day, now)
    approved = _approved_identifiers()
    ordered = sorted(
        papers,
        key=lambda p: (
            p.identifier not in approved,
            -trends[p.pk].score,
            p.pk,
        ),
    )
    return _store(day, now, ordered[:MAX_CANDIDATES], trends)


def _approved_identifiers() -> set[str]:
    rows = Submission.objects.filter(state=Submission.State.APPROVED)
    return set(rows.values_list("identifier", flat=True))


def refuse_frozen(day: date) -> None:
    if Edition.objects.frozen().filter(day=day).exists():
        raise Frozen(
            f"The edition of {day} is frozen: it is being mailed as it is and cannot be ranked again."
        )


def eligible_papers(day: date) -> QuerySet[Paper]:
    first = day - timedelta(days=CANDIDATE_DAYS - 1)
    papers = Paper.objects.announced_between(first, day).filter(duplicate_of=None)
    return papers.defer("title_raw", "abstract_raw", "vector", "dense_vector")


def _predict_attention(day: date, version: str) -> dict[int, float]:
    """Predict the attention of eligible papers without votes; empty where too little is known."""
    unvoted = eligible_papers(day).filter(votes=0, vector_version=version)
    rows = list(unvoted.order_by("pk").values_list("pk", "vector", "authors"))
    prior = attention_prior.fit_prior(past(day, version)) if rows else None
    if prior is None:
        return {}
    ids, vectors, authors = zip(*rows, strict=True)
    return dict(zip(ids, prior.predict(_stack(vectors), authors), strict=True))


def past(day: date, version: str) -> PastPapers:
    """Read the papers whose votes were settled by then, under one version of the vectors.

    Days without a single vote are left out: their papers' votes were never collected.
    """
    before = day - timedelta(days=attention_prior.SETTLED_DAYS)
    settled = Paper.objects.announced().filter(
        announced_on__lt=before, vector_version=version
    )
    rows = list(
        settled.order_by("-announced_on", "-pk").values_list(
            "announced_on", "votes", "authors", "vector"
        )[:MAX_PAST_PAPERS]
    )
    voted_days = {announced for announced, votes, *_ in rows if votes}
    rows = [row for row in rows if row[0] in voted_days]
    vectors, authors = [row[3] for row in rows], [row[2] for row in rows]
    return PastPapers(_stack(vectors), authors, [row[1] for row in rows])


def _stack(vectors: Sequence[bytes | memoryview | None]) -> Rows:
    return np.array([np.frombuffer(vector or b"", np.float32) for vector in vectors])


def _score_trends(
    papers: Sequence[Paper], priors: Mapping[int, float], day: date, now: datetime
) -> dict[int, Trend]:
    samples = _load_samples(day, now)
    attention = [
        _attention(paper, samples.get(paper.pk, []), day, priors.get(paper.pk, 0.0))
        for paper in papers
    ]
    rows = zip(papers, trend(attention), strict=True)
    return {paper.pk: score for paper, score in rows}


def _load_samples(day: date, now: datetime) -> dict[int, Samples]:
    """Read the attention samples of the eligible papers up to `now`, oldest first."""
    first = day - timedelta(days=CANDIDATE_DAYS - 1)
    rows = AttentionSample.objects.filter(
        paper__announced_on__range=(first, day), at__lte=now
    )
    samples: dict[int, Samples] = defaultdict(list)
    for pk, kind, at, value in rows.order_by("at", "pk").values_list(
        "paper_id", "kind", "at", "value"
    ):
        samples[pk].append((kind, at, value))
    return samples


def _attention(paper: Paper, samples: Samples, day: date, prior: float) -> Attention:
    # Whole days of announcement, because arXiv announces in one batch and the same day
    # ranked later must give the same edition.
    age_hours = (day - paper.announced_on).days * 24.0
    votes = [
        (at, float(value))
        for kind, at, value in samples
        if kind == AttentionSample.Kind.UPVOTES
    ]
    counts = _latest_counts(samples)
    return Attention(paper.primary, age_hours, counts, growth(votes), prior)


def _latest_counts(samples: Samples) -> dict[str, float]:
    """The latest count of each kind; clicks are daily sums and add up."""
    counts: dict[str, float] = {}
    for kind, _, value in samples:
        before = counts.get(kind, 0.0) if kind == AttentionSample.Kind.CLICKS else 0.0
        counts[kind] = before + value
    return counts


@transaction.atomic
def _store(
    day: date, now: datetime, papers: Iterable[Paper], trends: dict[int, Trend]
) -> Edition:
    Edition.objects.get_or_create(day=day)
    edition = Edition.objects.select_for_update().get(day=day)
    edition.ranked_at = now
    # Raises where it was frozen meanwhile; from here on the lock keeps it open.
    edition.save(update_fields=["ranked_at"])
    rows = [_candidate(edition, paper, trends[paper.pk]) for paper in papers]
    Candidate.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["edition", "paper"],
        update_fields=["trend", "breakdown", "card", "topic_corrections"],
    )
    _delete_others(edition, {row.paper_id for row in rows})
    return edition


def _candidate(edition: Edition, paper: Paper, trend: Trend) -> Candidate:
    return Candidate(
        edition=edition,
        paper=paper,
        trend=trend.score,
        breakdown=trend.breakdown,
        card=card(paper),
        topic_corrections=paper.topic_corrections,
    )


def _delete_others(edition: Edition, paper_ids: set[int]) -> None:
    """Delete candidates of other papers, unless an editor has curated them."""
    others = edition.candidates.exclude(CURATED).values_list("pk", "paper_id")
    stale = [pk for pk, paper_id in others if paper_id not in paper_ids]
    edition.candidates.filter(pk__in=stale).delete()
