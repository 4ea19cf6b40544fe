"""Evaluation: the production ranking on recorded readers and days, beside plain baselines.

A set is a folder in the documented format (docs/ranking.md). Whatever ranks here is what
ranks in the morning: the same field, groups of examples, selection and trend. Nothing of a
set but what a ranker may see reaches them.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
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
from digest.ranking.lsa import Model
from digest.ranking.relevance import MUTE_FROM, EditionScorer, InterestQuery, PaperText
from digest.ranking.selection import Block, Slate, select
from digest.ranking.trend import Attention, growth, trend

Reals = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Json = dict[str, Any]
Measures = dict[str, float]
Measured = dict[str, list[tuple[datetime, str, float]]]  # per paper: time, kind, value

LENGTH = 10  # of a digest
RESAMPLES = 1_000  # of the bootstrap
BEHIND = 0.05  # this far below a plain baseline, a reader would do better without us
DAY_OLD = 24.0  # hours: every paper of a recorded day was listed the day before


@dataclass
class Found:
    """What one ranker found: a ranking of ids and its measures, per reader or day."""

    rankings: dict[str, list[str]] = field(default_factory=dict)
    measures: list[Measures] = field(default_factory=list)

    def add(self, name: str, ranking: Sequence[str], measured: Measures) -> None:
        self.rankings[name] = list(ranking)
        self.measures.append(measured)

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """Of each measure: the mean, and where 95 % of bootstrapped means lie."""
        names = sorted({name for row in self.measures for name in row})
        return {
            name: interval(
                np.array([row[name] for row in self.measures if name in row])
            )
            for name in names
        }


Fit = Callable[[Sequence[str]], Model]


def evaluate(
    folder: Path, readers: str = "", fit: Fit = lsa.fit, others: int = 0
) -> tuple[Json, dict[str, Found]]:
    """The set's description, and what production and each baseline found.

    `readers` names another file of the set's readers; `fit` makes the model of its
    papers. With `others` readers are shown what the pages call related papers, not a
    digest, and pairs of papers count that so many readers of the set follow. Production
    comes first.
    """
    about: Json = json.loads((folder / "set.json").read_text())
    if (folder / "days.jsonl").exists():
        return about, _days(folder)
    return about, _readers(folder, readers or "readers.jsonl", fit, others)


def behind(found: dict[str, Found], measure: str) -> tuple[int, int]:
    """For how many production is clearly behind their own best baseline, and of how many."""
    ours, *others = (
        [row.get(measure) for row in one.measures] for one in found.values()
    )
    pairs = [
        (own, max(best))
        for own, *best in zip(ours, *others, strict=True)
        if own is not None
    ]
    return sum(own < best - BEHIND for own, best in pairs), len(pairs)


def rows(path: Path) -> Iterator[Json]:
    """The objects of a .jsonl file, plain or gzip."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def interval(values: Reals) -> tuple[float, float, float]:
    """The mean and the bootstrap's 2.5 and 97.5 percentiles; the same on every run."""
    chance = np.random.default_rng(0)
    drawn = chance.integers(0, values.size, (RESAMPLES, values.size))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


# Readers


class Papers:
    """The papers of a set, prepared as an edition is."""

    def __init__(self, recorded: Sequence[Json], fit: Fit) -> None:
        self.ids = [paper["id"] for paper in recorded]
        self.place = {name: i for i, name in enumerate(self.ids)}
        self.background = np.array([bool(p.get("background")) for p in recorded])
        texts = [_text(paper) for paper in recorded]
        model = fit([paper.text for paper in texts])
        self.rows = model.embed([paper.text for paper in texts])
        # As in an edition: what is only followed is no candidate, and says nothing of them.
        self.candidates = np.flatnonzero(~self.background)
        open_to = [texts[i] for i in self.candidates]
        self.texts, self.model = texts, model
        self.field = EditionScorer(open_to, self.rows[self.candidates], model)
        # Equal scores go by chance, never by the order of the file.
        self.tie = np.random.default_rng(0).permutation(len(texts)) + 1

    @cached_property
    def term_index(self) -> TermIndex:
        return TermIndex([paper.text for paper in self.texts])

    def slate(self) -> Slate:
        """All papers as candidates nobody has looked at yet."""
        none = np.zeros(len(self.ids), np.int64)
        level = np.full(len(self.ids), 0.5)
        hidden = self.background.copy()
        circle = np.arange(len(self.ids))
        twin = circle.copy()
        twin[self.candidates] = self.candidates[self.field.near_duplicates()]
        return Slate(self.tie, level, none, none, hidden, twin, circle)

    def relevance(
        self, requested_interests: Sequence[InterestQuery]
    ) -> npt.NDArray[np.float32]:
        """Each wish against all papers; nothing is relevant that is no candidate."""
        found = np.zeros((len(requested_interests), len(self.ids)), np.float32)
        for i, wish in enumerate(requested_interests):
            found[i, self.candidates] = self.field.evaluate(wish)
        return found


@dataclass(frozen=True)
class Reader:
    """What a ranker may see of a reader: places of papers followed and open to them."""

    follows: list[int]
    topics: list[Json]
    open: npt.NDArray[np.bool_]


Scorer = Callable[[Reader], Reals]


def _text(paper: Json) -> PaperText:
    categories = tuple(paper.get("categories") or ())
    return PaperText(paper["title"], paper["abstract"], (), categories)


Ranker = Callable[[Reader], Whole]


def _readers(folder: Path, name: str, fit: Fit, others: int) -> dict[str, Found]:
    papers = Papers(list(rows(folder / "papers.jsonl.gz")), fit)
    everyone = list(rows(folder / name))
    readers = [reader_of(papers, recorded) for recorded in everyone]
    rank = _related(papers, readers, others) if others else _digests(papers)
    scorers = {"TF-IDF centroid": _words(papers), "meaning centroid": _meaning(papers)}
    chance = np.random.default_rng(1)
    scorers["random"] = lambda reader: chance.random(reader.open.size)
    scorers["BM25"] = _bm25(papers)
    found = {name: Found() for name in ("production", *scorers)}
    for recorded, reader in zip(everyone, readers, strict=True):
        judged = judge_of(papers, recorded)
        _add(found["production"], papers, recorded["id"], rank(reader), judged)
        for scorer, score in scorers.items():
            ranking = _ranked(score(reader), reader.open, papers.tie)
            _add(found[scorer], papers, recorded["id"], ranking, judged)
    return found


def reader_of(papers: Papers, recorded: Json) -> Reader:
    follows = recorded["follows"]
    known = [papers.place[p] for p in follows.get("papers", ()) if p in papers.place]
    if "candidates" in recorded:
        there = np.zeros(len(papers.ids), bool)
        there[
            [papers.place[p] for p in recorded["candidates"] if p in papers.place]
        ] = 1
    else:
        there = ~papers.background
    there[known] = False
    return Reader(known, list(follows.get("topics", ())), there)


def _digests(papers: Papers) -> Ranker:
    slate = papers.slate()
    return lambda reader: _production(papers, slate, reader)


def _related(papers: Papers, readers: Sequence[Reader], others: int) -> Ranker:
    """What the pages call related, from what all of these readers follow; a digest for who follows no paper."""
    people = np.repeat(np.arange(len(readers)), [len(one.follows) for one in readers])
    followed = np.concatenate([np.array(one.follows, np.int64) for one in readers])
    company, digest = CoReadership(people, followed, others), _digests(papers)

    def rank(reader: Reader) -> Whole:
        if not reader.follows:
            return digest(reader)
        beside = np.zeros(len(papers.ids))
        ids, near = company.neighbours(reader.follows)
        beside[ids] = near
        scores = score_related(papers.rows, papers.rows[reader.follows], beside)
        return _ranked(scores, reader.open, papers.tie)

    return rank


def _production(papers: Papers, slate: Slate, reader: Reader) -> Whole:
    """What the reader's digest of ten would hold, then what the next ones would."""
    requested_interests, weights = _wishes(papers, reader)
    relevance = papers.relevance(requested_interests)
    limits = [MUTE_FROM[wish.kind] for wish in requested_interests]
    closed = np.flatnonzero(~reader.open).tolist()

    def choose(sent: list[int], length: int) -> list[int]:
        block = Block(csr_matrix([weights]), [sent], [length])
        return [
            choice.candidate for choice in select(slate, relevance, limits, block)[0]
        ]

    ten = choose(closed, LENGTH)
    return np.array(ten + choose(closed + ten, len(papers.ids)), np.int64)


def _wishes(papers: Papers, reader: Reader) -> tuple[list[InterestQuery], list[float]]:
    """One topic with papers is a topic with examples; papers alone are grouped by taste."""
    examples = tuple(papers.texts[i] for i in reader.follows)
    topics = [_topic(topic) for topic in reader.topics]
    if len(topics) == 1 and examples:
        return [_topic(reader.topics[0], examples)], [1.0]
    grouped = clustering.group_examples(papers.rows[reader.follows]) if examples else []
    tastes = [
        InterestQuery("paper", str(i), examples=tuple(examples[k] for k in group))
        for i, group in enumerate(grouped)
    ]
    return topics + tastes, [1.0] * len(topics) + clustering.group_weights(grouped)


def _topic(topic: Json, examples: tuple[PaperText, ...] = ()) -> InterestQuery:
    words = tuple(topic.get("keywords") or ())
    return InterestQuery(
        "topic", topic["name"], topic.get("description") or "", words, (), examples
    )


def _asked(papers: Papers, reader: Reader) -> list[str]:
    """The texts that stand for a reader: of papers followed, else of topics."""
    topics = [_topic(topic) for topic in reader.topics]
    named = [" ".join([t.value, *t.keywords, t.description]) for t in topics]
    return [papers.texts[i].text for i in reader.follows] or named or [""]


def _words(papers: Papers) -> Scorer:
    return lambda reader: papers.term_index.centroid_cosine(_asked(papers, reader))


def _meaning(papers: Papers) -> Scorer:
    return lambda reader: np.asarray(
        papers.rows @ normalize(papers.model.embed(_asked(papers, reader))).mean(axis=0)
    )


def _bm25(papers: Papers) -> Scorer:
    return lambda reader: papers.term_index.bm25_scores(
        " ".join(_asked(papers, reader))
    )


def _ranked(scores: Reals, there: npt.NDArray[np.bool_], tie: Whole) -> Whole:
    places = np.flatnonzero(there)
    return places[np.lexsort((tie[places], -scores[places]))]


# Measures


@dataclass(frozen=True)
class Judge:
    """The grades of a reader's papers, and their interests' relevant ones."""

    grades: Reals
    interests: list[set[int]]


def judge_of(papers: Papers, recorded: Json) -> Judge:
    grades = np.zeros(len(papers.ids))
    for name, grade in recorded["relevant"].items():
        if name in papers.place:
            grades[papers.place[name]] = grade
    parts = recorded.get("relevant_by_interest", ())
    lists = parts.values() if isinstance(parts, dict) else parts
    return Judge(
        grades, [{papers.place[p] for p in ids if p in papers.place} for ids in lists]
    )


def _add(found: Found, papers: Papers, name: str, ranking: Whole, judge: Judge) -> None:
    measured = measures(judge.grades[ranking])
    if judge.interests:
        ten = set(ranking[:LENGTH].tolist())
        measured["coverage@10"] = float(
            np.mean([bool(ten & i) for i in judge.interests])
        )
    found.add(name, [papers.ids[i] for i in ranking.tolist()], measured)


def measures(grades: Reals) -> Measures:
    """Of the grades of all candidates in ranked order; none without a relevant one."""
    hits = np.flatnonzero(grades > 0) + 1
    if not hits.size:
        return {}
    return {
        "ndcg@10": ndcg(2**grades - 1, 10),
        "recall@10": float((hits <= 10).mean()),
        "recall@50": float((hits <= 50).mean()),
        "ap": float((np.arange(1, hits.size + 1) / hits).mean()),
        "mrr": float(1 / hits[0]),
        "auc": _auc(hits, grades.size),
    }


def ndcg(gains: Reals, k: int) -> float:
    """Discounted gain of the first k over the best possible; 1.0 where all gain is 0."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.sort(gains)[::-1][:k] @ discount[: gains.size]
    return float(gains[:k] @ discount[: gains.size] / best) if best else 1.0


def _auc(hits: Whole, n: int) -> float:
    misses = n - hits.size
    above = hits - np.arange(1, hits.size + 1)  # misses that stand above each hit
    return float(1 - (above / misses).mean()) if misses else 1.0


# Days


def _days(folder: Path) -> dict[str, Found]:
    measured: Measured = defaultdict(list)
    for row in rows(folder / "signals.jsonl.gz"):
        at = datetime.fromisoformat(row["at"])
        measured[row["paper"]].append((at, row["kind"], float(row["value"])))
    scorers = {"production": _trend, "latest upvotes": _upvotes, "listing": _listed}
    found = {name: Found() for name in (*scorers, "random")}
    chance = np.random.default_rng(1)
    for day in rows(folder / "days.jsonl"):
        asof = datetime.fromisoformat(day["asof"])
        seen = [
            sorted(signal for signal in measured[paper] if signal[0] <= asof)
            for paper in day["papers"]
        ]
        tie = chance.permutation(len(seen))
        for name, scorer in scorers.items():
            _add_day(found[name], day, np.lexsort((tie, -scorer(seen))))
        _add_day(found["random"], day, tie)
    return found


def _trend(seen: Sequence[list[tuple[datetime, str, float]]]) -> Reals:
    papers = [
        Attention(
            "",
            DAY_OLD,
            {kind: value for _, kind, value in signals},
            growth((at, value) for at, kind, value in signals if kind == "upvotes"),
        )
        for signals in seen
    ]
    return np.array([found.score for found in trend(papers)])


def _upvotes(seen: Sequence[list[tuple[datetime, str, float]]]) -> Reals:
    latest = [{kind: value for _, kind, value in signals} for signals in seen]
    return np.array([counts.get("upvotes", 0.0) for counts in latest])


def _listed(seen: Sequence[list[tuple[datetime, str, float]]]) -> Reals:
    return -np.arange(len(seen), dtype=float)


def _add_day(found: Found, day: Json, order: Whole) -> None:
    final = np.array([day["final"].get(paper, 0) for paper in day["papers"]], float)
    ranked = final[order]
    gains = np.log2(1 + np.maximum(ranked, 0))
    best = min(5, final.size)
    top = float(np.mean(ranked[:best] >= np.sort(final)[-best])) if best else 1.0
    measured = {"ndcg@10": ndcg(gains, 10), "ndcg@5": ndcg(gains, 5), "top5": top}
    measured["spearman"] = _spearman(ranked)
    found.add(day["day"], [day["papers"][i] for i in order.tolist()], measured)


def _spearman(ranked: Reals) -> float:
    """Rank correlation of the order with the final counts; 0 where all are equal."""
    if ranked.size < 2 or np.ptp(ranked) == 0:
        return 0.0
    return float(np.corrcoef(-np.arange(ranked.size), rankdata(ranked))[0, 1])
