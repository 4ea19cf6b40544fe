"""Clicks become one attention sample per paper and day."""

from datetime import UTC, datetime, timedelta

import pytest

from digest.feedback.clicks import MAX_LINKS_OF_A_PERSON, record_click
from digest.feedback.process_events import process_pending
from digest.models import AttentionSample, Event
from tests import make

pytestmark = pytest.mark.django_db

TOMORROW = make.NOW + timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def edition(db):
    return make.edition(papers=20)


@pytest.fixture
def digests(edition):
    """Three readers' digests, all with the same picks."""
    readers = [make.subscriber() for _ in range(3)]
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
    batch = make.batch(edition, readers)
    return [make.digest(batch, reader, picks=picks) for reader in readers]


def sums():
    return dict(AttentionSample.objects.values_list("paper__title", "value"))


@pytest.mark.both
def test_clicks_become_one_sample_per_paper_after_their_day(edition, digests):
    first, second = [candidate.paper for candidate in edition.candidates.all()[:2]]
    for digest in digests:
        record_click(digest, 1, "paper", make.NOW)
    record_click(digests[0], 1, "pdf", make.NOW)
    record_click(digests[0], 2, "paper", make.NOW)
    assert process_pending(make.NOW) == 0
    assert not AttentionSample.objects.exists()

    assert process_pending(TOMORROW) == 5

    assert sums() == {first.title: 3, second.title: 1}
    signal = first.attention_samples.get()
    assert (signal.source, signal.kind, signal.at) == ("readers", "clicks", MIDNIGHT)
    assert process_pending(TOMORROW) == 0
    assert sums() == {first.title: 3, second.title: 1}


def test_a_second_click_on_the_same_day_is_ignored(digests):
    for _ in range(46):
        record_click(digests[0], 1, "paper", make.NOW)
    record_click(digests[0], 1, "paper", TOMORROW)

    process_pending(TOMORROW + timedelta(days=1))

    assert Event.objects.count() == 2
    assert list(AttentionSample.objects.values_list("value", flat=True)) == [1, 1]


def test_a_late_click_corrects_the_sum_of_its_day(digests):
    record_click(digests[0], 1, "paper", make.NOW)
    process_pending(TOMORROW)
    record_click(digests[1], 1, "paper", make.NOW)

    process_pending(TOMORROW)

    assert list(AttentionSample.objects.values_list("value", flat=True)) == [2]


def test_scanners_that_open_every_link_are_not_counted(digests):
    for number in range(1, MAX_LINKS_OF_A_PERSON + 2):
        record_click(digests[0], number, "arxiv", make.NOW)
    record_click(digests[1], 1, "arxiv", make.NOW)

    process_pending(TOMORROW)

    assert list(AttentionSample.objects.values_list("value", flat=True)) == [1]


@pytest.mark.parametrize("number", [-1, 0, 21, 10**9])
def test_a_click_on_a_missing_pick_is_ignored(digests, number):
    record_click(digests[0], number, "paper", make.NOW)

    assert not Event.objects.exists()


def test_days_are_counted_in_utc(digests):
    late = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
    record_click(digests[0], 1, "paper", late)
    record_click(digests[0], 1, "paper", late + timedelta(minutes=2))

    process_pending(late + timedelta(days=2))

    assert list(AttentionSample.objects.order_by("at").values_list("at", "value")) == [
        (MIDNIGHT, 1),
        (MIDNIGHT + timedelta(days=1), 1),
    ]


def test_clicks_hold_no_personal_data(digests):
    record_click(digests[0], 1, "paper", make.NOW)

    assert set(Event.objects.get().payload) == {"paper", "verb"}
