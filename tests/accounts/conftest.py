"""Visitors without cookies, and tasks that run at once."""

import pytest
import stamina
from django.core import mail
from django.test import Client

from digest.celery import app


def but_for(address, answer):
    """What an answer says besides the address that was just typed."""
    assert address in answer.text
    return answer.text.replace(address, "")


@pytest.fixture(autouse=True)
def tasks_at_once(monkeypatch):
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    yield
    app.conf.update(task_always_eager=False, task_eager_propagates=False)


@pytest.fixture(autouse=True)
def no_waiting():
    with stamina.set_testing(True, attempts=3):
        yield


class Visitor:
    """A browser without cookies that keeps to CSRF rules, seen from one network."""

    def __init__(self, committing):
        self.client = Client(enforce_csrf_checks=True, REMOTE_ADDR="192.0.2.7")
        self.committing = committing

    def get(self, path, **known):
        return self.client.get(path, **known)

    def post(self, path, data=None, **known):
        """Post, and let happen what waits for the commit."""
        with self.committing(execute=True):
            return self.client.post(path, data or {}, **known)


@pytest.fixture
def visitor(db, django_capture_on_commit_callbacks):
    return Visitor(django_capture_on_commit_callbacks)


def path_in(letter):
    """The path of the one link in the text of a mail."""
    (line,) = [
        line
        for line in letter.body.splitlines()
        if line.startswith("http://testserver/")
    ]
    return line.removeprefix("http://testserver")


def last_path():
    return path_in(mail.outbox[-1])
