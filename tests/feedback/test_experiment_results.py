"""Wins of an experiment: counted by clicks and opinions, with an interval by readers."""

import random
from datetime import timedelta

import pytest

from digest.feedback import clicks, experiment_results, paper_feedback
from digest.feedback.experiment_results import share_interval
from digest.models import Experiment, Pick, RankingSetting
from tests import make
from tests.make import NOW

LATER = NOW + timedelta(hours=3)


@pytest.fixture
def experiment(db):
    setting = RankingSetting.objects.create(name="Trend", trend=1)
    made = Experiment.objects.create(name="More trend", second=setting)
    made.start(NOW - timedelta(days=1))
    made.refresh_from_db()
    return made


@pytest.fixture
def edition(db):
    return make.frozen(make.edition(papers=6))


def send(edition, reader, teams):
    """Send the edition's papers, drafted by these teams."""
    ids = edition.candidates.order_by("pk").values_list("pk", flat=True)
    picks = [Pick(pk, 0, team=team) for pk, team in zip(ids, teams, strict=False)]
    return make.digest(make.batch(edition, [reader]), reader, picks)


def test_a_digest_is_won_by_the_team_whose_papers_are_opened(experiment, edition):
    for numbers in ([2], [2, 4], [1], [1, 2], [3], []):
        digest = send(edition, make.subscriber(), [1, 2, 0, 2])
        for number in numbers:
            clicks.record_click(digest, number, "paper", LATER)

    results = experiment_results.count_wins(experiment)

    opened = results["clicks"]
    assert (opened.first, opened.second, opened.ties) == (1, 2, 2)
    assert opened.readers == 5
    assert opened.share == pytest.approx(2 / 3)
    assert results["both"] == opened
    assert results["opinions"].share is None


def test_opening_a_paper_twice_counts_once(experiment, edition, ada):
    digest = send(edition, ada, [1, 2, 2])
    for verb in ("paper", "pdf"):
        clicks.record_click(digest, 1, verb, LATER)
    clicks.record_click(digest, 1, "paper", LATER + timedelta(days=1))
    clicks.record_click(digest, 2, "paper", LATER)
    clicks.record_click(digest, 3, "paper", LATER)

    assert experiment_results.count_wins(experiment)["clicks"].second == 1


def test_opinions_count_for_the_team_of_the_paper(experiment, edition, ada, bob):
    liked, disliked = send(edition, ada, [1, 2]), send(edition, bob, [1, 2])
    paper_feedback.store_opinion(liked, 1, "more")
    paper_feedback.store_opinion(disliked, 1, "less")
    Experiment.objects.update(started_at=NOW - timedelta(days=30))
    experiment.refresh_from_db()

    opinions = experiment_results.count_wins(experiment)["opinions"]

    assert (opinions.first, opinions.second) == (1, 1)


def test_scanners_do_not_count(experiment, ada):
    edition = make.frozen(make.edition(papers=20))
    digest = send(edition, ada, [1, 2] * 10)
    for number in range(1, 20):
        clicks.record_click(digest, number, "paper", LATER)

    assert experiment_results.count_wins(experiment)["clicks"].readers == 0


def test_digests_outside_the_period_do_not_count(experiment, edition, ada):
    digest = send(edition, ada, [1, 2])
    clicks.record_click(digest, 1, "paper", LATER)
    experiment.stop(NOW - timedelta(hours=1))
    experiment.refresh_from_db()

    assert experiment_results.count_wins(experiment)["clicks"].readers == 0


def test_digests_without_teams_do_not_count(experiment, edition, ada):
    digest = send(edition, ada, [0, 0])
    clicks.record_click(digest, 1, "paper", LATER)

    assert experiment_results.count_wins(experiment)["clicks"].readers == 0


def test_results_are_stored_until_a_week_after_the_end(experiment, edition, ada):
    clicks.record_click(send(edition, ada, [1, 2]), 2, "paper", LATER)
    experiment.stop(LATER)

    assert experiment_results.update_results(LATER + timedelta(days=6)) == 1
    experiment.refresh_from_db()
    assert experiment.results["clicks"]["second"] == 1
    assert experiment.counted_at == LATER + timedelta(days=6)
    assert experiment_results.update_results(LATER + timedelta(days=8)) == 0


def test_overdue_experiments_end(experiment):
    experiment_results.update_results(NOW + timedelta(days=experiment.days))

    experiment.refresh_from_db()
    assert experiment.state == "ended"


@pytest.mark.parametrize(
    ("wins", "low", "high"),
    [
        ([(1, 1)] * 10, 0.72, 1.0),
        ([(0, 1)] * 10, 0.0, 0.28),
        ([(1, 1), (0, 1)] * 50, 0.40, 0.60),
        ([(10, 10), (0, 10)] * 5, 0.23, 0.77),  # worth ten digests, not a hundred
        ([(1, 1)], 0.21, 1.0),
    ],
)
def test_interval_is_wilsons_for_independent_digests(wins, low, high):
    _, least, most = share_interval(wins)

    assert (round(least, 2), round(most, 2)) == (low, high)


def test_no_decided_digest_has_no_interval():
    assert share_interval([]) is None


@pytest.mark.parametrize("digests", [1, 8])
def test_interval_holds_the_true_share_in_about_95_of_100_experiments(digests):
    """Readers differ: each prefers the second setting to another degree, half on average."""
    chance = random.Random(5)
    covered = 0
    for _ in range(300):
        wins = []
        for _ in range(60):
            preference = chance.choice([0.1, 0.9])
            won = sum(chance.random() < preference for _ in range(digests))
            wins.append((won, digests))
        _, low, high = share_interval(wins)
        covered += low <= 0.5 <= high

    assert 0.91 <= covered / 300 <= 0.99
