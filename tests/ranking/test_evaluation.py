"""Measures are right, and nothing that a ranker may not see reaches it."""

import gzip
import json
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from digest.ranking import lsa
from digest.ranking.evaluation import (
    Evaluation,
    RecordedPapers,
    bootstrap_mean,
    count_behind,
    evaluate,
    measure_ranking,
    ndcg,
    read_rows,
)
from digest.ranking.relevance import InterestQuery

THEMES = {
    "storks": "storks cross wetlands while volunteers count autumn nests",
    "quarks": "quarks bind gluons inside dense hadron lattice simulations",
    "welds": "welds crack under fatigue where steel plates corrode slowly",
}


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def readers(tmp_path):
    """A set with twelve invented papers a theme, and a reader of two of the themes."""
    papers = [
        {"id": f"{theme}-{n}", "title": f"{theme} {n}", "abstract": f"{text} sample{n}"}
        for theme, text in THEMES.items()
        for n in range(12)
    ]
    parts = [[f"{theme}-{n}" for n in range(4, 12)] for theme in ("storks", "quarks")]
    reader = {
        "id": "ada",
        "follows": {
            "papers": [f"{t}-{n}" for n in range(4) for t in ("storks", "quarks")],
            "topics": [],
        },
        "relevant": dict.fromkeys(parts[0] + parts[1], 1),
        "relevant_by_interest": {"a": parts[0], "b": parts[1]},
    }
    (tmp_path / "set.json").write_text('{"name": "invented", "metric": "coverage@10"}')
    write(tmp_path / "readers.jsonl", [reader])
    write(tmp_path / "other.jsonl", [{**reader, "id": "bob"}])
    with gzip.open(tmp_path / "papers.jsonl.gz", "wt") as file:
        file.writelines(f"{json.dumps(paper)}\n" for paper in papers)
    return tmp_path


def run(*args):
    out = StringIO()
    call_command("evaluate", *map(str, args), stdout=out)
    return out.getvalue()


def test_both_interests_of_a_reader_are_in_the_ten(readers):
    _, results = evaluate(readers)

    summary = results["production"].summary()
    assert summary["coverage@10"] == (1.0, 1.0, 1.0)
    assert summary["ndcg@10"][0] == pytest.approx(1.0)
    assert summary["ap"][0] > results["random"].summary()["ap"][0] + 0.2


def test_background_papers_do_not_change_the_scores_of_candidates(monkeypatch):
    """As in an edition, where the examples of readers are no candidates."""
    papers = [
        {"id": f"{theme}-{n}", "title": theme, "abstract": f"{text} sample{n}"}
        for theme, text in THEMES.items()
        for n in range(12)
    ]
    old = [
        {"id": f"old-{n}", "title": "storks", "abstract": "quarks", "background": True}
        for n in range(9)
    ]
    query, fit = InterestQuery("topic", "storks and quarks"), lsa.fit_lsa

    def relevance(recorded):
        monkeypatch.setattr(lsa, "fit_lsa", lambda texts: fit(texts[:36]))
        return RecordedPapers(recorded).match([query]).relevance

    before, after = relevance(papers), relevance(papers + old)

    assert before.any()
    assert after[:, :36].tolist() == before.tolist()
    assert not after[:, 36:].any()


def test_a_ranking_holds_every_candidate_once_and_none_that_is_followed(readers):
    _, results = evaluate(readers)

    ranking = results["production"].rankings["ada"]
    assert len(ranking) == len(set(ranking)) == 36 - 8
    assert not {"storks-0", "quarks-3"} & set(ranking)


def test_grades_do_not_reach_the_ranker(readers):
    before = evaluate(readers)[1]["production"].rankings
    reader = json.loads((readers / "readers.jsonl").read_text())
    write(readers / "readers.jsonl", [{**reader, "relevant": {"welds-1": 1}}])

    after = evaluate(readers)[1]["production"].rankings

    assert after == before


@pytest.fixture
def crowd(readers):
    """Besides, ten readers of the same two themes who also follow four papers on welds."""
    ada = json.loads((readers / "readers.jsonl").read_text())
    liked = [*ada["follows"]["papers"], *(f"welds-{n}" for n in range(8, 12))]
    others = [
        {
            "id": f"reader {n}",
            "follows": {"papers": liked},
            "relevant": {"quarks-11": 1},
        }
        for n in range(10)
    ]
    del ada["relevant_by_interest"]
    write(readers / "readers.jsonl", [ada, *others])
    return readers


def welds_first(ranking):
    return {name for name in ranking[:4] if name.startswith("welds")}


def test_co_readership_is_used_only_on_request(crowd):
    alone = evaluate(crowd)[1]["production"].rankings["ada"]
    together = evaluate(crowd, min_shared=10)[1]["production"].rankings["ada"]
    too_few = evaluate(crowd, min_shared=12)[1]["production"].rankings["ada"]

    assert welds_first(together) == {"welds-8", "welds-9", "welds-10", "welds-11"}
    assert welds_first(alone) == welds_first(too_few) == set()
    assert sorted(together) == sorted(alone)


def test_hidden_papers_do_not_reach_co_readership(crowd):
    before = evaluate(crowd, min_shared=1)[1]["production"].rankings
    readers = list(read_rows(crowd / "readers.jsonl"))
    write(
        crowd / "readers.jsonl",
        [{**reader, "relevant": {"welds-1": 1}} for reader in readers],
    )

    after = evaluate(crowd, min_shared=1)[1]["production"].rankings

    assert after == before


def test_the_order_of_a_set_s_readers_changes_no_ranking(crowd):
    before = evaluate(crowd, min_shared=1)[1]["production"].rankings
    readers = list(read_rows(crowd / "readers.jsonl"))
    write(crowd / "readers.jsonl", readers[::-1])

    assert evaluate(crowd, min_shared=1)[1]["production"].rankings == before


def test_the_command_says_that_other_readers_helped(crowd):
    out = run(crowd, "--others", 3, "--rankings", crowd / "rankings.jsonl")

    first, *_ = (crowd / "rankings.jsonl").read_text().splitlines()
    assert "invented, related papers, pairs of 3+ readers: 11" in out
    assert "welds" in json.loads(first)["ranking"][0]
    assert "related papers" not in run(crowd)


def test_who_follows_no_paper_gets_a_digest_whatever_others_follow(readers):
    name = "other.jsonl"
    topics = [{"name": "welds", "keywords": ["corrode slowly"]}]
    bob = {"id": "bob", "follows": {"topics": topics}, "relevant": {}}
    write(readers / name, [bob])

    alone = evaluate(readers, name)[1]["production"].rankings

    assert evaluate(readers, name, min_shared=1)[1]["production"].rankings == alone


def test_the_command_prints_and_writes_what_it_found(readers):
    out = run(
        readers, "--readers", "other.jsonl", "--json", readers / "out.json",
        "--rankings", readers / "rankings.jsonl",
    )  # fmt: skip

    (line,) = (readers / "rankings.jsonl").read_text().splitlines()
    written = json.loads((readers / "out.json").read_text())[str(readers)]
    assert json.loads(line)["reader"] == "bob"
    assert written["rankers"]["production"]["coverage@10"]["mean"] == 1.0
    assert "production" in out
    assert "TF-IDF centroid" in out
    assert "below the best of the others for 0 of 1" in " ".join(out.split())


def test_a_folder_that_is_no_set_is_an_error(tmp_path):
    with pytest.raises(CommandError, match="is not a set"):
        run(tmp_path)


@pytest.fixture
def days(tmp_path):
    """One day of three papers; the last is overtaken only after the ranking."""
    (tmp_path / "set.json").write_text('{"name": "days", "metric": "top5"}')
    write(
        tmp_path / "days.jsonl",
        [
            {
                "day": "2026-11-19",
                "asof": "2026-11-20T06:00:00Z",
                "papers": ["a", "b", "c"],
                "final": {"a": 1, "b": 9, "c": 5},
            }
        ],
    )
    votes = [
        ("a", 20, 99, "21"),
        ("b", 19, 7, "10"),
        ("c", 19, 3, "10"),
        ("a", 19, 1, "10"),
    ]
    with gzip.open(tmp_path / "signals.jsonl.gz", "wt") as file:
        for paper, day, value, hour in votes:
            at = f"2026-11-{day}T{hour}:00:00Z"
            row = {"paper": paper, "at": at, "kind": "upvotes", "value": value}
            file.write(f"{json.dumps(row)}\n")
    return tmp_path


def test_trend_uses_only_votes_before_asof(days):
    _, results = evaluate(days)

    assert results["production"].rankings == {"2026-11-19": ["b", "c", "a"]}
    assert results["production"].summary()["spearman"][0] == pytest.approx(1.0)


def test_days_are_written_as_days(days):
    run(days, "--rankings", days / "rankings.jsonl")

    line = json.loads((days / "rankings.jsonl").read_text())
    assert line == {"day": "2026-11-19", "ranking": ["b", "c", "a"]}


def test_measures_of_a_ranking_worked_out_by_hand():
    results = measure_ranking(np.array([0, 1.0, 0, 1.0]))

    assert results["mrr"] == 0.5
    assert results["ap"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert results["auc"] == pytest.approx(1 / 4)
    assert results["recall@10"] == 1.0
    dcg = 1 / np.log2(3) + 1 / np.log2(5)
    assert results["ndcg@10"] == pytest.approx(dcg / (1 + 1 / np.log2(3)))


def test_who_is_clearly_behind_their_own_best_baseline_is_counted():
    """Of three readers the first two lose, one of them by little; of a fourth nothing is known."""
    results = {
        "production": Evaluation(measures=[{"ap": 0.5}, {"ap": 0.5}, {"ap": 0.5}, {}]),
        "words": Evaluation(measures=[{"ap": 0.6}, {"ap": 0.54}, {"ap": 0.1}, {}]),
        "meaning": Evaluation(measures=[{"ap": 0.2}, {"ap": 0.2}, {"ap": 0.5}, {}]),
    }

    assert count_behind(results, "ap") == (1, 3)


def test_the_best_order_has_the_whole_gain():
    assert ndcg(np.array([3.0, 2.0, 0.0]), 10) == pytest.approx(1.0)


def test_an_interval_holds_its_mean_and_is_the_same_again():
    values = np.random.default_rng(3).random(40)

    mean, low, high = bootstrap_mean(values)

    assert low < mean < high
    assert (mean, low, high) == bootstrap_mean(values)
