"""Prepare: rows become what relevance and selection compute with."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from digest.models import Candidate, Edition, Interest, Paper, Recall, Topic
from digest.ranking import embeddings, trend
from digest.ranking.relevance import Field, InterestQuery, PaperText, Row
from digest.ranking.selection import Slate, Whole

# Interests kept evaluated while their edition is in use: 8 KB each at 2,000 candidates.
EVALUATED = 4_096


@dataclass(frozen=True)
class Table:
    """An edition ready for selection: the slate, and its candidates' and papers' ids."""

    slate: Slate
    candidates: list[int]
    papers: list[int]
    vectors: Row  # of the candidates, [n, d]
    evaluate: Callable[[InterestQuery], Row]

    def relevance(self, requested_interests: Sequence[InterestQuery]) -> Row:
        """Each wish against all candidates: float32 [requested_interests, candidates]."""
        found = np.zeros((len(requested_interests), len(self.candidates)), np.float32)
        for i, wish in enumerate(requested_interests):
            found[i] = self.evaluate(wish)
        return found


def table(edition: Edition, weekly: bool = False) -> Table:
    """The edition as it stands now: what editors and recalls did counts at once.

    `weekly`: for who reads once a week, to whom all papers of the week are equally new.
    """
    columns = ["pk", "paper_id", "trend", "boost", "pin", "is_hidden", "paper__title"]
    if weekly:
        columns += ["breakdown", "paper__primary"]
    rows = list(edition.candidates.order_by("pk").values_list(*columns))
    recalled = set(Recall.objects.values_list("paper_id", flat=True))
    model = embeddings.current()
    # The texts change only with a rescore; the titles tell apart what shares its ids.
    texts = (edition.ranked_at, tuple((row[0], row[6]) for row in rows))
    field = _field(edition.pk, texts, model.version if model else "")
    return Table(
        slate=Slate(
            ids=np.array([row[1] for row in rows], np.int64),
            trend=np.array(_trends(rows, weekly), np.float64),
            boost=np.array([row[3] for row in rows], np.int64),
            pin=np.array([row[4] or 0 for row in rows], np.int64),
            hidden=np.array([row[5] or row[1] in recalled for row in rows], bool),
            twin=field.twin,
            circle=field.circle,
        ),
        candidates=[row[0] for row in rows],
        papers=[row[1] for row in rows],
        vectors=field.vectors,
        evaluate=field.evaluate,
    )


def _trends(rows: Sequence[Sequence[Any]], weekly: bool) -> list[float]:
    """The trend of each row; for weekly readers the week's, where a breakdown tells it."""
    if not weekly:
        return [row[2] for row in rows]
    told = [(category, breakdown) for *_, breakdown, category in rows if breakdown]
    of_week = iter(trend.of_the_week(told))
    return [next(of_week) if row[-2] else row[2] for row in rows]


@dataclass(frozen=True)
class Known:
    """What only the texts of an edition decide: kept until they change."""

    evaluate: Callable[[InterestQuery], Row]  # each wish once
    vectors: Row
    twin: Whole
    circle: Whole


@lru_cache(maxsize=2)
def _field(edition: int, texts: object, version: str) -> Known:
    rows = (
        Candidate.objects.filter(edition=edition).select_related("paper").order_by("pk")
    )
    rows = rows.defer("breakdown", "paper__title_raw", "paper__abstract_raw")
    papers = [row.paper for row in rows]
    model = embeddings.current()
    known = (
        embeddings.rows(papers, model)
        if model
        else np.zeros((len(papers), 0), np.float32)
    )
    field = Field([_text(row) for row in rows], known, model)
    evaluate = lru_cache(maxsize=EVALUATED)(field.evaluate)
    return Known(evaluate, known, field.twins(), field.circles())


def _text(candidate: Candidate) -> PaperText:
    shown = candidate.card
    return PaperText(
        shown["title"],
        shown["abstract"],
        tuple(candidate.paper.authors),  # the card has the first three
        tuple(shown["categories"]),
    )


def requested_interests(interests: Iterable[Interest]) -> list[InterestQuery]:
    """Interests, stored or not, with what they stand for; at most four queries."""
    rows, model = list(interests), embeddings.current()
    version = model.version if model else ""
    topics = _topics(
        [row.value for row in rows if row.kind == Interest.Kind.TOPIC], version
    )
    papers = _papers(
        [row.value for row in rows if row.kind == Interest.Kind.PAPER], version
    )
    return [_wish(row, topics, papers) for row in rows]


def _wish(
    interest: Interest, topics: dict[str, InterestQuery], papers: dict[str, PaperText]
) -> InterestQuery:
    if interest.kind == Interest.Kind.TOPIC and interest.value in topics:
        return topics[interest.value]
    if interest.kind == Interest.Kind.PAPER and interest.value in papers:
        return InterestQuery(
            interest.kind, interest.value, examples=(papers[interest.value],)
        )
    return InterestQuery(interest.kind, interest.value)


def _topics(slugs: Sequence[str], version: str) -> dict[str, InterestQuery]:
    found = Topic.objects.filter(slug__in=slugs).prefetch_related("examples")
    return {topic.slug: _topic(topic, version) for topic in found}


def _topic(topic: Topic, version: str) -> InterestQuery:
    return InterestQuery(
        kind=Interest.Kind.TOPIC,
        value=topic.name,
        description=topic.description,
        keywords=tuple(topic.keywords),
        categories=tuple(topic.categories),
        examples=tuple(_example(paper, version) for paper in topic.examples.all()),
    )


def _papers(identifiers: Sequence[str], version: str) -> dict[str, PaperText]:
    columns = ("identifier", "title", "abstract", "vector", "vector_version")
    found = Paper.objects.filter(identifier__in=identifiers).only(*columns)
    return {paper.identifier: _example(paper, version) for paper in found}


def _example(paper: Paper, version: str) -> PaperText:
    stored = paper.vector if paper.vector_version == version else None
    return PaperText(paper.title, paper.abstract, vector=bytes(stored or b""))


def vectors_of(interests: Iterable[Interest]) -> dict[int, Row]:
    """The vectors of the papers among these interests that are known, by interest."""
    values = {i.value: i.pk for i in interests if i.kind == Interest.Kind.PAPER}
    model = embeddings.current()
    if not values or model is None:
        return {}
    known = Paper.objects.filter(identifier__in=values).order_by("pk")
    columns = ("identifier", "title", "abstract", "vector", "vector_version")
    found = list(known.only(*columns))
    rows = embeddings.rows(found, model)
    return {values[p.identifier]: row for p, row in zip(found, rows, strict=True)}


def chunks(ids: Iterable[int], size: int = 5_000) -> Iterable[list[int]]:
    """Ids in portions that fit into one query on either database."""
    left = iter(ids)
    while portion := list(itertools.islice(left, size)):
        yield portion
