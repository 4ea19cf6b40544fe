"""More or less like this: a follow or a mute that tomorrow's selection reads."""

import pytest

from digest.feedback.paper_feedback import say, unsay
from digest.follows import MAX_EXAMPLE_PAPERS
from digest.models import Follow
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def edition(db):
    return make.edition(papers=3)


@pytest.fixture
def letter(edition, ada):
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
    return make.digest(make.batch(edition, [ada]), ada, picks=picks)


def stances(reader):
    rows = reader.follows.values_list("interest__kind", "interest__value", "weight")
    return list(rows)


@pytest.mark.parametrize(("verb", "weight"), [("more", 0.5), ("less", -1.0)])
def test_a_word_about_a_paper_is_a_stance_to_papers_like_it(
    edition, letter, ada, verb, weight
):
    paper = edition.candidates.all()[1].paper

    stance = say(letter, 2, verb)

    assert stances(ada) == [("paper", paper.identifier, weight)]
    assert stance.source == Follow.Source.FEEDBACK


def test_the_later_word_counts_and_twice_is_once(letter, ada):
    for verb in ("more", "more", "less"):
        say(letter, 1, verb)

    assert [weight for _, _, weight in stances(ada)] == [-1.0]


def test_a_word_can_be_taken_back(letter, ada):
    say(letter, 1, "less")
    say(letter, 2, "more")

    unsay(letter, 1)
    unsay(letter, 3)

    assert [weight for _, _, weight in stances(ada)] == [0.5]


def test_taking_back_leaves_what_the_reader_chose(edition, letter, ada):
    paper = edition.candidates.all()[0].paper
    ada.follows.create(interest=make.interest("paper", paper.identifier))

    unsay(letter, 1)

    assert ada.follows.count() == 1


def test_more_of_what_the_reader_chose_is_not_less_than_they_chose(
    edition, letter, ada
):
    paper = edition.candidates.all()[0].paper
    mine = ada.follows.create(interest=make.interest("paper", paper.identifier))

    assert say(letter, 1, "more") == mine
    assert stances(ada) == [("paper", paper.identifier, 1.0)]
    say(letter, 1, "less")
    assert stances(ada) == [("paper", paper.identifier, -1.0)]


def test_a_word_about_a_paper_that_was_only_opened_counts_as_said(edition, letter, ada):
    paper = edition.candidates.all()[0].paper
    seen = make.interest("paper", paper.identifier)
    ada.follows.create(interest=seen, weight=0.25, source="opened")

    stance = say(letter, 1, "more")

    assert (stance.weight, stance.source) == (0.5, "feedback")
    unsay(letter, 1)
    assert stances(ada) == []


@pytest.mark.parametrize("number", [-1, 0, 4])
def test_a_pick_that_the_mail_does_not_have_says_nothing(letter, ada, number):
    assert say(letter, number, "more") is None
    unsay(letter, number)

    assert stances(ada) == []


def test_a_reader_without_room_forgets_the_oldest_hint_never_a_choice(letter, ada):
    for number in range(MAX_EXAMPLE_PAPERS - 2):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))
    say(letter, 1, "less")
    say(letter, 2, "more")

    assert say(letter, 3, "more")

    assert ada.follows.count() == MAX_EXAMPLE_PAPERS
    hints = ada.follows.filter(source="feedback").values_list("weight", flat=True)
    assert list(hints) == [0.5, 0.5]


def test_a_reader_who_chose_all_there_is_room_for_keeps_it(letter, ada):
    for number in range(MAX_EXAMPLE_PAPERS):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))

    assert say(letter, 1, "more") is None
    assert ada.follows.count() == MAX_EXAMPLE_PAPERS
