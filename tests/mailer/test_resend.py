"""What nobody knows, sent once more: where it is allowed, and only once."""

from datetime import timedelta

import pytest

from digest.feedback import process_events, record
from digest.mailer import ledger, progress, resend
from digest.mailer.transports import unknown
from digest.models import Batch, Digest, Slot
from tests import make
from tests.mailer.test_deliver import NOW, outcomes, planned, provider, run

__all__ = ["provider"]

pytestmark = [pytest.mark.both, pytest.mark.django_db]

SOON, LATER = NOW + timedelta(minutes=9), NOW + timedelta(minutes=11)


@pytest.fixture
def doubt(provider, settings):
    """Three digests were handed over; of the second nobody knows."""
    settings.UNKNOWN_RESEND_AFTER = 10
    planned()
    sink = provider({"r1@example.org": [unknown("500"), unknown("500")]})
    run()
    assert outcomes() == ["sent", "unknown", "sent"]
    return sink


def test_by_default_a_doubt_is_never_sent_again(doubt, settings):
    settings.UNKNOWN_RESEND_AFTER = 0

    assert resend.resend_due(LATER) == 0
    assert run(LATER) is None


def test_a_doubt_is_sent_once_more_after_its_grace(doubt):
    doubt.answers.clear()

    assert resend.resend_due(SOON) == 0
    assert resend.resend_due(LATER) == 1
    run(LATER)

    assert sorted(outcomes()) == ["sent"] * 3
    assert doubt.asked.count("r1@example.org") == 2
    assert len(doubt.asked) == 4
    assert ledger.tally(Batch.objects.first().slot.edition).balanced


def test_what_is_in_doubt_twice_is_left_to_the_operator(doubt):
    resend.resend_due(LATER)
    run(LATER)

    assert resend.resend_due(LATER + timedelta(hours=1)) == 0
    assert outcomes().count("unknown") == 1


@pytest.mark.parametrize("acted", [True, False])
def test_an_event_of_any_kind_forbids_it(doubt, acted):
    digest = Digest.objects.get(outcome="unknown")
    said = record.Report("a_kind_of_next_year", digest_key=digest.key)
    record.record([said], "sendgrid", NOW)
    if acted:
        process_events.act(NOW)

    assert resend.resend_due(LATER) == 0


def test_an_event_that_comes_after_it_was_planned_stops_it(doubt):
    doubt.answers.clear()
    resend.resend_due(LATER)
    digest = Digest.objects.get(batch__slot__kind="resend")
    record.record([record.Report("delivered", digest_key=digest.key)], "sendgrid", NOW)
    process_events.act(NOW)

    run(LATER)

    assert doubt.asked.count("r1@example.org") == 1
    digest.refresh_from_db()
    assert digest.outcome == "accepted"


def test_an_event_between_claim_and_call_stops_it_too(doubt):
    doubt.answers.clear()
    resend.resend_due(LATER)
    batch = ledger.claim_next(LATER)
    digests = list(batch.digests.order_by("pk"))
    Digest.objects.filter(pk=digests[0].pk).update(outcome="accepted")

    from digest.mailer import deliver

    deliver.deliver(batch, digests, LATER)

    assert doubt.asked.count("r1@example.org") == 1
    batch.refresh_from_db()
    assert batch.state == "accepted"


def test_an_expired_edition_is_not_sent_again(doubt):
    assert resend.resend_due(make.NOW + timedelta(hours=27)) == 0
    resend.resend_due(LATER)
    run(make.NOW + timedelta(hours=27))

    assert Digest.objects.get(batch__slot__kind="resend").reason == "expired"


def test_what_a_worker_still_holds_is_not_sent_again(doubt):
    Batch.objects.update(state="sending")

    assert resend.resend_due(LATER) == 0


def test_an_operator_may_send_it_again_at_any_time_or_say_that_it_arrived(doubt):
    digest = Digest.objects.get(outcome="unknown")
    edition = digest.edition
    doubt.answers.clear()

    assert resend.resend(edition, [digest.pk], NOW, Slot.Kind.MANUAL) == 1
    assert resend.resend(edition, [digest.pk], NOW, Slot.Kind.MANUAL) == 0
    run(make.NOW + timedelta(days=3))
    assert sorted(outcomes()) == ["sent"] * 3

    Digest.objects.filter(pk=digest.pk).update(outcome="unknown")
    assert resend.mark_accepted([digest.pk], NOW) == 1
    assert resend.mark_accepted([digest.pk], NOW) == 0


def test_progress_says_how_far_how_fast_and_how_long():
    tally = ledger.Tally(recipients=20_000, accepted=1_200, failed=2, waiting=18_798)

    said = progress.Progress(tally, pace=100.0)

    assert str(said) == (
        "1,202 of 20,000 readers, 100.0 a second, 0:03:08 left, 2 failed"
    )
    assert progress.Progress(tally).left is None


def test_the_pace_is_read_from_the_rows_of_all_workers(provider):
    planned(5)
    sink = provider()
    sink.answers["r4@example.org"] = unknown("500")
    run()
    edition = Batch.objects.get().slot.edition
    make.batch(edition, [make.subscriber()])

    said = progress.of(edition, NOW + timedelta(minutes=1))

    assert (said.done, said.tally.waiting) == (5, 1)
    assert said.pace == pytest.approx(5 / 300)
