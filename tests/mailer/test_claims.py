"""Claiming a batch: concurrent claims and sending pauses."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from digest.mailer import claims
from digest.models import Batch, SendingPause
from tests import make
from tests.mailer.sending import claim_at

NOW = make.NOW + timedelta(hours=1)


def planned(day=make.DAY):
    return make.batch(make.frozen(make.edition(day, papers=0)), [make.subscriber()])


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_waited_for_another_transaction_fails():
    if connection.vendor == "sqlite":
        pytest.skip(
            "SQLite has one writer at a time: the second reads when the first is done"
        )
    batch = planned()
    taken = []

    def second():
        taken.append(Batch.objects.claim(batch.pk, claims.LEASE))
        connection.close()

    with transaction.atomic():
        taken.append(
            Batch.objects.claim(batch.pk, claims.LEASE),
        )
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)  # it waits for this transaction's row

    thread.join()
    assert taken == [True, False]


@pytest.mark.both
@pytest.mark.django_db
def test_a_pause_of_all_sending_prevents_claims_until_released():
    batch = planned()
    SendingPause.objects.trigger("the domain is on a list", NOW)

    assert claim_at(NOW) is None
    assert not Batch.objects.claim(batch.pk, claims.LEASE)
    SendingPause.objects.all().release(NOW)
    assert claim_at(NOW) == batch


@pytest.mark.both
@pytest.mark.django_db
def test_a_pause_of_one_edition_does_not_affect_others():
    stopped, free = planned(), planned(make.DAY - timedelta(days=1))
    SendingPause.objects.trigger("a wrong note", NOW, stopped.slot.edition)

    assert claim_at(NOW) == free
    assert claim_at(NOW) is None


@pytest.mark.both
@pytest.mark.django_db
def test_a_pause_is_triggered_once_until_it_is_released():
    edition = planned().slot.edition

    pulled = [
        SendingPause.objects.trigger("one", NOW),
        SendingPause.objects.trigger("two", NOW),
        SendingPause.objects.trigger("of an edition", NOW, edition),
    ]
    SendingPause.objects.all().release(NOW)

    assert pulled == [True, False, True]
    assert SendingPause.objects.trigger("again", NOW)
    assert SendingPause.objects.count() == 3
