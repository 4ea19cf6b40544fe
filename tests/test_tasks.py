"""The timetable names tasks that exist, and a broker that is away fails no page."""

from datetime import timedelta

import pytest
from celery.exceptions import ImproperlyConfigured

from digest import tasks
from digest.celery import VISIBILITY_SECONDS, app
from digest.mailer import shutdown
from digest.models import Batch, Digest, Interest
from tests import make


def test_a_task_that_hangs_is_ended_before_another_worker_is_given_it():
    conf = app.conf

    limits = (conf.task_soft_time_limit, conf.task_time_limit)
    assert 0 < limits[0] < limits[1] < VISIBILITY_SECONDS


def test_everything_on_the_timetable_is_a_task():
    named = {entry["task"] for entry in app.conf.beat_schedule.values()}

    app.loader.import_default_modules()
    assert named <= set(app.tasks)


def test_a_broker_that_is_away_fails_no_page(monkeypatch):
    def away(*arguments):
        raise tasks.act_on_events.OperationalError("connection refused")

    monkeypatch.setattr(tasks.act_on_events, "delay", away)

    assert tasks.soon(tasks.act_on_events) is None


def test_other_faults_of_a_broker_are_not_hidden(monkeypatch):
    def wrong(*arguments):
        raise ImproperlyConfigured("no such transport")

    monkeypatch.setattr(tasks.act_on_events, "delay", wrong)

    with pytest.raises(ImproperlyConfigured):
        tasks.soon(tasks.act_on_events)


@pytest.mark.django_db
def test_an_edition_that_does_not_add_up_is_an_error_in_the_log(caplog):
    edition = make.frozen(make.edition(papers=1))
    batch = make.batch(edition, [make.subscriber()], state="accepted")
    tasks.verify(make.NOW)
    assert "1 of 1 readers have no outcome" in caplog.text

    caplog.clear()
    make.digest(batch, make.subscriber(), message_id="a name")
    batch.readers = list(Digest.objects.values_list("subscriber_id", flat=True))
    batch.save()
    tasks.verify(make.NOW)

    assert caplog.text == ""


@pytest.fixture
def three_batches(settings, tmp_path):
    settings.MAIL_DIR = tmp_path
    edition = make.frozen(make.edition(papers=1))
    for _ in range(3):
        make.batch(edition, [make.subscriber()], kind="manual")
    return edition


@pytest.mark.django_db
def test_a_turn_of_sending_ends_in_time_and_says_whether_something_is_left(
    three_batches,
):
    assert not tasks.send_planned(seconds=0.0)
    assert not Digest.objects.exists()
    assert tasks.send_planned()
    assert Digest.objects.count() == 3


@pytest.mark.django_db
def test_who_was_asked_to_end_claims_nothing_new(three_batches):
    shutdown.ask()

    try:
        tasks.send_planned()
    finally:
        shutdown.FLAG[0] = 0

    assert set(Batch.objects.values_list("state", flat=True)) == {"planned"}


@pytest.mark.django_db
def test_a_long_edition_is_sent_in_turns(three_batches, eager, monkeypatch):
    monkeypatch.setattr(tasks, "TURN_SECONDS", 1e-6)
    turns = []
    monkeypatch.setattr(
        tasks.drain, "apply_async", lambda **options: turns.append(options)
    )

    tasks.drain()

    assert turns == [{"expires": tasks.WORTHLESS_SECONDS}]


@pytest.mark.django_db
def test_the_night_forgets_what_no_longer_counts(ada):
    long_ago = make.interest("paper", "2611.00001")
    row = ada.follows.create(interest=long_ago, weight=0.25, source="opened")
    type(row).objects.update(created_at=make.NOW - timedelta(days=400))
    kept = ada.follows.create(interest=make.interest("keyword", "int4"))

    tasks.forget()

    assert list(ada.follows.all()) == [kept]
    assert list(Interest.objects.all()) == [kept.interest]
