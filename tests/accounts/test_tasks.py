"""Account mails while the broker is down."""

import threading

import pytest
from django.core import mail

from accounts.models import Link, Subscriber

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def join_inline_tasks(monkeypatch):
    """Take the broker down; calling the fixture waits for the tasks run inline instead."""
    before = set(threading.enumerate())

    def refuse(self, *_):
        raise self.OperationalError("connection refused")

    def join():
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=30)

    monkeypatch.setattr("celery.app.task.Task.delay", refuse)
    return join


def test_sign_up_is_mailed_while_the_broker_is_down(visitor, join_inline_tasks):
    page = visitor.post("/subscribe", {"email": "new@example.org"})
    join_inline_tasks()

    assert page.status_code == 200
    (sent,) = mail.outbox
    assert sent.to == ["new@example.org"]
    assert Subscriber.objects.get().links.get().purpose == Link.Purpose.CONFIRM


def test_inline_task_failure_is_logged(visitor, join_inline_tasks, monkeypatch, caplog):
    def fail(*_, **__):
        raise ValueError("no such mail")

    monkeypatch.setattr("accounts.link_policy.issue_signup_link", fail)

    page = visitor.post("/subscribe", {"email": "new@example.org"})
    join_inline_tasks()

    assert page.status_code == 200
    assert "no such mail" in caplog.text
