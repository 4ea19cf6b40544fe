"""The timetable names tasks that exist, and a broker that is away fails no page."""

import pytest
from celery.exceptions import ImproperlyConfigured

from digest import tasks
from digest.celery import app


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
