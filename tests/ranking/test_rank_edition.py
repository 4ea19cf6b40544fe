"""Ranking decides which papers an edition holds, in which order, and keeps curation."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from digest.models import (
    AttentionSample,
    Candidate,
    Edition,
    EmbeddingModel,
    Frozen,
    Paper,
)
from digest.ranking import attention_prior, embeddings, rank_edition
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db


def signal(paper, value, kind="upvotes", hours_ago=1.0):
    at = NOW - make.hours(hours_ago)
    return AttentionSample.objects.create(
        paper=paper, source="huggingface", kind=kind, value=value, at=at
    )


def candidate_papers(edition):
    return set(edition.candidates.values_list("paper_id", flat=True))


@pytest.mark.both
def test_an_edition_holds_the_papers_of_fourteen_days():
    today, oldest = make.paper(), make.paper(announced_on=DAY - timedelta(days=13))
    make.paper(announced_on=DAY - timedelta(days=14))
    make.paper(announced_on=DAY + timedelta(days=1))

    edition = rank_edition.rank_edition(DAY, NOW)

    assert candidate_papers(edition) == {today.pk, oldest.pk}
    assert edition.ranked_at == NOW


def test_replacements_are_never_candidates():
    papers = {kind: make.paper(announce_type=kind) for kind in Paper.Announced.values}

    edition = rank_edition.rank_edition(DAY, NOW)

    assert candidate_papers(edition) == {
        papers[kind].pk for kind in ("new", "cross", "listed")
    }


def test_a_day_without_a_new_paper_has_no_edition():
    make.paper(announced_on=DAY - timedelta(days=1))
    make.paper(announce_type="replace")

    assert rank_edition.rank_edition(DAY, NOW) is None
    assert not Edition.objects.exists()


def test_attention_makes_the_trend_and_is_broken_down():
    popular, unvoted = make.paper(), make.paper()
    signal(popular, 40)

    edition = rank_edition.rank_edition(DAY, NOW)

    first, second = edition.candidates.all()
    assert (first.paper, second.paper) == (popular, unvoted)
    assert first.trend > second.trend > 0
    assert first.breakdown["upvotes"] > 0 == second.breakdown["upvotes"]


def test_the_latest_count_matters_and_clicks_add_up():
    paper = make.paper()
    for hours, votes in ((30, 9), (2, 4)):
        signal(paper, votes, hours_ago=hours)
        signal(paper, votes, kind="clicks", hours_ago=hours)
    signal(paper, 100, hours_ago=-1)  # measured after `now`

    measured = rank_edition._load_samples(DAY, NOW)

    assert rank_edition._latest_counts(measured[paper.pk]) == {
        "upvotes": 4,
        "clicks": 13,
    }


def test_maximum_keeps_the_most_trending_candidates_of_any_age(monkeypatch):
    monkeypatch.setattr(rank_edition, "MAX_CANDIDATES", 2)
    older = make.paper(announced_on=DAY - timedelta(days=1))
    signal(older, 50)
    unvoted, popular, dull = (make.paper() for _ in range(3))
    signal(popular, 9)
    signal(dull, 3)

    edition = rank_edition.rank_edition(DAY, NOW)

    assert candidate_papers(edition) == {older.pk, popular.pk}
    assert not candidate_papers(edition) & {unvoted.pk, dull.pk}


@pytest.mark.both
def test_curation_survives_a_new_ranking():
    paper = make.paper("A pinned paper")
    edition = rank_edition.rank_edition(DAY, NOW)
    edition.candidates.update(pin=2, boost=1, is_hidden=True, note="Look at figure 3.")
    Paper.objects.filter(pk=paper.pk).update(title="A pinned paper, revised", votes=7)
    signal(paper, 7)

    again = rank_edition.rank_edition(DAY, NOW + make.hours(1))

    candidate = again.candidates.get()
    assert (candidate.pin, candidate.boost, candidate.is_hidden) == (2, 1, True)
    assert candidate.note == "Look at figure 3."
    assert candidate.card["title"] == "A pinned paper, revised"
    assert candidate.card["votes"] == 7
    assert candidate.breakdown["upvotes"] > 0


def test_stale_candidates_are_deleted_unless_curated():
    make.paper()
    dropped, noted = make.paper(), make.paper()
    edition = rank_edition.rank_edition(DAY, NOW)
    edition.candidates.filter(paper=noted).update(note="Wait for this one.")
    Paper.objects.filter(pk__in=[dropped.pk, noted.pk]).update(announce_type="replace")

    rank_edition.rank_edition(DAY, NOW)

    assert noted.pk in candidate_papers(edition)
    assert dropped.pk not in candidate_papers(edition)


def test_ranking_twice_changes_nothing():
    for number in range(3):
        signal(make.paper(), number)
    rank_edition.rank_edition(DAY, NOW)
    before = list(Candidate.objects.order_by("pk").values())

    rank_edition.rank_edition(DAY, NOW)

    assert list(Candidate.objects.order_by("pk").values()) == before


def test_a_frozen_edition_is_not_ranked_again():
    make.frozen(make.edition())

    with pytest.raises(Frozen, match="frozen"):
        rank_edition.rank_edition(DAY, NOW)


def test_an_edition_frozen_meanwhile_is_left_alone(monkeypatch):
    edition = make.edition()
    before = list(edition.candidates.order_by("pk").values())
    monkeypatch.setattr(embeddings, "refresh", lambda: make.frozen(edition) and None)

    with pytest.raises(Frozen):
        rank_edition.rank_edition(DAY, NOW)

    assert list(edition.candidates.order_by("pk").values()) == before


def test_papers_are_embedded_under_one_model():
    papers = [make.paper(f"Storks and wetland number {n}") for n in range(3)]

    rank_edition.rank_edition(DAY, NOW)

    model = EmbeddingModel.objects.get()
    assert model.papers == 3
    versions = {Paper.objects.get(pk=paper.pk).vector_version for paper in papers}
    assert versions == {model.version}


def test_a_model_is_fitted_again_only_when_the_papers_are_four_times_as_many():
    first = [make.paper() for _ in range(2)]
    embeddings.refresh()
    before = embeddings.current_model().version
    for _ in range(5):
        make.paper()

    embeddings.refresh()
    assert embeddings.current_model().version == before

    make.paper()
    embeddings.refresh()
    after = embeddings.current_model().version
    assert after != before
    assert Paper.objects.get(pk=first[0].pk).vector_version == after
    assert not Paper.objects.exclude(vector_version=after).exists()


def test_a_paper_without_a_current_vector_is_embedded_on_the_way():
    stored, fresh = make.paper("Storks in wetland"), make.paper("Steel in welds")
    model = embeddings.refresh()
    Paper.objects.filter(pk=fresh.pk).update(vector=None, vector_version="")
    papers = list(Paper.objects.filter(pk__in=[stored.pk, fresh.pk]).order_by("pk"))

    past_papers = embeddings.rows(papers, model)

    assert (
        past_papers.tolist()
        == model.embed([embeddings.text_of(paper) for paper in papers]).tolist()
    )


def test_the_command_ranks_the_newest_day(capsys):
    make.paper(announced_on=DAY - timedelta(days=1))
    make.paper()

    call_command("rank")

    assert "2 candidates" in capsys.readouterr().out
    assert Edition.objects.get().day == DAY


def test_the_command_says_that_a_day_has_no_paper(capsys):
    make.paper()

    call_command("rank", day=DAY + timedelta(days=1))

    assert "no edition" in capsys.readouterr().out


def test_the_command_refuses_a_frozen_day_with_a_reason():
    make.frozen(make.edition())

    with pytest.raises(CommandError, match="frozen"):
        call_command("rank", day=DAY)


def test_the_command_asks_for_papers_where_there_are_none():
    with pytest.raises(CommandError, match="ingest"):
        call_command("rank")


@pytest.fixture
def settled(monkeypatch):
    """Forty papers of ten days ago: every second one by Bo, on storks, got votes."""
    monkeypatch.setattr(attention_prior, "MIN_VOTED_PAPERS", 20)
    for number in range(40):
        popular = number % 2
        subject = "Storks cross the wetland" if popular else "Quarks in a dense lattice"
        make.paper(
            f"{subject}, part {number}",
            announced_on=DAY - timedelta(days=10),
            authors=["Bo"] if popular else ["Al"],
            votes=9 * popular,
        )


def expected(edition, paper):
    return edition.candidates.get(paper=paper).breakdown["expected"]


@pytest.mark.both
def test_papers_without_votes_are_ordered_by_the_prior(settled):
    dull = make.paper("Quarks in another lattice", authors=["Al"])
    promising = make.paper("Storks of the wetland", authors=["Bo"])
    voted = make.paper("Quarks again, in a lattice", authors=["Al"])
    signal(voted, 1)
    Paper.objects.filter(pk=voted.pk).update(votes=1)

    edition = rank_edition.rank_edition(DAY, NOW)

    trends = dict(edition.candidates.values_list("paper_id", "trend"))
    assert trends[voted.pk] > trends[promising.pk] > trends[dull.pk]
    assert expected(edition, promising) > expected(edition, dull) >= 0
    assert expected(edition, voted) == 0


def test_no_prior_where_few_papers_have_votes(settled, monkeypatch):
    monkeypatch.setattr(attention_prior, "MIN_VOTED_PAPERS", 21)
    paper = make.paper("Storks of the wetland", authors=["Bo"])

    edition = rank_edition.rank_edition(DAY, NOW)

    assert expected(edition, paper) == 0


def test_prior_ignores_the_last_week_and_days_without_votes(settled):
    for days, votes in ((7, 50), (8, 3), (9, 0)):
        paper = make.paper(announced_on=DAY - timedelta(days=days), votes=votes)
    make.paper(announced_on=paper.announced_on, announce_type="replace", votes=8)
    model = embeddings.refresh()

    past_papers = rank_edition.past(DAY, model.version)

    assert (
        len(past_papers.votes)
        == len(past_papers.authors)
        == len(past_papers.rows)
        == 41
    )
    assert sorted(set(past_papers.votes)) == [0, 3, 9]
    assert past_papers.rows.shape[1] == model.dimensions


def test_the_newest_papers_are_learned_from(settled, monkeypatch):
    monkeypatch.setattr(rank_edition, "MAX_PAST_PAPERS", 3)
    newer = make.paper(announced_on=DAY - timedelta(days=8), votes=77)
    model = embeddings.refresh()

    past_papers = rank_edition.past(DAY, model.version)

    assert past_papers.votes[0] == newer.votes
    assert len(past_papers.votes) == 3
