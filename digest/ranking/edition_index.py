"""Prepare an edition: rows become the arrays that relevance and selection compute with."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from django.conf import settings

from digest.models import Candidate, Edition, Interest, Paper, Recall, Topic
from digest.ranking import embeddings, experiments, trend
from digest.ranking.interest_blocks import InterestBlocks, PersonalQuery
from digest.ranking.lsa import LsaModel
from digest.ranking.mapped_arrays import (
    Arrays,
    load_arrays,
    store_arrays,
)
from digest.ranking.relevance import (
    EditionScorer,
    InterestQuery,
    Match,
    PaperText,
    Row,
    mute_thresholds,
)
from digest.ranking.score_breakdown import RankingWeights
from digest.ranking.selection import Matches, Slate, Whole
from digest.text import tokens

# Prepared editions in VAR_DIR: 60 MB each at 7,000 candidates. The last ones are the open
# edition and the frozen one, each perhaps ranked again a moment ago.
PREPARED_FOLDER, MAX_PREPARED_EDITIONS = "prepared", 4
Value = TypeVar("Value")

# Relevance of queries that is cached while their edition is in use: 5 bytes a candidate.
MAX_CACHE_BYTES = 100_000_000
# Ids that fit into one query on either database.
MAX_IDS_PER_QUERY = 5_000
# Relevance of a topic that an editor assigned to a paper: as high as a clear match.
ASSIGNED_RELEVANCE = 0.9
EXAMPLE_COLUMNS = (
    *("identifier", "title", "abstract"),
    *("vector", "vector_version", "dense_vector", "dense_version"),
)


class InterestValue(Protocol):
    """An interest, stored or not, or the columns that say what it is."""

    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> str: ...


@dataclass(frozen=True)
class EditionIndex:
    """An edition ready for selection: the slate, and its candidates' and papers' ids."""

    slate: Slate
    candidates: list[int]
    papers: list[int]
    identifiers: list[str]  # of the papers
    vectors: Row  # centered LSA rows of the candidates, [n, d]
    evaluate: Callable[[InterestQuery], Match]
    blocks: InterestBlocks
    correct_spelling: Callable[[str], str]
    # Whether a topic, by its name, is of the candidate at a column, where an editor said so.
    topic_corrections: dict[str, dict[int, bool]] = field(default_factory=dict)
    # What `load_columns` has read of the 14 editions that hold papers of this one.
    columns_by_candidate: dict[int, int] = field(default_factory=dict)
    read_candidates: set[int] = field(default_factory=set)

    @cached_property
    def column_by_paper(self) -> dict[int, int]:
        return {paper: column for column, paper in enumerate(self.papers)}

    @cached_property
    def column_by_identifier(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.identifiers)}

    def load_columns(self, candidates: Iterable[int]) -> dict[int, int]:
        """The columns of the papers of candidates of any editions, by candidate id.

        Without those whose papers this edition does not hold.
        """
        unread = set(candidates) - self.read_candidates
        for portion in split_ids(unread):
            rows = Candidate.objects.filter(pk__any_of=portion)
            self.columns_by_candidate.update(
                (pk, self.column_by_paper[paper])
                for pk, paper in rows.values_list("pk", "paper_id")
                if paper in self.column_by_paper
            )
        self.read_candidates.update(unread)
        return self.columns_by_candidate

    def match(self, queries: Sequence[InterestQuery | PersonalQuery]) -> Matches:
        """Evaluate each query against all candidates; editors' corrections of topics count.

        Shared interests are cached one by one, personal ones are evaluated in blocks.
        """
        shape = len(queries), len(self.candidates)
        relevance, claimed = np.zeros(shape, np.float32), np.zeros(shape, bool)
        personal = {
            i: query
            for i, query in enumerate(queries)
            if isinstance(query, PersonalQuery)
        }
        numbers = list(personal)
        relevance[numbers], claimed[numbers] = self.blocks.evaluate(
            [*personal.values()]
        )
        for i, query in enumerate(queries):
            if isinstance(query, PersonalQuery):
                continue
            relevance[i], claimed[i] = self.evaluate(query)
            if query.kind == Interest.Kind.TOPIC:
                corrections = self.topic_corrections.get(query.value, {})
                for column, is_of_topic in corrections.items():
                    relevance[i, column] = ASSIGNED_RELEVANCE if is_of_topic else 0
                    claimed[i, column] = is_of_topic
        return Matches(relevance, claimed, mute_thresholds(queries))


def load_index(
    edition: Edition, weekly: bool = False, weights: RankingWeights | None = None
) -> EditionIndex:
    """Read the edition as it is now: curation and recalls count at once.

    A frozen edition is read once, because only recalls may still change. With `weekly`,
    trends are those of weekly readers, to whom all papers of the week are equally new.
    Without `weights`, those of the default ranking setting count.
    """
    weights = weights or experiments.default_weights()
    model, dense = embeddings.current_model(), embeddings.dense_model()
    versions = tuple(m.version if m else "" for m in (model, dense))
    if edition.is_open:
        index = _read_index(edition, versions, weekly, weights)
    else:
        state = edition.frozen_at, edition.ranked_at
        index = _read_frozen_index(edition, state, versions, weekly, weights)
    recalled = set(Recall.objects.values_list("paper_id", flat=True))
    columns = [
        index.column_by_paper[p] for p in recalled & index.column_by_paper.keys()
    ]
    if not columns:
        return index
    hidden = index.slate.hidden.copy()
    hidden[columns] = True
    return replace(index, slate=replace(index.slate, hidden=hidden))


@lru_cache(maxsize=2 * 2)  # daily and weekly, in two settings of an experiment
def _read_frozen_index(
    edition: Edition,
    state: object,
    versions: tuple[str, ...],
    weekly: bool,
    weights: RankingWeights,
) -> EditionIndex:
    return _read_index(edition, versions, weekly, weights)


def _read_index(
    edition: Edition, versions: tuple[str, ...], weekly: bool, weights: RankingWeights
) -> EditionIndex:
    columns = ["pk", "paper_id", "trend", "boost", "pin", "is_hidden", "paper__title"]
    columns += ["topic_corrections", "paper__identifier"]
    if weekly:
        columns += ["breakdown", "paper__primary"]
    rows = list(edition.candidates.order_by("pk").values_list(*columns))
    # Texts change only when the edition is ranked again; titles tell editions with reused
    # ids apart.
    texts = (edition.ranked_at, tuple((row[0], row[6]) for row in rows))
    index = _text_index(edition.pk, texts, versions, weights)
    return EditionIndex(
        slate=Slate(
            ids=np.array([row[1] for row in rows], np.int64),
            trend=np.array(_trends(rows, weekly), np.float64),
            boost=np.array([row[3] for row in rows], np.int64),
            pin=np.array([row[4] or 0 for row in rows], np.int64),
            hidden=np.array([row[5] for row in rows], bool),
            near_duplicate=index.near_duplicate,
            author_group=index.author_group,
            trend_weight=weights.trend,
        ),
        candidates=[row[0] for row in rows],
        papers=[row[1] for row in rows],
        identifiers=[row[8] for row in rows],
        vectors=index.vectors,
        evaluate=index.evaluate,
        blocks=index.blocks,
        correct_spelling=index.correct_spelling,
        topic_corrections=_topic_corrections([row[7] for row in rows]),
    )


def _topic_corrections(
    by_candidate: Sequence[dict[str, bool] | None],
) -> dict[str, dict[int, bool]]:
    """Arrange editors' corrections, given by slug for each column, by topic name."""
    corrected = [(i, row) for i, row in enumerate(by_candidate) if row]
    names = dict(Topic.objects.values_list("slug", "name")) if corrected else {}
    corrections: dict[str, dict[int, bool]] = {}
    for column, row in corrected:
        for slug, is_of_topic in row.items():
            if slug in names:
                corrections.setdefault(names[slug], {})[column] = is_of_topic
    return corrections


def _trends(rows: Sequence[Sequence[Any]], weekly: bool) -> list[float]:
    """The trend of each row; the week's for weekly readers, where a breakdown is stored."""
    if not weekly:
        return [row[2] for row in rows]
    pairs = [(category, breakdown) for *_, breakdown, category in rows if breakdown]
    of_week = iter(trend.of_the_week(pairs))
    return [next(of_week) if row[-2] else row[2] for row in rows]


@dataclass(frozen=True)
class TextIndex:
    """What depends only on the texts of an edition, cached until they change."""

    evaluate: Callable[[InterestQuery], Match]
    blocks: InterestBlocks
    correct_spelling: Callable[[str], str]
    vectors: Row
    near_duplicate: Whole
    author_group: Whole


@lru_cache(maxsize=2 + 2)  # of two editions, and two settings of an experiment
def _text_index(
    edition: int, state: object, versions: object, weights: RankingWeights
) -> TextIndex:
    """Prepare an edition, or map what another process of this machine prepared."""
    state_hash = sha256(repr((state, versions, _code_hash())).encode()).hexdigest()[:16]
    folder = settings.VAR / PREPARED_FOLDER / f"{edition}-{state_hash}"
    model = embeddings.current_model()
    arrays = load_arrays(folder)
    if arrays is None:
        arrays = _prepare_arrays(edition, model)
        store_arrays(folder, arrays, MAX_PREPARED_EDITIONS)
        arrays = load_arrays(folder) or arrays
    scorer = EditionScorer.from_arrays(arrays, model, weights)
    cached_queries = MAX_CACHE_BYTES // (5 * max(len(scorer.papers), 1))
    return TextIndex(
        lru_cache(maxsize=cached_queries)(scorer.evaluate),
        InterestBlocks(scorer, arrays),
        scorer.correct_spelling,
        arrays["vectors"],
        arrays["near_duplicate"],
        arrays["author_group"],
    )


@cache
def _code_hash() -> str:
    """Hash the code that prepares editions: another release must not map its arrays."""
    code = sha256()
    for package in (Path(__file__).parent, Path(tokens.__file__).parent):
        for path in sorted(package.glob("*.py")):
            code.update(path.read_bytes())
    return code.hexdigest()


def _prepare_arrays(edition: int, model: LsaModel | None) -> Arrays:
    rows = (
        Candidate.objects.filter(edition=edition).select_related("paper").order_by("pk")
    )
    rows = rows.defer("breakdown", "paper__title_raw", "paper__abstract_raw")
    papers = [row.paper for row in rows]
    vectors = np.zeros((len(papers), 0), np.float32)
    if model:
        vectors = embeddings.rows(papers, model)
    texts = [_paper_text(row) for row in rows]
    scorer = EditionScorer(texts, vectors, model, embeddings.dense_rows(papers))
    return {
        **scorer.to_arrays(),
        **InterestBlocks(scorer).to_arrays(),
        "vectors": model.center(vectors) if model else vectors,
        "near_duplicate": scorer.near_duplicates(),
        "author_group": scorer.author_groups(),
    }


def _paper_text(candidate: Candidate) -> PaperText:
    card = candidate.card
    return PaperText(
        card["title"],
        card["abstract"],
        tuple(candidate.paper.authors),  # the card has the first three
        tuple(card["categories"]),
    )


def build_queries(interests: Iterable[InterestValue]) -> list[InterestQuery]:
    """Expand interests, stored or not, into what they stand for; at most four queries."""
    rows = list(interests)
    topics = _load_topics([r.value for r in rows if r.kind == Interest.Kind.TOPIC])
    papers = load_texts([r.value for r in rows if r.kind == Interest.Kind.PAPER])
    return [_build_query(row, topics, papers) for row in rows]


def _build_query(
    interest: InterestValue,
    topics: dict[str, InterestQuery],
    papers: dict[str, PaperText],
) -> InterestQuery:
    kind, value = interest.kind, interest.value
    if kind == Interest.Kind.TOPIC and value in topics:
        return topics[value]
    if kind == Interest.Kind.PAPER and value in papers:
        return InterestQuery(kind, value, examples=(papers[value],))
    return InterestQuery(kind, value)


def _load_topics(slugs: Sequence[str]) -> dict[str, InterestQuery]:
    topics = list(Topic.objects.filter(slug__in=slugs).prefetch_related("examples"))
    papers = {paper.pk: paper for topic in topics for paper in topic.examples.all()}
    texts = dict(zip(papers, _example_texts(list(papers.values())), strict=True))
    return {topic.slug: _topic_query(topic, texts) for topic in topics}


def _topic_query(topic: Topic, texts: Mapping[int, PaperText]) -> InterestQuery:
    return InterestQuery(
        kind=Interest.Kind.TOPIC,
        value=topic.name,
        description=topic.description,
        keywords=tuple(topic.keywords),
        categories=tuple(topic.categories),
        examples=tuple(texts[paper.pk] for paper in topic.examples.all()),
    )


def _load_papers(identifiers: Iterable[str]) -> dict[str, Paper]:
    papers = Paper.objects.filter(identifier__in=identifiers).only(*EXAMPLE_COLUMNS)
    return {paper.identifier: paper for paper in papers.order_by("pk")}


def _example_texts(papers: Sequence[Paper]) -> list[PaperText]:
    """Texts with their stored vectors, where these are of the models in use."""
    model, dense = embeddings.current_model(), embeddings.dense_model()
    return [
        PaperText(
            paper.title,
            paper.abstract,
            vector=bytes(paper.vector or b"")
            if model and paper.vector_version == model.version
            else b"",
            dense_vector=bytes(paper.dense_vector or b"")
            if dense and paper.dense_version == dense.version
            else b"",
        )
        for paper in papers
    ]


def load_texts(identifiers: Iterable[str]) -> dict[str, PaperText]:
    papers = _load_papers(identifiers)
    return dict(zip(papers, _example_texts(list(papers.values())), strict=True))


def split_ids(
    ids: Iterable[Value], size: int = MAX_IDS_PER_QUERY
) -> Iterable[list[Value]]:
    """Yield ids, or other values, in portions that fit into one query."""
    remaining = iter(ids)
    while portion := list(itertools.islice(remaining, size)):
        yield portion
