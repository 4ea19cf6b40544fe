"""Follows: limits, normalization, reading lists."""

import pytest

from digest import follows
from digest.models import Follow, Interest
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def followed(reader, **fields):
    rows = reader.follows.filter(weight__gt=0, **fields).order_by("pk")
    return list(rows.values_list("interest__value", flat=True))


@pytest.mark.parametrize(
    ("entered", "stored"),
    [
        ("RLHF", "RLHF"),
        ("LLMs for NeRF", "LLMs for NeRF"),
        ("AlphaFold", "AlphaFold"),
        ("GPT-4 Agents", "GPT-4 agents"),
        ("Post-Training Quantization", "post-training quantization"),
        ("GAUSSIAN SPLATTING", "gaussian splatting"),
    ],
)
def test_keyword_keeps_the_capitals_of_abbreviations_only(ada, entered, stored):
    assert follows.follow(ada, "keyword", entered).interest.value == stored


def test_keyword_in_other_capitals_is_the_same_follow(ada):
    follows.follow(ada, "keyword", "RLHF")
    follows.follow(ada, "keyword", "rlhf", weight=-1.0)

    ((value, weight),) = ada.follows.values_list("interest__value", "weight")
    assert (value, weight) == ("RLHF", -1.0)


def test_a_library_leaves_room_for_topics_and_words(ada):
    papers = [make.paper().identifier for _ in range(follows.MAX_INTERESTS)]

    followed_values = follows.follow_papers(ada, papers)

    assert followed_values == papers
    for number in range(follows.MAX_INTERESTS):
        assert follows.follow(ada, "keyword", f"word {number}")
    assert follows.follow(ada, "keyword", "one too many") is None
    assert follows.follow(ada, "paper", make.paper().identifier)


def test_three_hundred_papers_are_the_most_and_the_first_ones_are_kept(ada):
    for number in range(follows.MAX_EXAMPLE_PAPERS - 2):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))
    papers = [make.paper().identifier for _ in range(3)]

    followed_values = follows.follow_papers(ada, [*papers, papers[0]])

    assert followed_values == papers[:2]
    assert ada.follows.count() == follows.MAX_EXAMPLE_PAPERS
    assert follows.remaining_places(ada, "paper") == 0
    assert follows.follow(ada, "paper", papers[2]) is None
    assert follows.follow_papers(ada, papers) == papers[:2]


def test_papers_that_were_only_opened_take_no_room_and_may_be_chosen(ada):
    papers = [make.paper().identifier for _ in range(2)]
    for paper in papers:
        interest = make.interest("paper", paper)
        ada.follows.create(interest=interest, weight=0.25, source="opened")

    assert follows.remaining_places(ada, "paper") == follows.MAX_EXAMPLE_PAPERS
    assert follows.follow_papers(ada, papers[:1]) == papers[:1]

    chosen = ada.follows.get(interest__value=papers[0])
    assert (chosen.weight, chosen.source) == (1.0, Follow.Source.CHOSEN)
    assert ada.follows.get(interest__value=papers[1]).source == "opened"


def test_a_list_makes_a_hint_a_choice_and_takes_no_dislike_back(ada):
    liked, disliked = make.paper().identifier, make.paper().identifier
    follows.follow(ada, "paper", liked, 0.5, Follow.Source.FEEDBACK)
    follows.follow(ada, "paper", disliked, -1.0, Follow.Source.FEEDBACK)

    followed_values = follows.follow_papers(ada, [disliked, liked, "2601.00001"])

    assert followed_values == [liked]
    assert ada.follows.get(interest__value=liked).weight == 1.0
    assert ada.follows.get(interest__value=disliked).weight == -1.0


def test_following_a_list_is_the_same_few_queries_for_any_length(
    ada, django_assert_num_queries
):
    papers = [make.paper().identifier for _ in range(50)]

    with django_assert_num_queries(8):  # two of them a savepoint
        follows.follow_papers(ada, papers)

    assert sorted(followed(ada)) == papers


def test_leaving_all_examples_keeps_topics_and_dislikes(ada):
    follows.follow_papers(ada, [make.paper().identifier for _ in range(3)])
    follows.follow(ada, "keyword", "floods")
    follows.follow(ada, "paper", make.paper().identifier, -1.0)
    opened = make.interest("paper", make.paper().identifier)
    ada.follows.create(interest=opened, weight=0.25, source="opened")

    assert follows.unfollow_papers(ada) == 3

    assert followed(ada) == ["floods", opened.value]
    assert ada.follows.count() == 3


def test_an_interest_that_goes_before_it_is_held_is_made_again(ada, monkeypatch):
    paper = make.paper()
    make.interest("paper", paper.identifier)
    create, calls = Interest.objects.bulk_create, []

    def too_late(*arguments, **named):
        made = create(*arguments, **named)
        if not calls:  # the night had it in hand
            Interest.objects.all().delete()
        calls.append(made)

    monkeypatch.setattr(Interest.objects, "bulk_create", too_late)

    assert follows.follow_papers(ada, [paper.identifier]) == [paper.identifier]
    assert ada.follows.get().interest.value == paper.identifier
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("typed", "followed_values"),
    [
        ("CS.lg", "cs.LG"),
        ("cs.LG", "cs.LG"),
        ("Math", "math"),
        ("cs.*", "cs"),
        ("Physics.Optics", "physics.optics"),
        ("cond-mat.mtrl-sci", "cond-mat.mtrl-sci"),
        ("ASTRO-PH.CO", "astro-ph.CO"),
        ("hep-th", "hep-th"),
        ("machine learning", ""),
        ("cs.", ""),
        ("3d.CV", ""),
    ],
)
def test_categories_are_normalized(typed, followed_values):
    assert follows.clean_value("category", typed) == followed_values
