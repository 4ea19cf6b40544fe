"""What we have no reason to keep goes by itself."""

from datetime import timedelta

import pytest
import time_machine

from accounts.models import Link, Subscriber
from accounts.tasks import forget
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

MONTH = timedelta(days=31)


def test_an_address_that_never_confirmed_is_forgotten_after_a_month(ada, cleo):
    make.subscriber(state="pending", created_at=make.NOW)
    fresh = make.subscriber(state="pending", created_at=make.NOW + MONTH)

    with time_machine.travel(make.NOW + MONTH):
        forget()

    assert set(Subscriber.objects.all()) == {ada, cleo, fresh}


def test_a_link_is_forgotten_a_month_after_it_closed(ada):
    Link.issue(ada, Link.Purpose.CONFIRM, make.NOW)
    kept = Link.issue(ada, Link.Purpose.PREFERENCES, make.NOW)

    with time_machine.travel(make.NOW + MONTH + timedelta(days=3)):
        forget()

    assert list(Link.objects.all()) == [kept]
