"""Opened papers become weak follows that expire, for readers who have not opted out."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Link
from digest.feedback import implicit_follows
from digest.feedback.clicks import MAX_LINKS_OF_A_PERSON, record_click
from digest.feedback.implicit_follows import (
    MAX_OPENED_PER_READER,
    OPENED_LIFETIME,
    OPENED_WEIGHT,
    forget_opened,
    learn_follows,
    prune_opened,
)
from digest.feedback.process_events import process_pending
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
def digest(edition, batch, ada):
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
    return make.digest(batch, ada, picks=picks, key="letter")


def papers_of(edition, *numbers):
    candidates = edition.candidates.order_by("pk")
    return [candidates[number - 1].paper.identifier for number in numbers]


def learned(reader):
    rows = reader.follows.filter(source="opened").order_by("pk")
    return list(rows.values_list("interest__value", "weight", "created_at"))


@pytest.mark.both
def test_an_opened_paper_becomes_a_weak_follow_after_its_day(edition, digest, ada):
    for verb in ("paper", "pdf"):
        record_click(digest, 2, verb, make.NOW)
    process_pending(make.NOW)
    assert learned(ada) == []

    process_pending(TOMORROW)
    process_pending(TOMORROW)

    assert learned(ada) == [(*papers_of(edition, 2), OPENED_WEIGHT, MIDNIGHT)]


def test_nothing_is_learned_from_scanners(digest, ada):
    for number in range(1, MAX_LINKS_OF_A_PERSON + 2):
        record_click(digest, number, "arxiv", make.NOW)

    process_pending(TOMORROW)

    assert learned(ada) == []


@pytest.mark.parametrize("changes", [{"learns_from_clicks": False}, {"state": "left"}])
def test_nothing_is_learned_from_readers_who_opted_out(digest, ada, changes):
    type(ada).objects.filter(pk=ada.pk).update(**changes)
    record_click(digest, 1, "paper", make.NOW)

    process_pending(TOMORROW)

    assert learned(ada) == []


def test_nothing_is_learned_from_a_previous_inbox(digest, ada):
    link = Link.issue(ada, Link.Purpose.ADDRESS, make.NOW)
    link.redeem(make.NOW + timedelta(minutes=1))
    record_click(digest, 1, "paper", make.NOW + timedelta(minutes=2))

    process_pending(TOMORROW)

    assert learned(ada) == []


@pytest.mark.parametrize(
    ("weight", "source"), [(1.0, "chosen"), (0.5, "feedback"), (-1.0, "feedback")]
)
def test_explicit_stances_are_not_changed_by_clicks(
    edition, digest, ada, weight, source
):
    interest = make.interest("paper", *papers_of(edition, 1))
    ada.follows.create(interest=interest, weight=weight, source=source)
    record_click(digest, 1, "paper", make.NOW)

    process_pending(TOMORROW)

    row = ada.follows.get()
    assert (row.weight, row.source) == (weight, source)


def test_opening_again_renews_a_follow_and_never_ages_it(edition, digest, ada):
    again = {"letter": papers_of(edition, 1)}
    for days in (0, 9, 3):
        learn_follows(again, MIDNIGHT + timedelta(days=days))

    assert [at for *_, at in learned(ada)] == [MIDNIGHT + timedelta(days=9)]


def test_the_most_recently_opened_papers_are_kept(edition, batch, ada, monkeypatch):
    monkeypatch.setattr(implicit_follows, "MAX_OPENED_PER_READER", 3)
    make.digest(batch, make.subscriber(), key="other")
    make.digest(batch, ada, key="letter")
    for number in range(1, 6):
        day = MIDNIGHT + timedelta(days=number)
        learn_follows({"letter": papers_of(edition, number)}, day)
    learn_follows({"other": papers_of(edition, 1, 2)}, MIDNIGHT)

    assert [paper for paper, *_ in learned(ada)] == papers_of(edition, 3, 4, 5)
    assert Follow.objects.count() == 5
    assert MAX_OPENED_PER_READER == 40


def test_deleted_papers_are_not_learned(edition, digest, ada):
    learn_follows({"letter": ["2611.00000", *papers_of(edition, 1)]}, MIDNIGHT)

    assert [paper for paper, *_ in learned(ada)] == papers_of(edition, 1)
    assert Interest.objects.count() == 1


def test_clicks_are_attributed_to_their_own_reader(edition, batch, digest, ada):
    bea = make.subscriber()
    make.digest(batch, bea, key="hers")
    first, second = papers_of(edition, 1, 2)

    learn_follows({"letter": [first], "hers": [second]}, MIDNIGHT)

    assert [paper for paper, *_ in learned(ada)] == [first]
    assert [paper for paper, *_ in learned(bea)] == [second]


def test_opening_again_renews_only_that_readers_follow(edition, batch, digest, ada):
    bea = make.subscriber()
    make.digest(batch, bea, key="hers")
    first, second = papers_of(edition, 1, 2)
    learn_follows({"letter": [first, second], "hers": [first, second]}, MIDNIGHT)
    later = MIDNIGHT + timedelta(days=5)

    learn_follows({"letter": [first], "hers": [second]}, later)

    assert {paper: at for paper, _, at in learned(ada)} == {
        first: later,
        second: MIDNIGHT,
    }
    assert {paper: at for paper, _, at in learned(bea)} == {
        first: MIDNIGHT,
        second: later,
    }


def test_a_removed_follow_is_not_learned_again(edition, batch, digest, ada):
    candidate = edition.candidates.first()
    other = make.digest(batch, make.subscriber(), picks=[(candidate.pk, 0)])
    record_click(digest, 1, "paper", make.NOW)
    process_pending(TOMORROW)
    ada.follows.all().delete()
    record_click(other, 1, "paper", make.NOW)

    process_pending(TOMORROW)

    assert learned(ada) == []
    assert len(learned(other.subscriber)) == 1


def test_queries_do_not_grow_with_the_number_of_readers(
    edition, batch, digest, django_assert_max_num_queries
):
    names = papers_of(edition, *range(1, 9))
    for number in range(30):
        make.digest(batch, make.subscriber(), key=f"digest {number}")
    everybody = {f"digest {number}": names for number in range(30)}

    with django_assert_max_num_queries(14):
        learn_follows(everybody, MIDNIGHT)

    assert Follow.objects.count() == 30 * 8


def test_forget_opened_deletes_only_implicit_follows(edition, digest, ada):
    learn_follows({"letter": papers_of(edition, 1, 2)}, MIDNIGHT)
    ada.follows.create(interest=make.interest("keyword", "int4"))

    forget_opened(ada)

    assert [row.interest.value for row in ada.follows.all()] == ["int4"]


def test_prune_deletes_expired_follows_and_those_of_opted_out_readers(
    edition, batch, digest, ada
):
    shy = make.subscriber()
    make.digest(batch, shy, key="shy")
    now = MIDNIGHT + OPENED_LIFETIME
    learn_follows({"letter": papers_of(edition, 1)}, MIDNIGHT - timedelta(hours=1))
    learn_follows({"letter": papers_of(edition, 2), "shy": papers_of(edition, 3)}, now)
    type(shy).objects.filter(pk=shy.pk).update(learns_from_clicks=False)

    prune_opened(now)

    assert [paper for paper, *_ in learned(ada)] == papers_of(edition, 2)
    assert learned(shy) == []
