"""What readers open becomes one number a paper and day."""

from datetime import UTC, datetime, timedelta

import pytest

from digest.feedback.clicks import PERSON_OPENS, click
from digest.feedback.process_events import act
from digest.models import AttentionSample, Event
from tests import make

pytestmark = pytest.mark.django_db

TOMORROW = make.NOW + timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def edition(db):
    return make.edition(papers=20)


@pytest.fixture
def letters(edition):
    """Three readers' digests, all with the same picks."""
    readers = [make.subscriber() for _ in range(3)]
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
    batch = make.batch(edition, readers)
    return [make.digest(batch, reader, picks=picks) for reader in readers]


def sums():
    return dict(AttentionSample.objects.values_list("paper__title", "value"))


@pytest.mark.both
def test_a_papers_clicks_become_one_signal_when_their_day_is_over(edition, letters):
    first, second = [candidate.paper for candidate in edition.candidates.all()[:2]]
    for letter in letters:
        click(letter, 1, "paper", make.NOW)
    click(letters[0], 1, "pdf", make.NOW)
    click(letters[0], 2, "paper", make.NOW)
    assert act(make.NOW) == 0
    assert not AttentionSample.objects.exists()

    assert act(TOMORROW) == 5

    assert sums() == {first.title: 3, second.title: 1}
    signal = first.attention_samples.get()
    assert (signal.source, signal.kind, signal.at) == ("readers", "clicks", MIDNIGHT)
    assert act(TOMORROW) == 0
    assert sums() == {first.title: 3, second.title: 1}


def test_a_second_click_that_day_changes_nothing(letters):
    for _ in range(46):
        click(letters[0], 1, "paper", make.NOW)
    click(letters[0], 1, "paper", TOMORROW)

    act(TOMORROW + timedelta(days=1))

    assert Event.objects.count() == 2
    assert list(AttentionSample.objects.values_list("value", flat=True)) == [1, 1]


def test_a_click_that_was_stored_late_corrects_its_days_sum(letters):
    click(letters[0], 1, "paper", make.NOW)
    act(TOMORROW)
    click(letters[1], 1, "paper", make.NOW)

    act(TOMORROW)

    assert list(AttentionSample.objects.values_list("value", flat=True)) == [2]


def test_a_program_that_opens_every_link_is_no_reader(letters):
    for number in range(1, PERSON_OPENS + 2):
        click(letters[0], number, "arxiv", make.NOW)
    click(letters[1], 1, "arxiv", make.NOW)

    act(TOMORROW)

    assert list(AttentionSample.objects.values_list("value", flat=True)) == [1]


@pytest.mark.parametrize("number", [-1, 0, 21, 10**9])
def test_a_pick_that_the_mail_does_not_have_is_nothing(letters, number):
    click(letters[0], number, "paper", make.NOW)

    assert not Event.objects.exists()


def test_days_are_counted_in_utc(letters):
    late = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
    click(letters[0], 1, "paper", late)
    click(letters[0], 1, "paper", late + timedelta(minutes=2))

    act(late + timedelta(days=2))

    assert list(AttentionSample.objects.order_by("at").values_list("at", "value")) == [
        (MIDNIGHT, 1),
        (MIDNIGHT + timedelta(days=1), 1),
    ]


def test_no_reader_is_named_in_a_click(letters):
    click(letters[0], 1, "paper", make.NOW)

    assert set(Event.objects.get().payload) == {"paper", "verb"}
