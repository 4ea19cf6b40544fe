"""Production is not worse than simple baselines on recorded readers and days."""

import gzip
import json
from datetime import datetime

import numpy as np
import pytest

from digest.ranking import lsa
from digest.ranking.co_readership import CoReadership, score_related
from digest.ranking.relevance import EditionScorer, InterestQuery, PaperText
from digest.ranking.trend import Attention, growth, trend
from tests.conftest import DATA, needs_data

pytestmark = [needs_data, pytest.mark.slow]

# What a change of scikit-learn's rounding may cost, not what we may lose.
SLACK = 0.01


def rows(name):
    path = DATA / "evaluation" / name
    read = gzip.open if path.suffix == ".gz" else open
    with read(path, "rt") as file:
        return [json.loads(line) for line in file]


def baseline_measures(name, baselines):
    return json.loads((DATA / "evaluation" / name / "set.json").read_text())[baselines]


def average_precision(scores, relevant):
    # Equal scores in a random order, never in that of the file.
    order = np.lexsort((np.random.default_rng(0).random(scores.size), -scores))
    hits = relevant[order]
    return float((np.cumsum(hits) / np.arange(1, hits.size + 1))[hits].mean())


@pytest.fixture(scope="module")
def topics():
    """The papers of the topics set, and the field over them."""
    recorded = rows("topics/papers.jsonl.gz")
    papers = [PaperText(paper["title"], paper["abstract"]) for paper in recorded]
    texts = [paper.text for paper in papers]
    model = lsa.fit_lsa(texts[::2])  # half of them, for half of the time
    return recorded, EditionScorer(papers, model.embed(texts), model)


def precision_of(reader, topics):
    """Average precision of what the reader's topic finds, with its example papers."""
    recorded, scorer = topics
    place = {paper["id"]: i for i, paper in enumerate(recorded)}
    followed = [place[name] for name in reader["follows"]["papers"]]
    (topic,) = reader["follows"]["topics"]
    query = InterestQuery(
        "topic",
        topic["name"],
        topic["description"],
        tuple(topic["keywords"]),
        examples=tuple(scorer.papers[i] for i in followed),
    )
    open_to = np.array([not paper.get("background") for paper in recorded])
    open_to[followed] = False
    relevant = np.array([paper["id"] in reader["relevant"] for paper in recorded])
    return average_precision(
        scorer.evaluate(query).relevance[open_to], relevant[open_to]
    )


@pytest.mark.parametrize(
    ("readers", "baselines", "ranker"),
    [
        ("readers.jsonl", "baselines", "TF-IDF centroid"),
        (
            "readers_topic_only.jsonl",
            "baselines_topic_only",
            "BM25, words of the topic",
        ),
    ],
)
def test_topic_ranking_reaches_the_baseline(topics, readers, baselines, ranker):
    expected = baseline_measures("topics", baselines)[ranker]["ap"]

    precisions = [precision_of(reader, topics) for reader in rows(f"topics/{readers}")]

    assert np.mean(precisions) >= expected - SLACK


def test_trend_predicts_the_later_top_five():
    measured = {}
    for row in rows("trend/signals.jsonl.gz"):
        at = datetime.fromisoformat(row["at"])
        measured.setdefault(row["paper"], []).append((at, row["kind"], row["value"]))

    shares = [share_of_top_five(day, measured) for day in rows("trend/days.jsonl")]

    assert (
        np.mean(shares)
        >= baseline_measures("trend", "baselines")["latest upvotes"]["top5"] - SLACK
    )


def share_of_top_five(day, measured):
    asof = datetime.fromisoformat(day["asof"])
    papers = [attention(measured.get(paper, ()), asof) for paper in day["papers"]]
    scores = np.array([result.score for result in trend(papers)])
    order = np.lexsort((np.random.default_rng(0).random(scores.size), -scores))
    final = np.array([day["final"].get(paper, 0) for paper in day["papers"]])
    best = min(5, final.size)
    return np.mean(final[order[:best]] >= np.sort(final)[-best])


def attention(signals, asof):
    seen = sorted(signal for signal in signals if signal[0] <= asof)
    counts = {kind: value for _, kind, value in seen}
    votes = [(at, value) for at, kind, value in seen if kind == "upvotes"]
    return Attention("", 24, counts, growth(votes))


def test_co_readership_recalls_most_of_a_library():
    """The goal is recall@50 of .58, where .49 is found by texts alone."""
    recorded = rows("libraries/papers.jsonl.gz")
    place = {paper["id"]: i for i, paper in enumerate(recorded)}
    texts = [f"{paper['title']}. {paper['abstract']}" for paper in recorded]
    model = lsa.fit_lsa(texts)
    vectors = model.center(model.embed(texts))
    readers = rows("libraries/readers.jsonl")
    libraries = [[place[p] for p in reader["follows"]["papers"]] for reader in readers]
    pairs = [(n, paper) for n, library in enumerate(libraries) for paper in library]
    co_readership = CoReadership(*np.array(pairs).T, min_shared=1)

    shares = []
    for reader, library in zip(readers, libraries, strict=True):
        beside = np.zeros(len(vectors))
        papers, near = co_readership.neighbours(library)
        beside[papers] = near
        scores = score_related(vectors, vectors[library], beside)
        scores[library] = -1
        hidden = [place[p] for p in reader["relevant"]]
        shares.append(np.isin(hidden, np.argsort(-scores)[:50]).mean())

    assert np.mean(shares) >= 0.58
