"""When sending stops: by the circuit breaker, by an operator, and at shutdown."""

from datetime import timedelta

import pytest

from digest.mailer import circuit_breaker, deliver, shutdown
from digest.mailer.tally import count_outcomes, reconciliation_error
from digest.mailer.transports import accepted, refused, unknown
from digest.models import Batch, Digest, Event, SendingPause
from tests import make
from tests.mailer.sending import (
    LATER,
    NOW,
    outcomes,
    planned_batch,
    run_worker,
)

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def pauses():
    return list(SendingPause.objects.in_force().values_list("reason", flat=True))


def test_refused_credentials_pause_sending_and_fail_no_digest(provider, caplog):
    planned_batch()
    revoked = refused("401 the key was revoked", retry=True, halt=True)
    sink = provider({"r0@example.org": revoked})

    run_worker()

    assert outcomes() == ["pending", "pending", "pending"]
    assert pauses() == ["the provider refuses our credentials: 401 the key was revoked"]
    assert "sending paused" in caplog.text
    assert run_worker(LATER) is None
    SendingPause.objects.all().release(LATER)
    sink.answers.clear()
    run_worker(LATER)
    assert outcomes() == ["accepted"] * 3


def test_refused_credentials_never_count_as_attempts(provider):
    planned_batch(1)
    provider({"r0@example.org": refused("403", retry=True, halt=True)})

    for _ in range(deliver.MAX_ATTEMPTS + 2):
        run_worker()
        SendingPause.objects.all().release(NOW)

    assert outcomes() == ["pending"]
    assert Batch.objects.get().attempts == 0


def test_consecutive_failures_pause_sending(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "MAX_CONSECUTIVE_FAILURES", 3)
    planned_batch(8)
    broken = {f"r{n}@example.org": unknown("500 down") for n in range(1, 8)}
    sink = provider(broken)

    run_worker()

    assert outcomes() == ["accepted", *["unknown"] * 3, *["pending"] * 4]
    assert len(sink.attempts) == 4
    assert pauses() == ["3 consecutive digests failed: 500 down"]
    assert Batch.objects.get().state == "planned"


def test_an_accepted_digest_resets_the_failure_count(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "MAX_CONSECUTIVE_FAILURES", 3)
    planned_batch(6)
    provider({f"r{n}@example.org": refused("550") for n in (0, 1, 3, 4)})

    run_worker()

    assert pauses() == []


def test_a_pause_stops_a_batch_before_its_next_digest(provider, monkeypatch):
    planned_batch()
    sink = provider()
    send = sink.send

    def stopped_after_the_first(mail):
        SendingPause.objects.trigger(
            "a wrong note", NOW, Batch.objects.get().slot.edition
        )
        return send(mail)

    monkeypatch.setattr(sink, "send", stopped_after_the_first)
    run_worker()

    assert sink.attempts == ["r0@example.org"]
    batch = Batch.objects.get()
    assert (batch.state, batch.error) == ("planned", "paused: a wrong note")
    assert outcomes() == ["accepted", "pending", "pending"]


@pytest.mark.parametrize(("wrong", "stops"), [(2, False), (3, True)])
def test_a_high_failure_share_pauses_sending(provider, monkeypatch, wrong, stops):
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_FAILURES", 20)
    planned_batch(20)
    provider({f"r{5 * n}@example.org": unknown("500") for n in range(wrong)})
    run_worker()

    circuit_breaker.check_failure_rates(NOW)

    assert bool(pauses()) is stops


def test_the_failure_share_includes_batches_in_progress(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_FAILURES", 20)
    first = planned_batch(20)
    provider()
    run_worker()
    readers = [make.subscriber() for _ in range(50)]
    others = make.batch(first.slot.edition, readers, state="sending", last_position=50)
    for reader in readers[:3]:  # of seventy, not of twenty
        make.digest(others, reader, outcome="unknown", outcome_at=NOW)

    circuit_breaker.check_failure_rates(NOW)
    assert pauses() == []

    for reader in readers[3:9]:
        make.digest(others, reader, outcome="unknown", outcome_at=NOW)
    circuit_breaker.check_failure_rates(NOW)
    assert pauses() == ["9 digests failed or are unknown within 0:15:00"]


def test_the_failure_share_is_ignored_for_few_digests(provider):
    planned_batch(3)
    provider({"r1@example.org": unknown("500")})
    run_worker()

    circuit_breaker.check_failure_rates(NOW)

    assert pauses() == []


def test_failures_before_a_resumption_do_not_pause_again(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_FAILURES", 4)
    planned_batch(4)
    provider({"r1@example.org": unknown("500")})
    run_worker()
    circuit_breaker.check_failure_rates(NOW)
    assert pauses()

    SendingPause.objects.all().release(NOW + timedelta(minutes=1))
    circuit_breaker.check_failure_rates(NOW + timedelta(minutes=2))

    assert pauses() == []


@pytest.mark.parametrize(("kind", "stops"), [("bounce", True), ("delivered", False)])
def test_a_high_bounce_share_pauses_sending(provider, monkeypatch, kind, stops):
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_BOUNCES", 10)
    planned_batch(10)
    provider()
    run_worker()
    for number, digest in enumerate(Digest.objects.all()[:2]):
        Event.objects.create(
            source="sendgrid",
            key=str(number),
            semantic_key=str(number),
            kind=kind,
            digest=digest,
            at=NOW,
        )
    Event.objects.update(received_at=NOW)

    circuit_breaker.check_failure_rates(NOW + timedelta(minutes=5))

    assert bool(pauses()) is stops


def test_shutdown_finishes_the_digest_and_releases_the_batch(provider, monkeypatch):
    planned_batch()
    sink = provider()
    send = sink.send
    monkeypatch.setattr(
        sink, "send", lambda mail: (shutdown.request_shutdown(), send(mail))[1]
    )
    run_worker()
    shutdown.FLAG[0] = 0
    monkeypatch.setattr(sink, "send", send)

    batch = Batch.objects.get()
    assert sink.attempts == ["r0@example.org"]
    assert outcomes() == ["accepted", "pending", "pending"]
    assert (batch.state, batch.last_position, batch.attempts) == ("planned", 1, 0)
    run_worker(NOW)  # another worker need not wait for a lease
    assert outcomes() == ["accepted"] * 3


def test_a_rate_limit_is_waited_for_and_costs_no_attempt(provider, settings, tmp_path):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    planned_batch(2)
    sink = provider({"r0@example.org": [refused("429", True, wait=30), accepted("x")]})

    run_worker()

    batch = Batch.objects.get()
    assert (batch.state, batch.attempts) == ("planned", 0)
    assert batch.lease_until - NOW == timedelta(seconds=30)
    assert sink.attempts == ["r0@example.org"]
    assert run_worker(NOW + timedelta(seconds=29)) is None
    assert run_worker(NOW + timedelta(seconds=31)).accepted == 2


def test_a_done_batch_with_a_pending_digest_is_a_reconciliation_error(provider):
    batch = planned_batch()
    provider()
    run_worker()
    edition = batch.slot.edition
    assert reconciliation_error(edition, LATER) == ""

    Digest.objects.filter(pk=Digest.objects.first().pk).update(outcome="pending")
    assert reconciliation_error(edition, LATER) == (
        "1 of 3 readers have no outcome: their batches are done"
    )

    Digest.objects.first().delete()
    assert "1 of 3 readers" in reconciliation_error(edition, LATER)


def test_a_reconciliation_error_is_found_while_other_batches_are_sending(provider):
    batch = planned_batch()
    provider()
    run_worker()
    edition = batch.slot.edition
    Batch.objects.create(slot=batch.slot, readers=[make.subscriber("late@x.org").pk])
    assert reconciliation_error(edition, LATER) == ""

    Digest.objects.filter(pk=Digest.objects.first().pk).update(outcome="pending")
    assert reconciliation_error(edition, LATER) == (
        "1 of 4 readers have no outcome: their batches are done"
    )


def test_an_outdated_tally_is_not_a_reconciliation_error(provider):
    edition = planned_batch().slot.edition
    counted = count_outcomes(edition)
    provider()
    run_worker()

    assert counted.waiting == 3
    assert reconciliation_error(edition, LATER, counted) == ""


def test_unsent_batches_are_a_reconciliation_error_after_expiry():
    edition = planned_batch().slot.edition

    assert reconciliation_error(edition, LATER) == ""
    expired = make.NOW + timedelta(hours=26, minutes=1)
    assert reconciliation_error(edition, expired) == (
        "3 of 3 readers have no outcome: 1 batches were not sent"
    )
    SendingPause.objects.trigger("an operator stopped it", LATER, edition)
    assert reconciliation_error(edition, expired) == ""
