"""A visitor without cookies, tasks that run at once, and the links in mails."""

import pytest
from django.core import mail
from django.test import Client

from digest.celery import app


def text_without_address(email, response):
    """The response's text without the address that the visitor typed."""
    assert email in response.text
    return response.text.replace(email, "")


@pytest.fixture(autouse=True)
def eager_tasks():
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    yield
    app.conf.update(task_always_eager=False, task_eager_propagates=False)


class Visitor:
    """A browser without cookies on one network, to which CSRF checks apply."""

    def __init__(self, capture_on_commit):
        self.client = Client(enforce_csrf_checks=True, REMOTE_ADDR="192.0.2.7")
        self.capture_on_commit = capture_on_commit

    def get(self, path, **options):
        return self.client.get(path, **options)

    def post(self, path, data=None, **options):
        """Post, then run what was deferred until commit."""
        with self.capture_on_commit(execute=True):
            return self.client.post(path, data or {}, **options)


@pytest.fixture
def visitor(db, django_capture_on_commit_callbacks):
    return Visitor(django_capture_on_commit_callbacks)


def link_path(message):
    """The path of the only link in the text body of a mail."""
    (line,) = [
        line
        for line in message.body.splitlines()
        if line.startswith("http://testserver/")
    ]
    return line.removeprefix("http://testserver")


def last_link_path():
    return link_path(mail.outbox[-1])
