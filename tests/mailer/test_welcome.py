"""Nobody who confirmed waits for ever for a first digest."""

import pytest

from digest.mailer import ledger, welcome
from digest.models import Batch, Slot
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

LATER = make.NOW + make.hours(1)


def readers_planned():
    return [pk for batch in Batch.objects.all() for pk in batch.readers]


def test_a_reader_without_any_digest_is_planned_the_latest_frozen_edition(ada, bob):
    make.frozen(make.edition())

    slot = welcome.plan_welcomes(LATER)

    assert slot.kind == Slot.Kind.WELCOME
    assert readers_planned() == [ada.pk]


def test_nobody_is_welcomed_before_an_edition_has_frozen(ada):
    make.edition()

    assert welcome.plan_welcomes(LATER) is None


def test_a_reader_who_had_a_digest_is_not_welcomed(ada):
    edition = make.frozen(make.edition())
    make.digest(make.batch(edition, [ada]), ada)

    assert welcome.plan_welcomes(LATER) is None


def test_a_welcome_that_waits_is_not_planned_again(ada):
    make.frozen(make.edition())
    welcome.plan_welcomes(LATER)

    assert welcome.plan_welcomes(LATER) is None
    assert ledger.claim_next(LATER) is not None
    assert welcome.plan_welcomes(LATER) is None


def test_a_confirmation_of_a_moment_ago_is_left_to_its_own_task():
    make.subscriber(confirmed_at=LATER)
    make.frozen(make.edition())

    assert welcome.plan_welcomes(LATER) is None
