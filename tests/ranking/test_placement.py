"""A placement gives the numbers of a choice, and every reason why a paper is not picked."""

from datetime import timedelta

import pytest

from digest.models import Follow, Interest, Recall
from digest.ranking import choose, rank_edition
from digest.ranking.placement import absence, explain_placement
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers(db):
    """Twenty of one day, each by its own authors, four of them on storks."""
    for number in range(20):
        subject = "Storks over wetlands" if number < 4 else f"Subject{number} alone"
        make.paper(
            f"{subject}, part {number}",
            abstract=" ".join(f"word{number}{letter}" for letter in "abcdefgh"),
            authors=[f"Author {number}"],
        )


@pytest.fixture
def edition(papers):
    return rank_edition.rank_edition(DAY, NOW)


@pytest.fixture
def storks(edition):
    return list(edition.candidates.filter(paper__title__startswith="Storks"))


def follow(reader, kind, value, weight=1.0, source="chosen"):
    interest = make.interest(kind, value)
    Follow.objects.create(
        subscriber=reader, interest=interest, weight=weight, source=source
    )
    return interest


def test_placement_names_the_winning_interest_and_numbers(edition, storks, ada):
    word = follow(ada, "keyword", "storks")

    placement = explain_placement(edition, ada, storks[0], NOW)

    (part,) = placement.parts
    assert part.interests == [word]
    assert (part.weight, part.relevance, part.score.match) == (1.0, 1.0, 1_000_000)
    assert placement.place == 1 + placement.before
    assert placement.pick.interest == word.pk
    assert placement.score.is_match
    assert placement.score.total == 1_000_000 + placement.score.trend_bonus
    assert placement.breakdown == storks[0].breakdown


def test_the_place_is_the_one_in_the_digest(edition, ada):
    follow(ada, "keyword", "storks", 0.5)
    picks = choose.preview_for(edition, ada, NOW)

    places = {
        candidate.pk: explain_placement(edition, ada, candidate, NOW).place
        for candidate in edition.candidates.all()
    }

    assert [places[pick.candidate] for pick in picks] == list(range(1, 11))
    assert sum(place is None for place in places.values()) == 10


def test_placement_counts_open_papers_with_better_scores(edition, storks, ada):
    follow(ada, "keyword", "storks")
    follow(ada, "keyword", "subject9", -1.0)
    last = edition.candidates.order_by("trend", "-paper_id").first()

    placement = explain_placement(edition, ada, last, NOW)

    assert (placement.before, placement.open) == (18, 19)
    assert placement.place is None


def test_placement_distinguishes_mute_from_penalty(edition, storks, ada):
    ada_mutes = follow(ada, "keyword", "wetlands", -1.0)
    initial = storks[1].paper.authors[0].replace("Author", "A.")
    follow(ada, "author", initial, -0.5)

    placement = explain_placement(edition, ada, storks[1], NOW)

    reaches, pushes = placement.parts
    assert reaches.interests == [ada_mutes]
    assert (reaches.mutes, pushes.mutes) == (True, False)
    assert 0 < pushes.score.penalty < reaches.score.penalty == placement.score.penalty
    assert placement.place is None


def test_placement_distinguishes_sent_from_own_follow(edition, storks, ada):
    bea = make.subscriber()
    follow(bea, "paper", storks[0].paper.identifier, -1.0, "feedback")
    make.digest(make.batch(edition, [ada]), ada, [(storks[0].pk, 0)])

    hers = explain_placement(edition, ada, storks[0], NOW)
    theirs = explain_placement(edition, bea, storks[0], NOW)

    assert (hers.was_sent, hers.own_follow, hers.place) == (True, None, None)
    assert (theirs.was_sent, theirs.own_follow.weight, theirs.place) == (
        False,
        -1.0,
        None,
    )


def test_recalled_is_not_hidden_by_an_editor(edition, storks, ada):
    Recall.objects.create(paper=storks[0].paper, reason="wrong")
    edition.candidates.filter(pk=storks[1].pk).update(is_hidden=True)
    storks[1].refresh_from_db()

    recalled, hidden = (
        explain_placement(edition, ada, paper, NOW) for paper in storks[:2]
    )

    assert (recalled.is_recalled, hidden.is_recalled) == (True, False)
    assert hidden.candidate.is_hidden
    assert (recalled.place, hidden.place) == (None, None)


def test_placement_names_the_duplicate_pick(papers, ada):
    text = "Herons fish in shallow water at dusk while egrets stand and wait for frogs"
    for number in range(2):
        make.paper(f"Herons {number}", abstract=text, authors=[f"H {number}"])
    edition = rank_edition.rank_edition(DAY, NOW)
    follow(ada, "keyword", "herons")
    herons = edition.candidates.filter(paper__title__startswith="Herons")

    by_place = {
        explain_placement(edition, ada, paper, NOW).place: paper for paper in herons
    }
    other = explain_placement(edition, ada, by_place[None], NOW)

    assert set(by_place) == {1, None}
    assert other.duplicate_place == 1
    assert not other.author_group_is_full


def test_placement_reports_a_full_author_group(papers, ada):
    for number in range(5):
        words = " ".join(f"own{number}{letter}" for letter in "abcdefgh")
        make.paper(f"Herons {number}", abstract=words, authors=[f"H{number}", "Prof"])
    edition = rank_edition.rank_edition(DAY, NOW)
    follow(ada, "keyword", "herons")
    herons = edition.candidates.filter(paper__title__startswith="Herons")

    placements = [explain_placement(edition, ada, paper, NOW) for paper in herons]

    assert (
        sorted(each.author_group_is_full for each in placements)
        == [False] * 3 + [True] * 2
    )
    assert all(each.place is None for each in placements if each.author_group_is_full)


def test_placement_distinguishes_opened_from_chosen(edition, storks, ada):
    chosen = follow(ada, "keyword", "storks")
    for number in range(3):
        old = make.paper(
            f"Old storks {number}",
            abstract="Storks over wetlands, part of storks",
            announced_on=DAY - timedelta(days=60),
        )
        follow(ada, "paper", old.identifier, 0.25, "opened")
    Follow.objects.filter(source="opened").update(created_at=NOW)
    rank_edition.embeddings.refresh()

    placement = explain_placement(edition, ada, storks[0], NOW)

    kinds = {part.opened: part for part in placement.parts}
    assert kinds[False].interests == [chosen]
    assert [interest.kind for interest in kinds[True].interests] == [
        Interest.Kind.PAPER
    ] * 3
    assert kinds[True].weight == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"announce_type": "replace"}, "never mailed"),
        ({"announced_on": DAY + timedelta(days=1)}, "after this edition's day"),
        ({"announced_on": DAY - timedelta(days=14)}, "from 7 Nov 2026 on"),
        ({}, "after the last ranking"),
    ],
)
def test_absence_explains_missing_papers(edition, fields, words):
    assert words in absence(edition, make.paper(**fields))
