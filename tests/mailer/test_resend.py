"""Resending digests of unknown outcome: only where allowed, and only once."""

from datetime import timedelta

import pytest
import time_machine

from digest.feedback import process_events, record
from digest.mailer import calls, progress, resend
from digest.mailer.tally import Tally, count_outcomes
from digest.mailer.transports import refused, unknown
from digest.models import Batch, Digest, Event, Slot
from digest.models.editions import EXPIRES_AFTER
from tests import make
from tests.mailer.sending import (
    NOW,
    claim_at,
    deliver_at,
    outcomes,
    planned_batch,
    resolve_at,
    run_worker,
)

pytestmark = [pytest.mark.both, pytest.mark.django_db]

SOON, LATER = NOW + timedelta(minutes=9), NOW + timedelta(minutes=11)


@pytest.fixture
def sink(provider, settings):
    """Of three digests, the second one is unknown, and the third one's events have arrived."""
    settings.UNKNOWN_RESEND_AFTER = 10
    planned_batch()
    sink = provider({"r1@example.org": [unknown("500"), unknown("500")]})
    run_worker()
    assert outcomes() == ["accepted", "unknown", "accepted"]
    for number, digest in enumerate(Digest.objects.order_by("pk")):
        sent_at = NOW + timedelta(seconds=number)
        Digest.objects.filter(pk=digest.pk).update(outcome_at=sent_at)
    record_event(Digest.objects.last())
    return sink


def record_event(digest, kind="processed"):
    report = record.Report(kind, digest_key=digest.key)
    record.record_reports([report], "sendgrid", NOW)


def resend_at(now):
    with time_machine.travel(now, tick=False):
        return resend.resend_due(now)


def test_unknown_digests_are_not_resent_by_default(sink, settings):
    settings.UNKNOWN_RESEND_AFTER = 0

    assert resend_at(LATER) == 0
    assert run_worker(LATER) is None


def test_an_unknown_digest_is_resent_after_the_delay(sink):
    sink.answers.clear()

    assert resend_at(SOON) == 0
    assert resend_at(LATER) == 1
    run_worker(LATER)

    assert sorted(outcomes()) == ["accepted"] * 3
    assert sink.attempts.count("r1@example.org") == 2
    assert len(sink.attempts) == 4
    assert count_outcomes(Batch.objects.first().slot.edition).is_balanced


def test_silence_is_no_evidence_until_events_of_later_mails_arrive(sink):
    Event.objects.all().delete()

    assert resend_at(LATER) == 0
    record_event(Digest.objects.first())  # sent before the unknown one
    assert resend_at(LATER) == 0
    record_event(Digest.objects.last())
    assert resend_at(LATER) == 1


def test_a_digest_that_stays_unknown_is_resent_a_few_times(sink):
    sink.answers["r1@example.org"] = unknown("500")
    now = NOW
    numbers = []
    for _ in range(resend.MAX_RESENDS + 1):
        now += timedelta(minutes=20)
        last = Digest.objects.filter(subscriber__email="r2@example.org")
        last.update(outcome_at=now - timedelta(minutes=1))  # a later mail has events
        numbers.append(resend_at(now))
        run_worker(now)

    assert numbers == [1] * resend.MAX_RESENDS + [0]
    assert outcomes().count("unknown") == 1
    assert sink.attempts.count("r1@example.org") == 1 + resend.MAX_RESENDS


def test_each_resend_needs_new_evidence(sink):
    assert resend_at(LATER) == 1
    run_worker(LATER)

    # No event of a mail that was sent after the second attempt has arrived.
    assert resend_at(LATER + timedelta(hours=1)) == 0
    assert outcomes().count("unknown") == 1


@pytest.mark.parametrize("is_processed", [True, False])
def test_any_event_prevents_a_resend(sink, is_processed):
    record_event(Digest.objects.get(outcome="unknown"), "a_kind_of_next_year")
    if is_processed:
        process_events.process_pending(NOW)

    assert resend_at(LATER) == 0


@pytest.mark.parametrize("is_processed", [True, False])
def test_an_event_after_planning_prevents_a_resend(sink, is_processed):
    sink.answers.clear()
    resend_at(LATER)
    digest = Digest.objects.get(batch__slot__kind="resend")
    record_event(digest, "delivered")
    if is_processed:
        process_events.process_pending(NOW)

    run_worker(LATER)

    assert sink.attempts.count("r1@example.org") == 1
    process_events.process_pending(NOW)
    digest.refresh_from_db()
    assert digest.outcome == "accepted"


def test_an_outcome_between_claim_and_call_prevents_a_resend(sink):
    sink.answers.clear()
    resend_at(LATER)
    batch = claim_at(LATER)
    digests = list(batch.digests.order_by("pk"))
    Digest.objects.filter(pk=digests[0].pk).update(outcome="accepted")

    deliver_at(LATER, batch, digests)

    assert sink.attempts.count("r1@example.org") == 1
    batch.refresh_from_db()
    assert batch.state == "done"


def test_a_worker_that_was_stopped_between_mark_and_call_sends_nothing(
    provider, monkeypatch
):
    planned_batch(2)
    sink = provider()
    stopped_for = iter([calls.MAX_CALL_DELAY_S + 1])

    def send_mail(mail, begin_call, next_mail):
        """Stop this worker once, until another one has taken the batch over."""
        if seconds := next(stopped_for, 0):
            now = calls.seconds_since_boot() + seconds
            monkeypatch.setattr(calls, "seconds_since_boot", lambda: now)
            assert resolve_at(NOW + timedelta(minutes=6))
        begin_call()
        return sink.send(mail)

    monkeypatch.setattr(sink, "send_mail", send_mail)
    run_worker()

    assert sink.attempts == []
    assert outcomes() == ["pending", "pending"]
    assert Batch.objects.get().state == "planned"  # as the other worker left it


def test_a_worker_that_was_stopped_for_a_moment_checks_and_sends_again(
    provider, monkeypatch
):
    planned_batch(2)
    sink = provider()
    stopped_for = iter([calls.MAX_CALL_DELAY_S + 1])

    def send_mail(mail, begin_call, next_mail):
        if seconds := next(stopped_for, 0):
            now = calls.seconds_since_boot() + seconds
            monkeypatch.setattr(calls, "seconds_since_boot", lambda: now)
            Digest.objects.first().subscriber.unsubscribe(NOW)
        begin_call()
        return sink.send(mail)

    monkeypatch.setattr(sink, "send_mail", send_mail)
    run_worker()

    assert sink.attempts == ["r1@example.org"]
    assert outcomes() == ["skipped", "accepted"]


def test_failed_digests_are_sent_again_except_refused_recipients(provider):
    edition = planned_batch().slot.edition
    sink = provider(
        {
            "r0@example.org": refused("400 bad request"),
            "r1@example.org": refused("550 no such user", is_recipient=True),
        }
    )
    run_worker()
    sink.answers.clear()

    assert resend.resend_failed(edition, NOW) == 1
    run_worker()

    assert outcomes() == ["accepted", "failed", "accepted"]
    assert Digest.objects.first().reason == ""


def test_an_expired_edition_is_not_resent(sink):
    assert resend_at(make.NOW + EXPIRES_AFTER + timedelta(hours=1)) == 0
    resend_at(LATER)
    run_worker(make.NOW + EXPIRES_AFTER + timedelta(hours=1))

    assert Digest.objects.get(batch__slot__kind="resend").reason == "expired"


def test_digests_of_a_sending_batch_are_not_resent(sink):
    Batch.objects.update(state="sending")

    assert resend_at(LATER) == 0


def test_an_operator_can_resend_or_mark_accepted_at_any_time(sink):
    digest = Digest.objects.get(outcome="unknown")
    edition = digest.edition
    sink.answers.clear()

    assert resend.resend_digests(edition, [digest.pk], NOW, Slot.Kind.MANUAL) == 1
    assert resend.resend_digests(edition, [digest.pk], NOW, Slot.Kind.MANUAL) == 0
    run_worker(make.NOW + timedelta(days=3))
    assert sorted(outcomes()) == ["accepted"] * 3

    Digest.objects.filter(pk=digest.pk).update(outcome="unknown")
    assert resend.mark_accepted([digest.pk], NOW) == 1
    assert resend.mark_accepted([digest.pk], NOW) == 0


def test_progress_shows_share_pace_and_time_left():
    tally = Tally(recipients=20_000, accepted=1_200, failed=2, waiting=18_798)

    progress_now = progress.Progress(tally, pace=100.0)

    assert str(progress_now) == (
        "1,202 of 20,000 readers, 100.0 a second, 0:03:08 left, 2 failed"
    )
    assert progress.Progress(tally).time_left is None


def test_pace_is_measured_from_the_rows_of_all_workers(provider):
    planned_batch(5)
    sink = provider()
    sink.answers["r4@example.org"] = unknown("500")
    run_worker()
    edition = Batch.objects.get().slot.edition
    make.batch(edition, [make.subscriber()])

    progress_now = progress.progress_of(edition, NOW + timedelta(minutes=1))

    assert (progress_now.done, progress_now.tally.waiting) == (5, 1)
    assert progress_now.pace == pytest.approx(5 / 300)
