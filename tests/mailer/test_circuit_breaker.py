"""When sending stops: by itself, by an operator, by the end of a worker."""

from datetime import timedelta

import pytest

from digest.mailer import circuit_breaker, deliver, ledger, shutdown
from digest.mailer.transports import accepted, refused, unknown
from digest.models import Batch, Digest, Event, SendingPause
from tests import make
from tests.mailer.test_deliver import LATER, NOW, outcomes, planned, provider, run

__all__ = ["provider"]

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def pauses():
    return list(SendingPause.objects.in_force().values_list("reason", flat=True))


def test_a_revoked_key_stops_everything_and_fails_nobody(provider, caplog):
    planned()
    revoked = refused("401 the key was revoked", retry=True, halt=True)
    sink = provider({"r0@example.org": revoked})

    run()

    assert outcomes() == ["", "", ""]
    assert pauses() == ["the provider refuses us: 401 the key was revoked"]
    assert "sending stands still" in caplog.text
    assert run(LATER) is None
    SendingPause.objects.all().lift(LATER)
    sink.answers.clear()
    run(LATER)
    assert outcomes() == ["sent"] * 3


def test_a_revoked_key_fails_nobody_however_often_it_is_tried(provider):
    planned(1)
    provider({"r0@example.org": refused("403", retry=True, halt=True)})

    for _ in range(deliver.ATTEMPTS + 2):
        run()
        SendingPause.objects.all().lift(NOW)

    assert outcomes() == [""]
    assert Batch.objects.get().attempts == 0


def test_twenty_in_a_row_that_go_wrong_pull_the_brake(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "ROW", 3)
    planned(8)
    broken = {f"r{n}@example.org": unknown("500 down") for n in range(1, 8)}
    sink = provider(broken)

    run()

    assert outcomes() == ["sent", *["unknown"] * 3, *[""] * 4]
    assert len(sink.asked) == 4
    assert pauses() == ["3 in a row went wrong: 500 down"]
    assert Batch.objects.get().state == "planned"


def test_one_that_is_accepted_begins_the_row_anew(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "ROW", 3)
    planned(6)
    provider({f"r{n}@example.org": refused("550") for n in (0, 1, 3, 4)})

    run()

    assert pauses() == []


def test_a_brake_that_is_pulled_in_the_middle_stops_before_the_next_digest(
    provider, monkeypatch
):
    planned()
    sink = provider()
    send = sink.send

    def stopped_after_the_first(mail):
        SendingPause.objects.pull("a wrong note", NOW, Batch.objects.get().slot.edition)
        return send(mail)

    monkeypatch.setattr(sink, "send", stopped_after_the_first)
    run()

    assert sink.asked == ["r0@example.org"]
    batch = Batch.objects.get()
    assert (batch.state, batch.error) == ("planned", "stopped: a wrong note")
    assert outcomes() == ["sent", "", ""]


@pytest.mark.parametrize(("wrong", "stops"), [(2, False), (3, True)])
def test_a_share_that_went_wrong_pulls_the_brake(provider, monkeypatch, wrong, stops):
    monkeypatch.setattr(circuit_breaker, "WRONG_FROM", 20)
    planned(20)
    provider({f"r{5 * n}@example.org": unknown("500") for n in range(wrong)})
    run()

    circuit_breaker.check(NOW)

    assert bool(pauses()) is stops


def test_a_share_is_of_what_all_workers_have_in_hand(provider, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "WRONG_FROM", 20)
    first = planned(20)
    provider()
    run()
    readers = [make.subscriber() for _ in range(50)]
    others = make.batch(first.slot.edition, readers, state="sending", last_position=50)
    for reader in readers[:3]:  # of seventy, not of twenty
        make.digest(others, reader, outcome="unknown", outcome_at=NOW)

    circuit_breaker.check(NOW)
    assert pauses() == []

    for reader in readers[3:9]:
        make.digest(others, reader, outcome="unknown", outcome_at=NOW)
    circuit_breaker.check(NOW)
    assert pauses() == ["9 digests failed or are unknown within 0:15:00"]


def test_few_digests_say_nothing_of_a_share(provider):
    planned(3)
    provider({"r1@example.org": unknown("500")})
    run()

    circuit_breaker.check(NOW)

    assert pauses() == []


def test_what_went_wrong_before_a_brake_was_lifted_does_not_pull_it_again(
    provider, monkeypatch
):
    monkeypatch.setattr(circuit_breaker, "WRONG_FROM", 4)
    planned(4)
    provider({"r1@example.org": unknown("500")})
    run()
    circuit_breaker.check(NOW)
    assert pauses()

    SendingPause.objects.all().lift(NOW + timedelta(minutes=1))
    circuit_breaker.check(NOW + timedelta(minutes=2))

    assert pauses() == []


@pytest.mark.parametrize(("kind", "stops"), [("bounce", True), ("delivered", False)])
def test_mails_that_come_back_pull_the_brake(provider, monkeypatch, kind, stops):
    monkeypatch.setattr(circuit_breaker, "BOUNCED_FROM", 10)
    planned(10)
    provider()
    run()
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

    circuit_breaker.check(NOW + timedelta(minutes=5))

    assert bool(pauses()) is stops


def test_a_worker_that_is_asked_to_end_finishes_its_digest_and_lays_the_batch_down(
    provider, monkeypatch
):
    planned()
    sink = provider()
    send = sink.send
    monkeypatch.setattr(sink, "send", lambda mail: (shutdown.ask(), send(mail))[1])
    run()
    shutdown.FLAG[0] = 0
    monkeypatch.setattr(sink, "send", send)

    batch = Batch.objects.get()
    assert sink.asked == ["r0@example.org"]
    assert outcomes() == ["sent", "", ""]
    assert (batch.state, batch.last_position, batch.attempts) == ("planned", 1, 0)
    run(NOW)  # another worker need not wait for a lease
    assert outcomes() == ["sent"] * 3


def test_the_provider_s_wait_is_kept_and_costs_no_attempt(provider, settings, tmp_path):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    planned(2)
    sink = provider({"r0@example.org": [refused("429", True, wait=30), accepted("x")]})

    run()

    batch = Batch.objects.get()
    assert (batch.state, batch.attempts) == ("planned", 0)
    assert batch.lease_until - NOW == timedelta(seconds=30)
    assert run(NOW + timedelta(seconds=31)).accepted == 0  # the pace still says no
    assert sink.asked == ["r0@example.org"]


def test_a_finished_edition_with_a_reader_who_has_no_outcome_is_a_mismatch(provider):
    batch = planned()
    provider()
    run()
    edition = batch.slot.edition
    assert ledger.mismatch(edition, LATER) == ""

    Digest.objects.filter(pk=Digest.objects.first().pk).update(message_id="")
    assert ledger.mismatch(edition, LATER) == (
        "1 of 3 readers have no outcome: their batches are done"
    )

    Digest.objects.first().delete()
    assert "1 of 3 readers" in ledger.mismatch(edition, LATER)


def test_a_reader_who_was_forgotten_is_a_mismatch_while_others_are_still_sent(provider):
    batch = planned()
    provider()
    run()
    edition = batch.slot.edition
    Batch.objects.create(slot=batch.slot, readers=[make.subscriber("late@x.org").pk])
    assert ledger.mismatch(edition, LATER) == ""

    Digest.objects.filter(pk=Digest.objects.first().pk).update(message_id="")
    assert ledger.mismatch(edition, LATER) == (
        "1 of 4 readers have no outcome: their batches are done"
    )


def test_a_tally_that_sending_has_overtaken_is_no_mismatch(provider):
    edition = planned().slot.edition
    counted = ledger.tally(edition)
    provider()
    run()

    assert counted.waiting == 3
    assert ledger.mismatch(edition, LATER, counted) == ""


def test_an_edition_that_is_still_sent_is_no_mismatch_until_it_has_expired():
    edition = planned().slot.edition

    assert ledger.mismatch(edition, LATER) == ""
    expired = make.NOW + timedelta(hours=26, minutes=1)
    assert ledger.mismatch(edition, expired) == (
        "3 of 3 readers have no outcome: 1 batches never went"
    )
    SendingPause.objects.pull("an operator stopped it", LATER, edition)
    assert ledger.mismatch(edition, expired) == ""
