"""Readers who confirm get their first digest without waiting for an edition."""

import pytest

from digest.mailer import plan
from digest.models import Batch, Slot
from tests import make
from tests.mailer.sending import claim_at

pytestmark = [pytest.mark.both, pytest.mark.django_db]

LATER = make.NOW + make.hours(1)


def readers_planned():
    return [pk for batch in Batch.objects.all() for pk in batch.readers]


def test_readers_without_digests_are_planned_the_latest_edition(ada, bob):
    make.frozen(make.edition())

    slot = plan.plan_welcomes(LATER)

    assert slot.kind == Slot.Kind.WELCOME
    assert readers_planned() == [ada.pk]


def test_no_welcome_is_planned_before_an_edition_froze(ada):
    make.edition()

    assert plan.plan_welcomes(LATER) is None


def test_readers_with_a_digest_get_no_welcome(ada):
    edition = make.frozen(make.edition())
    make.digest(make.batch(edition, [ada]), ada)

    assert plan.plan_welcomes(LATER) is None


def test_an_unfinished_welcome_is_not_planned_again(ada):
    make.frozen(make.edition())
    plan.plan_welcomes(LATER)

    assert plan.plan_welcomes(LATER) is None
    assert claim_at(LATER) is not None
    assert plan.plan_welcomes(LATER) is None


def test_a_recent_confirmation_is_left_to_its_own_task():
    make.subscriber(confirmed_at=LATER)
    make.frozen(make.edition())

    assert plan.plan_welcomes(LATER) is None
