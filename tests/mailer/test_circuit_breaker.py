"""When sending stops: by the circuit breaker, by an operator, and at shutdown."""

from datetime import timedelta

import pytest

from accounts.models import Suppression
from digest.mailer import circuit_breaker, shutdown
from digest.mailer.tally import count_outcomes, reconciliation_error
from digest.mailer.transports import accepted, refused, unknown
from digest.models import Batch, Candidate, Digest, Event, Pick, SendingPause
from digest.models.editions import EXPIRES_AFTER
from tests import make
from tests.mailer.sending import (
    LATER,
    NOW,
    claim_at,
    outcomes,
    planned_batch,
    run_worker,
)

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def pauses():
    return list(SendingPause.objects.in_force().values_list("reason", flat=True))


REVOKED = refused("401 the key was revoked", retry=True, halt=True)
DOWN = refused("not reached", retry=True)


def everybody(result, number=3):
    return {f"r{n}@example.org": result for n in range(number)}


def minutes_later(number):
    return NOW + timedelta(minutes=number)


def test_refused_credentials_pause_sending_and_fail_no_digest(provider, caplog):
    planned_batch()
    sink = provider(everybody(REVOKED))

    run_worker()

    assert outcomes() == ["pending"] * 3
    assert pauses() == ["the provider refuses our credentials: 401 the key was revoked"]
    assert "sending paused" in caplog.text
    assert run_worker(NOW + timedelta(seconds=59)) is None
    SendingPause.objects.all().release(NOW)
    sink.answers.clear()
    run_worker(NOW + timedelta(seconds=59))
    assert outcomes() == ["accepted"] * 3


def test_an_automatic_pause_is_tested_with_one_digest_at_growing_intervals(
    provider, caplog
):
    planned_batch()
    sink = provider(everybody(REVOKED))

    tested = []
    for minute in range(40):
        before = len(sink.attempts)
        run_worker(minutes_later(minute))
        tested += [minute] * (len(sink.attempts) - before)

    assert tested == [0, 1, 3, 7, 15, 30]
    assert outcomes() == ["pending"] * 3
    assert "a test digest was not accepted" in caplog.text


def test_an_accepted_test_digest_resumes_sending(provider, caplog):
    planned_batch()
    sink = provider(everybody(REVOKED))
    run_worker()
    sink.answers.clear()

    run_worker(minutes_later(2))

    assert pauses() == []
    assert outcomes() == ["accepted"] * 3
    assert "sending resumed" in caplog.text


def test_only_one_worker_tests_a_pause_at_a_time(provider):
    planned_batch()
    provider(everybody(REVOKED))
    run_worker()
    make.batch(Batch.objects.get().slot.edition, [make.subscriber()])

    assert claim_at(minutes_later(2)) is not None
    assert claim_at(minutes_later(2)) is None


def test_a_manual_pause_is_not_tested(provider):
    planned_batch()
    sink = provider(everybody(REVOKED))
    run_worker()
    SendingPause.objects.trigger("an operator", NOW, is_automatic=False)
    sink.answers.clear()

    assert run_worker(minutes_later(20)) is None
    assert len(pauses()) == 2


def test_an_outage_across_batches_pauses_sending_until_a_test_succeeds(provider):
    edition = planned_batch().slot.edition
    other = make.batch(edition, [reader := make.subscriber("r3@example.org")])
    make.digest(other, reader, [(edition.candidates.first().pk, 0)])
    sink = provider(everybody(DOWN, 4))

    for minute in range(10):
        while run_worker(minutes_later(minute)):
            pass
    assert pauses() == ["the provider is unavailable: not reached"]
    attempts = len(sink.attempts)
    for minute in range(10, 30):
        while run_worker(minutes_later(minute)):
            pass
    assert len(sink.attempts) - attempts <= 3

    sink.answers.clear()
    while run_worker(minutes_later(60)):
        pass
    assert pauses() == []
    assert outcomes() == ["accepted"] * 4


def test_an_outage_of_one_batch_does_not_pause_while_others_are_accepted(provider):
    edition = planned_batch(1).slot.edition
    provider({"r0@example.org": DOWN})
    for minute in range(30):
        batch = make.batch(edition, [reader := make.subscriber()])
        make.digest(batch, reader, [(edition.candidates.first().pk, 0)])
        while run_worker(minutes_later(minute)):
            pass

    assert pauses() == []


def test_wrong_mail_settings_pause_sending_before_any_digest_is_marked(settings):
    settings.MAIL_TRANSPORT, settings.SMTP_URL = "smtp", "mail.example"
    batch = planned_batch()

    run_worker()

    batch.refresh_from_db()
    assert outcomes() == ["pending"] * 3
    assert (batch.state, batch.last_position) == ("planned", 0)
    (reason,) = pauses()
    assert reason.startswith("the mail settings are wrong: SMTP_URL must look like")


def test_a_digest_that_cannot_be_composed_fails_before_it_is_marked(mails):
    batch = planned_batch()
    card = {"title": "No more than a title"}
    (broken,) = Candidate.objects.bulk_create(  # save() refuses frozen editions
        [Candidate(edition=batch.slot.edition, paper=make.paper(), card=card)]
    )
    digest = Digest.objects.get(subscriber__email="r1@example.org")
    digest.picks = [*digest.picks, Pick(broken.pk, 0)]
    digest.save()

    run_worker()

    assert outcomes() == ["accepted", "failed", "accepted"]


def test_a_defect_of_the_transport_leaves_one_digest_unknown(provider, caplog):
    planned_batch()
    provider({"r1@example.org": KeyError("a defect")})

    run_worker()

    assert outcomes() == ["accepted", "unknown", "accepted"]
    assert "transport failed" in caplog.text


# Recipient domains


def two_domains(number=20):
    """Digests of readers in two domains, alternating."""
    edition = make.edition(papers=1)
    picks = [(edition.candidates.get().pk, 0)]
    domains = ("one.example", "two.example")
    readers = [make.subscriber(f"r{n}@{domains[n % 2]}") for n in range(number)]
    batch = make.batch(make.frozen(edition), readers)
    for reader in readers:
        make.digest(batch, reader, picks)
    return readers


def test_one_domain_that_refuses_all_mail_does_not_stop_the_others(
    provider, monkeypatch, caplog
):
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_FAILURES", 10)
    readers = two_domains()
    provider({r.email: refused("554 blocked") for r in readers[::2]})
    run_worker()

    circuit_breaker.check_failure_rates(NOW)

    assert pauses() == []
    assert outcomes().count("accepted") == 10
    assert "one domain refuses our mail" in caplog.text


def test_failures_of_several_domains_pause_sending(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_FAILURES", 10)
    readers = two_domains()
    provider({r.email: refused("554 blocked") for r in readers[:6]})
    run_worker()

    circuit_breaker.check_failure_rates(NOW)

    assert pauses() == ["6 digests failed or are unknown within 0:15:00"]


@pytest.mark.parametrize(
    ("reply", "is_suppressed"),
    [("550 5.1.1 no such user", True), ("550 5.7.1 policy", False)],
)
def test_refused_recipients_pause_nothing_and_missing_mailboxes_are_suppressed(
    provider, monkeypatch, reply, is_suppressed
):
    monkeypatch.setattr(circuit_breaker, "MAX_CONSECUTIVE_FAILURES", 2)
    monkeypatch.setattr(circuit_breaker, "MIN_SENT_FOR_FAILURES", 2)
    planned_batch(4)
    provider(everybody(refused(reply, is_recipient=True), 4))
    run_worker()

    circuit_breaker.check_failure_rates(NOW)

    assert pauses() == []
    assert outcomes() == ["failed"] * 4
    assert Suppression.objects.count() == (4 if is_suppressed else 0)


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
    expired = NOW + EXPIRES_AFTER + timedelta(minutes=1)
    assert reconciliation_error(edition, expired) == (
        "3 of 3 readers have no outcome: 1 batches were not sent"
    )
    SendingPause.objects.trigger("an operator stopped it", LATER, edition)
    assert reconciliation_error(edition, expired) == ""
