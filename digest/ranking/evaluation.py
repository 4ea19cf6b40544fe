"""Evaluate the production ranking on recorded readers and days, beside plain baselines.

A set is a folder in the format of docs/ranking.md. Sets are ranked by the code that ranks
editions: the same scorer, groups of examples, selection and trend. Only what a ranker may
see of a set reaches them.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.stats import rankdata
from sklearn.preprocessing import normalize

from digest.ranking import clustering, lsa
from digest.ranking.bm25 import TermIndex
from digest.ranking.co_readership import CoReadership, score_related
from digest.ranking.lsa import Rows
from digest.ranking.relevance import (
    EditionScorer,
    InterestQuery,
    PaperText,
    mute_thresholds,
)
from digest.ranking.selection import Block, Matches, Role, Slate, select
from digest.ranking.trend import Attention, growth, trend
from digest.text.tokens import content_words

Reals = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Json = dict[str, Any]
Measures = dict[str, float]
Samples = list[tuple[datetime, str, float]]  # time, kind, value
Embed = Callable[[Sequence[str]], Rows]

DIGEST_LENGTH = 10
BOOTSTRAP_SAMPLES = 1_000
# This far below a plain baseline, a reader would be served better without this ranking.
BEHIND = 0.05
# Every paper of a recorded day was listed the day before.
RECORDED_AGE_HOURS = 24.0
# Many papers tie on a morning: each day is ranked in this many random orders of ties.
TIE_ORDERS = 20
LOWER_IS_BETTER = {"loss"}


@dataclass
class Evaluation:
    """The rankings of one ranker and their measures, per reader or day."""

    rankings: dict[str, list[str]] = field(default_factory=dict)
    measures: list[Measures] = field(default_factory=list)

    def add(self, name: str, ranking: Sequence[str], measured: Measures) -> None:
        self.rankings[name] = list(ranking)
        self.measures.append(measured)

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """The mean of each measure, and the bootstrap's 95 % interval."""
        names = sorted({name for row in self.measures for name in row})
        summary = {
            name: bootstrap_mean(
                np.array([row[name] for row in self.measures if name in row])
            )
            for name in names
            if not name.startswith("pair ")
        }
        costs = [
            (row["pair cost"], row["pair weight"])
            for row in self.measures
            if "pair cost" in row
        ]
        if costs:
            summary["loss"] = bootstrap_ratio(np.array(costs))
        return summary


def evaluate(
    folder: Path,
    readers: str = "",
    embed: Embed | None = None,
    min_shared: int = 0,
    topics: Mapping[str, InterestQuery] | None = None,
) -> tuple[Json, dict[str, Evaluation]]:
    """Return the set's description, and the results of production and of each baseline.

    `readers` names another file of the set's readers; `embed` is a sentence-transformer.
    With `min_shared`, papers are ranked as the pages find related ones, with the follows of
    all readers of the set. `topics`, by slug, are those that the set `claims` names. Production comes
    first.
    """
    if (folder / "pairs.jsonl").exists():
        about: Json = {"name": "claims", "metric": "right"}
        return about, {"production": evaluate_claims(folder, topics or {}, embed)}
    about = json.loads((folder / "set.json").read_text())
    if (folder / "days.jsonl").exists():
        return about, _evaluate_days(folder)
    path = folder / (readers or "readers.jsonl")
    return about, _evaluate_readers(folder, path, about, embed, min_shared)


def count_behind(results: dict[str, Evaluation], measure: str) -> tuple[int, int]:
    """For how many production is clearly behind their own best baseline, and for how many it is known."""
    production, *baselines = (
        [row.get(measure) for row in result.measures] for result in results.values()
    )
    pairs = [
        (own, max(best))
        for own, *best in zip(production, *baselines, strict=True)
        if own is not None
    ]
    return sum(own < best - BEHIND for own, best in pairs), len(pairs)


def read_rows(path: Path) -> Iterator[Json]:
    """Read the objects of a .jsonl file, plain or gzip."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def bootstrap_mean(values: Reals) -> tuple[float, float, float]:
    """The mean and the bootstrap's 2.5 and 97.5 percentiles; the same on every run."""
    return bootstrap_ratio(np.stack([values, np.ones(values.size)], axis=1))


def bootstrap_ratio(pairs: Reals) -> tuple[float, float, float]:
    """The ratio of two sums and its bootstrap interval: rows [n, 2]."""
    chance = np.random.default_rng(0)
    sums = pairs[chance.integers(0, len(pairs), (BOOTSTRAP_SAMPLES, len(pairs)))].sum(
        axis=1
    )
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(pairs[:, 0].sum() / pairs[:, 1].sum()), float(low), float(high)


# Readers


class RecordedPapers:
    """The papers of a set, prepared as an edition is."""

    def __init__(self, recorded: Sequence[Json], embed: Embed | None = None) -> None:
        self.ids = [paper["id"] for paper in recorded]
        self.place = {name: i for i, name in enumerate(self.ids)}
        self.background = np.array([bool(p.get("background")) for p in recorded])
        texts = [_paper_text(paper) for paper in recorded]
        self.model = lsa.fit_lsa([paper.text for paper in texts])
        self.rows = self.model.embed([paper.text for paper in texts])
        self.dense = embed([paper.text for paper in texts]) if embed else None
        self.texts = [
            PaperText(
                paper.title,
                paper.abstract,
                paper.authors,
                paper.categories,
                self.rows[i].tobytes(),
                b"" if self.dense is None else self.dense[i].tobytes(),
            )
            for i, paper in enumerate(texts)
        ]
        # As in an edition: papers that are only followed are no candidates and say nothing
        # about them.
        self.candidates = np.flatnonzero(~self.background)
        self.scorer = EditionScorer(
            [self.texts[i] for i in self.candidates],
            self.rows[self.candidates],
            self.model,
            None if self.dense is None else self.dense[self.candidates],
        )
        # Equal scores are ordered by chance, never by the order of the file.
        self.tie = np.random.default_rng(0).permutation(len(texts)) + 1

    @cached_property
    def term_index(self) -> TermIndex:
        return TermIndex([content_words(paper.text) for paper in self.texts])

    @cached_property
    def centered(self) -> Rows:
        return self.model.center(self.rows)

    def slate(self) -> Slate:
        """All papers as candidates without attention or curation."""
        zeros = np.zeros(len(self.ids), np.int64)
        numbers = np.arange(len(self.ids))
        duplicates = numbers.copy()
        duplicates[self.candidates] = self.candidates[self.scorer.near_duplicates()]
        trends = np.full(len(self.ids), 0.5)
        return Slate(
            self.tie, trends, zeros, zeros, self.background.copy(), duplicates, numbers
        )

    def match(self, queries: Sequence[InterestQuery]) -> Matches:
        """Evaluate each query against all papers; nothing is relevant that is no candidate."""
        shape = len(queries), len(self.ids)
        relevance, claimed = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for i, query in enumerate(queries):
            match = self.scorer.evaluate(query)
            relevance[i, self.candidates] = match.relevance
            claimed[i, self.candidates] = match.claimed
        return Matches(relevance, claimed, mute_thresholds(queries))


@dataclass(frozen=True)
class RecordedReader:
    """What a ranker may see of a reader: the papers followed, and which others are open to them."""

    follows: list[int]
    topics: list[Json]
    open: npt.NDArray[np.bool_]
    is_graded: bool = False  # the open papers are the graded ones


Scorer = Callable[[RecordedReader], Reals]
Ranker = Callable[[RecordedReader], Whole]


def _paper_text(paper: Json) -> PaperText:
    categories = tuple(paper.get("categories") or ())
    return PaperText(paper["title"], paper["abstract"], (), categories)


def _evaluate_readers(
    folder: Path, path: Path, about: Json, embed: Embed | None, min_shared: int
) -> dict[str, Evaluation]:
    papers = RecordedPapers(list(read_rows(folder / "papers.jsonl.gz")), embed)
    recorded = list(read_rows(path))
    graded = about.get("metric") == "loss"
    readers = [read_reader(papers, row, graded) for row in recorded]
    rank = (
        _related_ranker(papers, readers, min_shared)
        if min_shared
        else _digest_ranker(papers)
    )
    scorers = _baselines(papers)
    results = {name: Evaluation() for name in ("production", *scorers)}
    for row, reader in zip(recorded, readers, strict=True):
        judge = build_judge(papers, row, graded)
        _add_ranking(results["production"], papers, row["id"], rank(reader), judge)
        for scorer, score in scorers.items():
            ranking = _order_by(score(reader), reader.open, papers.tie)
            _add_ranking(results[scorer], papers, row["id"], ranking, judge)
    return results


def read_reader(
    papers: RecordedPapers, recorded: Json, graded: bool = False
) -> RecordedReader:
    follows = recorded["follows"]
    liked = [papers.place[p] for p in follows.get("papers", ()) if p in papers.place]
    if "candidates" in recorded:
        is_open = np.zeros(len(papers.ids), bool)
        names = recorded["candidates"]
        is_open[[papers.place[p] for p in names if p in papers.place]] = True
    else:
        is_open = ~papers.background
    is_open[liked] = False
    return RecordedReader(liked, list(follows.get("topics", ())), is_open, graded)


def _digest_ranker(papers: RecordedPapers) -> Ranker:
    slate = papers.slate()
    return lambda reader: _rank_by_production(papers, slate, reader)


def _related_ranker(
    papers: RecordedPapers, readers: Sequence[RecordedReader], min_shared: int
) -> Ranker:
    """Rank as the pages find related papers; readers who follow no paper get a digest."""
    people = np.repeat(np.arange(len(readers)), [len(r.follows) for r in readers])
    followed = np.concatenate([np.array(r.follows, np.int64) for r in readers])
    co_readership = CoReadership(people, followed, min_shared)
    rank_digest = _digest_ranker(papers)

    def rank(reader: RecordedReader) -> Whole:
        if not reader.follows:
            return rank_digest(reader)
        shared = np.zeros(len(papers.ids))
        ids, near = co_readership.neighbours(reader.follows)
        shared[ids] = near
        centered = papers.centered
        scores = score_related(centered, centered[reader.follows], shared)
        return _order_by(scores, reader.open, papers.tie)

    return rank


def _rank_by_production(
    papers: RecordedPapers, slate: Slate, reader: RecordedReader
) -> Whole:
    """The reader's digest of ten, then the papers of the next ones.

    A few graded candidates are put in the order that production uses, without reserving
    places.
    """
    queries, weights, roles = build_reader_queries(papers, reader)
    matches = papers.match(queries)
    if reader.is_graded:
        rows = zip(matches.relevance, weights, roles, strict=True)
        ordering = [row * weight for row, weight, role in rows if role != Role.PLACES]
        scores = np.max(np.array(ordering, np.float64), axis=0)
        return _order_by(scores, reader.open, papers.tie)
    closed = np.flatnonzero(~reader.open).tolist()

    def choose(sent: list[int], length: int) -> list[int]:
        block = Block(csr_matrix([weights]), [sent], [length], roles=roles)
        return [choice.candidate for choice in select(slate, matches, block)[0]]

    ten = choose(closed, DIGEST_LENGTH)
    return np.array(ten + choose(closed + ten, len(papers.ids)), np.int64)


def build_reader_queries(
    papers: RecordedPapers, reader: RecordedReader
) -> tuple[list[InterestQuery], list[float], list[Role]]:
    """Queries, weights and roles: a topic with examples, or topics beside groups of papers."""
    examples = tuple(papers.texts[i] for i in reader.follows)
    topics = [_topic_query(topic) for topic in reader.topics]
    if len(topics) == 1 and examples:
        query = _topic_query(reader.topics[0], examples)
        return [query], [1.0], [Role.ORDER_AND_PLACES]
    groups = (
        clustering.group_examples(papers.centered[reader.follows]) if examples else []
    )
    queries = [
        InterestQuery("paper", str(i), examples=tuple(examples[k] for k in group))
        for i, group in enumerate(groups)
    ]
    weights, roles = (
        clustering.group_weights(groups),
        [Role.ORDER_AND_PLACES] * len(groups),
    )
    if len(groups) > 1:
        queries.append(InterestQuery("paper", "all", examples=examples))
        weights, roles = [*weights, 1.0], [Role.PLACES] * len(groups) + [Role.ORDER]
    return (
        topics + queries,
        [1.0] * len(topics) + weights,
        [Role.ORDER_AND_PLACES] * len(topics) + roles,
    )


def _topic_query(topic: Json, examples: tuple[PaperText, ...] = ()) -> InterestQuery:
    keywords = tuple(topic.get("keywords") or ())
    return InterestQuery(
        "topic", topic["name"], topic.get("description") or "", keywords, (), examples
    )


def _baselines(papers: RecordedPapers) -> dict[str, Scorer]:
    index, chance = papers.term_index, np.random.default_rng(1)

    def meaning(reader: RecordedReader) -> Rows:
        return papers.model.center(papers.model.embed(_profile_texts(papers, reader)))

    return {
        "TF-IDF centroid": lambda r: index.centroid_cosine(_profile_texts(papers, r)),
        "TF-IDF nearest": lambda r: index.cosines(_profile_texts(papers, r)).max(
            axis=1
        ),
        "LSA centroid": lambda r: np.asarray(
            papers.centered @ normalize(meaning(r)).mean(axis=0), np.float64
        ),
        "LSA nearest": lambda r: np.asarray(
            (papers.centered @ meaning(r).T).max(axis=1), np.float64
        ),
        "BM25": lambda r: index.bm25_scores(" ".join(_profile_texts(papers, r))),
        "random": lambda r: chance.random(r.open.size),
    }


def _profile_texts(papers: RecordedPapers, reader: RecordedReader) -> list[str]:
    """The texts of the papers that a reader follows, else those of the topics."""
    topics = [_topic_query(topic).text for topic in reader.topics]
    return [papers.texts[i].text for i in reader.follows] or topics or [""]


def _order_by(scores: Reals, is_open: npt.NDArray[np.bool_], tie: Whole) -> Whole:
    places = np.flatnonzero(is_open)
    return places[np.lexsort((tie[places], -scores[places]))]


# Measures


@dataclass(frozen=True)
class Judge:
    """The grades of a reader's papers, and the relevant papers of each interest.

    `is_graded`: all candidates have grades, so that pairs of them are compared.
    """

    grades: Reals
    interests: list[set[int]]
    is_graded: bool = False


def build_judge(papers: RecordedPapers, recorded: Json, graded: bool = False) -> Judge:
    grades = np.zeros(len(papers.ids))
    for name, grade in recorded["relevant"].items():
        if name in papers.place:
            grades[papers.place[name]] = grade
    parts = recorded.get("relevant_by_interest", ())
    lists = parts.values() if isinstance(parts, dict) else parts
    interests = [{papers.place[p] for p in ids if p in papers.place} for ids in lists]
    return Judge(grades, interests, graded)


def _add_ranking(
    result: Evaluation,
    papers: RecordedPapers,
    name: str,
    ranking: Whole,
    judge: Judge,
) -> None:
    grades = judge.grades[ranking]
    measured = measure_pairs(grades) if judge.is_graded else measure_ranking(grades)
    if judge.interests:
        ten = set(ranking[:DIGEST_LENGTH].tolist())
        covered = [bool(ten & interest) for interest in judge.interests]
        measured["coverage@10"] = float(np.mean(covered))
    result.add(name, [papers.ids[i] for i in ranking.tolist()], measured)


def measure_ranking(grades: Reals) -> Measures:
    """Measure the grades of all candidates in ranked order.

    Empty without a relevant paper, and where every paper is relevant: such a reader can
    be served neither well nor badly.
    """
    hits = np.flatnonzero(grades > 0) + 1
    if not hits.size or hits.size == grades.size:
        return {}
    return {
        "ndcg@10": ndcg(2**grades - 1, 10),
        "recall@10": float((hits <= 10).mean()),
        "recall@50": float((hits <= 50).mean()),
        "ap": float((np.arange(1, hits.size + 1) / hits).mean()),
        "mrr": float(1 / hits[0]),
        "auc": _auc(hits, grades.size),
    }


def measure_pairs(grades: Reals) -> Measures:
    """Weigh the pairs in the wrong order by their difference of grades; `grades` are in ranked order.

    `easy`: the share of pairs of at least 4 and at most 2 that are in the right order.
    """
    cost = weight = 0.0
    easy: list[bool] = []
    for first, second in combinations(grades.tolist(), 2):
        weight += abs(first - second)
        cost += max(second - first, 0)
        if max(first, second) >= 4 and min(first, second) <= 2:
            easy.append(first > second)
    if not weight:
        return {}
    measures = {"pair cost": cost, "pair weight": weight}
    return {**measures, "easy": float(np.mean(easy))} if easy else measures


def ndcg(gains: Reals, k: int) -> float:
    """Discounted gain of the first k over the best possible; 1.0 where all gain is 0."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.sort(gains)[::-1][:k] @ discount[: gains.size]
    return float(gains[:k] @ discount[: gains.size] / best) if best else 1.0


def _auc(hits: Whole, n: int) -> float:
    misses_above = hits - np.arange(1, hits.size + 1)
    return float(1 - (misses_above / (n - hits.size)).mean())


# Claims


def evaluate_claims(
    folder: Path, topics: Mapping[str, InterestQuery], embed: Embed | None = None
) -> Evaluation:
    """Judge claims pair by pair: `right` of what is claimed, and `found` of what should be.

    The papers stand among those of `trend_2026` beside it, as in an edition, because what
    stands out depends on the other candidates.
    """
    pairs = list(read_rows(folder / "pairs.jsonl"))
    background = folder.parent / "trend_2026" / "papers.jsonl.gz"
    others = list(read_rows(background)) if background.exists() else []
    recorded = {paper["id"]: paper for paper in others}
    recorded |= {pair["paper"]["id"]: pair["paper"] for pair in pairs}
    papers = RecordedPapers(list(recorded.values()), embed)
    result = Evaluation()
    for pair in pairs:
        claimed = False
        for kind, value in pair["follows"]:
            query = topics[value] if kind == "topic" else InterestQuery(kind, value)
            column = papers.place[pair["paper"]["id"]]
            claimed |= bool(papers.scorer.evaluate(query).claimed[column])
        measured = {"right": float(pair["grade"] >= 1)} if claimed else {}
        if pair["grade"] == 2:
            measured["found"] = float(claimed)
        result.add(f"{pair['reader']} {pair['paper']['id']}", [], measured)
    return result


# Days


def _evaluate_days(folder: Path) -> dict[str, Evaluation]:
    samples: dict[str, Samples] = defaultdict(list)
    for row in read_rows(folder / "signals.jsonl.gz"):
        at = datetime.fromisoformat(row["at"])
        samples[row["paper"]].append((at, row["kind"], float(row["value"])))
    scorers = {
        "production": _score_trends,
        "latest upvotes": _latest_upvotes,
        "listing": _listing_order,
        "random": _no_scores,
    }
    results = {name: Evaluation() for name in scorers}
    chance = np.random.default_rng(1)
    for day in read_rows(folder / "days.jsonl"):
        asof = datetime.fromisoformat(day["asof"])
        seen = [
            sorted(sample for sample in samples[paper] if sample[0] <= asof)
            for paper in day["papers"]
        ]
        ties = [chance.permutation(len(seen)) for _ in range(TIE_ORDERS)]
        for name, scorer in scorers.items():
            _add_day(results[name], day, scorer(seen), ties)
    return results


def _score_trends(seen: Sequence[Samples]) -> Reals:
    papers = [
        Attention(
            "",
            RECORDED_AGE_HOURS,
            {kind: value for _, kind, value in samples},
            growth((at, value) for at, kind, value in samples if kind == "upvotes"),
        )
        for samples in seen
    ]
    return np.array([scored.score for scored in trend(papers)])


def _latest_upvotes(seen: Sequence[Samples]) -> Reals:
    latest = [{kind: value for _, kind, value in samples} for samples in seen]
    return np.array([counts.get("upvotes", 0.0) for counts in latest])


def _no_scores(seen: Sequence[Samples]) -> Reals:
    return np.zeros(len(seen))


def _listing_order(seen: Sequence[Samples]) -> Reals:
    return -np.arange(len(seen), dtype=float)


def _add_day(
    result: Evaluation, day: Json, scores: Reals, ties: Sequence[Whole]
) -> None:
    """Add the mean of a day's measures over random orders of its ties."""
    final = np.array([day["final"].get(paper, 0) for paper in day["papers"]], float)
    orders = [np.lexsort((tie, -scores)) for tie in ties]
    rows = [_measure_day(final, order) for order in orders]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    ranking = [day["papers"][i] for i in orders[0].tolist()]
    result.add(day["day"], ranking, means)


def _measure_day(final: Reals, order: Whole) -> Measures:
    ranked = final[order]
    gains = np.log2(1 + np.maximum(ranked, 0))
    best = min(5, final.size)
    top = float(np.mean(ranked[:best] >= np.sort(final)[-best])) if best else 1.0
    measured = {"ndcg@10": ndcg(gains, 10), "ndcg@5": ndcg(gains, 5), "top5": top}
    return {**measured, "spearman": _spearman(ranked)}


def _spearman(ranked: Reals) -> float:
    """Rank correlation of the order with the final counts; 0 where all are equal."""
    if ranked.size < 2 or np.ptp(ranked) == 0:
        return 0.0
    return float(np.corrcoef(-np.arange(ranked.size), rankdata(ranked))[0, 1])
