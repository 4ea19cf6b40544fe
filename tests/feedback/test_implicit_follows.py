"""What readers open is learned from, a little and for a while, and only where they want it."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Link
from digest.feedback import implicit_follows
from digest.feedback.clicks import PERSON_OPENS, click
from digest.feedback.implicit_follows import KEPT, MOST, WEIGHT, forget, learn, trim
from digest.feedback.process_events import act
from digest.models import Follow, Interest
from tests import make

pytestmark = pytest.mark.django_db

TOMORROW = make.NOW + timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def edition(db):
    return make.edition(papers=20)


@pytest.fixture
def batch(edition, ada):
    return make.batch(edition, [ada])


@pytest.fixture
def letter(edition, batch, ada):
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
    return make.digest(batch, ada, picks=picks, key="letter")


def papers_of(edition, *numbers):
    candidates = edition.candidates.order_by("pk")
    return [candidates[number - 1].paper.identifier for number in numbers]


def learned(reader):
    rows = reader.follows.filter(source="opened").order_by("pk")
    return list(rows.values_list("interest__value", "weight", "created_at"))


@pytest.mark.both
def test_a_paper_that_was_opened_is_a_weak_follow_once_its_day_is_over(
    edition, letter, ada
):
    for verb in ("paper", "pdf"):
        click(letter, 2, verb, make.NOW)
    act(make.NOW)
    assert learned(ada) == []

    act(TOMORROW)
    act(TOMORROW)

    assert learned(ada) == [(*papers_of(edition, 2), WEIGHT, MIDNIGHT)]


def test_nothing_is_learned_from_a_program_that_opens_every_link(letter, ada):
    for number in range(1, PERSON_OPENS + 2):
        click(letter, number, "arxiv", make.NOW)

    act(TOMORROW)

    assert learned(ada) == []


@pytest.mark.parametrize("changes", [{"learns_from_clicks": False}, {"state": "left"}])
def test_nothing_is_learned_from_who_does_not_want_it(letter, ada, changes):
    type(ada).objects.filter(pk=ada.pk).update(**changes)
    click(letter, 1, "paper", make.NOW)

    act(TOMORROW)

    assert learned(ada) == []


def test_nothing_is_learned_from_an_inbox_that_the_reader_left(letter, ada):
    link = Link.issue(ada, Link.Purpose.ADDRESS, make.NOW)
    link.redeem(make.NOW + timedelta(minutes=1))
    click(letter, 1, "paper", make.NOW + timedelta(minutes=2))

    act(TOMORROW)

    assert learned(ada) == []


@pytest.mark.parametrize(
    ("weight", "source"), [(1.0, "chosen"), (0.5, "feedback"), (-1.0, "feedback")]
)
def test_what_a_reader_said_of_a_paper_stays_whatever_they_open(
    edition, letter, ada, weight, source
):
    interest = make.interest("paper", *papers_of(edition, 1))
    ada.follows.create(interest=interest, weight=weight, source=source)
    click(letter, 1, "paper", make.NOW)

    act(TOMORROW)

    row = ada.follows.get()
    assert (row.weight, row.source) == (weight, source)


def test_a_paper_that_is_opened_again_is_fresh_again_and_never_older(
    edition, letter, ada
):
    again = {"letter": papers_of(edition, 1)}
    for days in (0, 9, 3):
        learn(again, MIDNIGHT + timedelta(days=days))

    assert [at for *_, at in learned(ada)] == [MIDNIGHT + timedelta(days=9)]


def test_of_many_papers_the_ones_opened_last_are_kept(edition, batch, ada, monkeypatch):
    monkeypatch.setattr(implicit_follows, "MOST", 3)
    make.digest(batch, make.subscriber(), key="other")
    make.digest(batch, ada, key="letter")
    for number in range(1, 6):
        day = MIDNIGHT + timedelta(days=number)
        learn({"letter": papers_of(edition, number)}, day)
    learn({"other": papers_of(edition, 1, 2)}, MIDNIGHT)

    assert [paper for paper, *_ in learned(ada)] == papers_of(edition, 3, 4, 5)
    assert Follow.objects.count() == 5
    assert MOST == 40


def test_a_paper_that_is_no_more_teaches_nothing(edition, letter, ada):
    learn({"letter": ["2611.00000", *papers_of(edition, 1)]}, MIDNIGHT)

    assert [paper for paper, *_ in learned(ada)] == papers_of(edition, 1)
    assert Interest.objects.count() == 1


def test_readers_are_not_taken_for_one_another(edition, batch, letter, ada):
    bea = make.subscriber()
    make.digest(batch, bea, key="hers")
    one, two = papers_of(edition, 1, 2)

    learn({"letter": [one], "hers": [two]}, MIDNIGHT)

    assert [paper for paper, *_ in learned(ada)] == [one]
    assert [paper for paper, *_ in learned(bea)] == [two]


def test_what_one_reader_opens_again_is_not_fresh_for_another(
    edition, batch, letter, ada
):
    bea = make.subscriber()
    make.digest(batch, bea, key="hers")
    one, two = papers_of(edition, 1, 2)
    learn({"letter": [one, two], "hers": [one, two]}, MIDNIGHT)
    later = MIDNIGHT + timedelta(days=5)

    learn({"letter": [one], "hers": [two]}, later)

    assert {paper: at for paper, _, at in learned(ada)} == {one: later, two: MIDNIGHT}
    assert {paper: at for paper, _, at in learned(bea)} == {one: MIDNIGHT, two: later}


def test_what_a_reader_removed_is_not_learned_again_when_their_day_is_summed_again(
    edition, batch, letter, ada
):
    one = edition.candidates.first()
    other = make.digest(batch, make.subscriber(), picks=[(one.pk, 0)])
    click(letter, 1, "paper", make.NOW)
    act(TOMORROW)
    ada.follows.all().delete()
    click(other, 1, "paper", make.NOW)

    act(TOMORROW)

    assert learned(ada) == []
    assert len(learned(other.subscriber)) == 1


def test_queries_do_not_grow_with_readers(
    edition, batch, letter, django_assert_max_num_queries
):
    names = papers_of(edition, *range(1, 9))
    for number in range(30):
        make.digest(batch, make.subscriber(), key=f"letter {number}")
    everybody = {f"letter {number}": names for number in range(30)}

    with django_assert_max_num_queries(14):
        learn(everybody, MIDNIGHT)

    assert Follow.objects.count() == 30 * 8


def test_to_forget_is_to_forget_only_what_was_learned(edition, letter, ada):
    learn({"letter": papers_of(edition, 1, 2)}, MIDNIGHT)
    ada.follows.create(interest=make.interest("keyword", "int4"))

    forget(ada)

    assert [row.interest.value for row in ada.follows.all()] == ["int4"]


def test_what_was_opened_long_ago_is_not_kept_nor_what_must_not_be_learned(
    edition, batch, letter, ada
):
    shy = make.subscriber()
    make.digest(batch, shy, key="shy")
    now = MIDNIGHT + KEPT
    learn({"letter": papers_of(edition, 1)}, MIDNIGHT - timedelta(hours=1))
    learn({"letter": papers_of(edition, 2), "shy": papers_of(edition, 3)}, now)
    type(shy).objects.filter(pk=shy.pk).update(learns_from_clicks=False)

    trim(now)

    assert [paper for paper, *_ in learned(ada)] == papers_of(edition, 2)
    assert learned(shy) == []
