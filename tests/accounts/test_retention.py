"""Retention of unconfirmed sign-ups and expired links."""

from datetime import timedelta

import pytest
import time_machine

from accounts.models import Link, Subscriber
from accounts.tasks import purge_expired
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

MONTH = timedelta(days=31)


def test_unconfirmed_sign_up_is_deleted_after_a_month(ada, cleo):
    make.subscriber(state="pending", created_at=make.NOW)
    recent = make.subscriber(state="pending", created_at=make.NOW + MONTH)

    with time_machine.travel(make.NOW + MONTH):
        purge_expired()

    assert set(Subscriber.objects.all()) == {ada, cleo, recent}


def test_link_is_deleted_a_month_after_it_expired(ada):
    Link.issue(ada, Link.Purpose.CONFIRM, make.NOW)
    unexpired = Link.issue(ada, Link.Purpose.PREFERENCES, make.NOW)

    with time_machine.travel(make.NOW + MONTH + timedelta(days=3)):
        purge_expired()

    assert list(Link.objects.all()) == [unexpired]
