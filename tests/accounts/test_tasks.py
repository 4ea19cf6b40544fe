"""Mail that opens doors, while the broker is away."""

import threading

import pytest
from django.core import mail

from accounts.models import Link, Subscriber

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def until_run(monkeypatch):
    """The broker is away; called, it waits for what runs here instead."""
    before = set(threading.enumerate())

    def refuse(self, *_):
        raise self.OperationalError("connection refused")

    def wait():
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=30)

    monkeypatch.setattr("celery.app.task.Task.delay", refuse)
    return wait


def test_who_signs_up_while_the_broker_is_away_is_mailed(visitor, until_run):
    page = visitor.post("/subscribe", {"email": "new@example.org"})
    until_run()

    assert page.status_code == 200
    (sent,) = mail.outbox
    assert sent.to == ["new@example.org"]
    assert Subscriber.objects.get().links.get().purpose == Link.Purpose.CONFIRM


def test_what_fails_while_the_broker_is_away_is_logged(
    visitor, until_run, monkeypatch, caplog
):
    def fail(*_):
        raise ValueError("no such mail")

    monkeypatch.setattr("accounts.link_policy.for_sign_up", fail)

    page = visitor.post("/subscribe", {"email": "new@example.org"})
    until_run()

    assert page.status_code == 200
    assert "no such mail" in caplog.text
