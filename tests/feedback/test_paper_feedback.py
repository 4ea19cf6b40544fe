"""Opinions on papers are stored as follows and mutes."""

from datetime import UTC, datetime

import pytest

from digest.feedback.paper_feedback import store_opinion, withdraw_opinion
from digest.follows import MAX_EXAMPLE_PAPERS
from digest.models import Follow
from digest.ranking.choose import exclude_columns
from digest.ranking.edition_index import load_index
from digest.ranking.reader_profiles import load_profiles
from tests import make

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 9, 24, 7, tzinfo=UTC)


@pytest.fixture
def edition(db):
    return make.edition(papers=3)


@pytest.fixture
def digest(edition, ada):
    word = make.interest("keyword", "word").pk
    picks = [(candidate.pk, word) for candidate in edition.candidates.all()]
    return make.digest(make.batch(edition, [ada]), ada, picks=picks)


def follows_of(reader):
    rows = reader.follows.values_list("interest__kind", "interest__value", "weight")
    return list(rows)


@pytest.mark.parametrize(("verb", "weight"), [("more", 0.5), ("less", -1.0)])
def test_an_opinion_is_stored_as_a_follow_or_mute(edition, digest, ada, verb, weight):
    paper = edition.candidates.all()[1].paper

    stance = store_opinion(digest, 2, verb)

    assert follows_of(ada) == [("paper", paper.identifier, weight)]
    assert stance.source == Follow.Source.FEEDBACK


def test_less_like_a_filler_excludes_the_paper_and_teaches_nothing(edition, ada):
    first, second = edition.candidates.all()[:2]
    picks = [(first.pk, 0), (second.pk, 0)]
    filled = make.digest(make.batch(edition, [ada]), ada, picks=picks)

    stance = store_opinion(filled, 1, "less")

    assert stance.weight == 0
    profiles, index = load_profiles([ada], NOW), load_index(edition)
    excluded = exclude_columns(index, profiles, {}, [ada])
    assert profiles.profiles[ada.pk] == {}
    assert {index.papers[column] for column in excluded[ada.pk]} >= {first.paper_id}
    assert store_opinion(filled, 2, "more").weight == 0.5


def test_the_last_opinion_counts_and_repeats_change_nothing(digest, ada):
    for verb in ("more", "more", "less"):
        store_opinion(digest, 1, verb)

    assert [weight for _, _, weight in follows_of(ada)] == [-1.0]


def test_an_opinion_can_be_withdrawn(digest, ada):
    store_opinion(digest, 1, "less")
    store_opinion(digest, 2, "more")

    withdraw_opinion(digest, 1)
    withdraw_opinion(digest, 3)

    assert [weight for _, _, weight in follows_of(ada)] == [0.5]


def test_withdrawing_keeps_chosen_follows(edition, digest, ada):
    paper = edition.candidates.all()[0].paper
    ada.follows.create(interest=make.interest("paper", paper.identifier))

    withdraw_opinion(digest, 1)

    assert ada.follows.count() == 1


def test_more_like_this_does_not_weaken_a_chosen_follow(edition, digest, ada):
    paper = edition.candidates.all()[0].paper
    mine = ada.follows.create(interest=make.interest("paper", paper.identifier))

    assert store_opinion(digest, 1, "more") == mine
    assert follows_of(ada) == [("paper", paper.identifier, 1.0)]
    store_opinion(digest, 1, "less")
    assert follows_of(ada) == [("paper", paper.identifier, -1.0)]


def test_an_opinion_replaces_an_implicit_follow(edition, digest, ada):
    paper = edition.candidates.all()[0].paper
    seen = make.interest("paper", paper.identifier)
    ada.follows.create(interest=seen, weight=0.25, source="opened")

    stance = store_opinion(digest, 1, "more")

    assert (stance.weight, stance.source) == (0.5, "feedback")
    withdraw_opinion(digest, 1)
    assert follows_of(ada) == []


@pytest.mark.parametrize("number", [-1, 0, 4])
def test_an_opinion_on_a_missing_pick_is_ignored(digest, ada, number):
    assert store_opinion(digest, number, "more") is None
    withdraw_opinion(digest, number)

    assert follows_of(ada) == []


def test_at_the_limit_the_oldest_opinion_is_replaced_not_a_choice(digest, ada):
    for number in range(MAX_EXAMPLE_PAPERS - 2):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))
    store_opinion(digest, 1, "less")
    store_opinion(digest, 2, "more")

    assert store_opinion(digest, 3, "more")

    assert ada.follows.count() == MAX_EXAMPLE_PAPERS
    hints = ada.follows.filter(source="feedback").values_list("weight", flat=True)
    assert list(hints) == [0.5, 0.5]


def test_at_the_limit_of_chosen_follows_no_opinion_is_stored(digest, ada):
    for number in range(MAX_EXAMPLE_PAPERS):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))

    assert store_opinion(digest, 1, "more") is None
    assert ada.follows.count() == MAX_EXAMPLE_PAPERS
