"""Delivering a batch: marks, kills, refusals, and the last check before sending."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Subscriber, Suppression
from digest.mailer import calls, claims, deliver, last_check, recording
from digest.mailer.tally import count_outcomes
from digest.mailer.transports import accepted, files, refused, unknown
from digest.models import Batch, Digest, Recall
from digest.models.editions import EXPIRES_AFTER
from tests import make
from tests.mailer.sending import (
    LATER,
    NOW,
    Killed,
    claim_at,
    deliver_at,
    deliver_batch,
    outcomes,
    planned_batch,
    resolve_at,
    run_worker,
)

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def test_files_transport_writes_one_file_per_digest(mails):
    batch = planned_batch()

    done = run_worker()

    batch.refresh_from_db()
    keys = sorted(Digest.objects.values_list("key", flat=True))
    names = sorted(path.name for path in mails.iterdir())
    assert names == sorted(f"2026-11-20-{key}.eml" for key in keys)
    assert (done.accepted, batch.state, batch.last_position) == (3, "done", 3)
    assert outcomes() == ["accepted"] * 3


def test_a_batch_is_claimed_once(provider):
    planned_batch()

    first, second = claim_at(NOW), claim_at(NOW)

    assert first.state == "claimed"
    assert second is None


def test_a_batch_of_an_unplanned_slot_is_not_claimable():
    batch = planned_batch()
    batch.slot.planned_at = None
    batch.slot.save()

    assert claim_at(NOW) is None


def test_an_expired_claim_is_claimed_again(provider):
    planned_batch()
    claim_at(NOW)
    sink = provider()

    assert run_worker(NOW + timedelta(seconds=59)) is None
    run_worker(LATER)

    assert len(sink.attempts) == 3


def test_claims_can_be_limited_to_one_edition():
    batch = planned_batch()
    other = make.edition(make.DAY - timedelta(days=1), papers=0)

    assert claim_at(NOW, other) is None
    assert claim_at(NOW, batch.slot.edition) == batch


def test_a_kill_between_mark_and_call_leaves_one_unknown(provider):
    planned_batch()
    sink = provider({"r1@example.org": Killed()})
    with pytest.raises(Killed):
        run_worker()

    assert run_worker(LATER) is None  # in doubt until it is reclaimed
    (batch,) = resolve_at(LATER)
    sink.answers.clear()
    run_worker(LATER)

    assert outcomes() == ["accepted", "unknown", "accepted"]
    assert sink.attempts == ["r0@example.org", "r1@example.org", "r2@example.org"]
    batch.refresh_from_db()
    assert batch.state == "done"


def test_a_kill_after_the_record_leaves_nothing_unknown(provider, monkeypatch):
    planned_batch()
    sink = provider()
    record_results = recording.record_results

    def killed_after_the_second(results, counts):
        record_results(results, counts)
        if counts.accepted == 2:
            raise Killed

    monkeypatch.setattr(recording, "record_results", killed_after_the_second)
    with pytest.raises(Killed):
        run_worker()
    monkeypatch.setattr(recording, "record_results", record_results)
    resolve_at(LATER)
    run_worker(LATER)

    assert outcomes() == ["accepted"] * 3
    assert len(sink.attempts) == 3


@pytest.mark.parametrize("when", ["before the call", "after the call"])
def test_files_transport_resolves_a_kill_without_loss_or_double(
    mails, monkeypatch, when
):
    planned_batch()
    write = files.write_file

    def killed_at_the_second(name, content):
        if len(list(mails.iterdir())) == 1:
            if when == "after the call":
                write(name, content)
            raise Killed
        write(name, content)

    monkeypatch.setattr(files, "write_file", killed_at_the_second)
    with pytest.raises(Killed):
        run_worker()
    written = []
    monkeypatch.setattr(
        files, "write_file", lambda *a: (written.append(a[0]), write(*a))
    )

    (batch,) = resolve_at(LATER)
    batch.refresh_from_db()
    run_worker(LATER)

    assert batch.last_position == (2 if when == "after the call" else 1)
    assert len(list(mails.iterdir())) == 3
    assert len(written) == (1 if when == "after the call" else 2)
    tally = count_outcomes(Batch.objects.get().slot.edition)
    assert (tally.accepted, tally.unknown, tally.recipients) == (3, 0, 3)


def test_an_interrupted_write_leaves_no_file(mails, monkeypatch):
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(Killed))

    with pytest.raises(Killed):
        files.write_file("a.eml", b"half")

    assert list(mails.iterdir()) == []


def test_a_batch_with_a_valid_lease_is_not_taken_over(provider):
    batch = planned_batch()
    Batch.objects.update(
        state="sending", last_position=1, lease_until=NOW + timedelta(minutes=1)
    )

    assert resolve_at(NOW) == []
    batch.refresh_from_db()
    assert batch.state == "sending"


def test_a_worker_without_its_lease_sends_nothing(provider):
    planned_batch()
    sink = provider()
    slow = claim_at(NOW)
    digests = list(slow.digests.order_by("pk"))
    quick = claim_at(LATER)

    done = deliver_at(LATER, slow, digests)

    assert sink.attempts == []
    assert done.accepted == 0
    quick.refresh_from_db()
    assert quick.state == "claimed"


def test_a_result_after_the_lease_expired_is_recorded(provider, monkeypatch):
    planned_batch(2)
    sink = provider()
    send = sink.send

    def slowly(mail):
        if not sink.attempts:
            assert resolve_at(LATER)
            assert outcomes() == ["unknown", "pending"]
        return send(mail)

    monkeypatch.setattr(sink, "send", slowly)
    run_worker()

    assert outcomes() == ["accepted", "pending"]
    assert Batch.objects.get().state == "planned"
    run_worker(LATER)
    assert sink.attempts == ["r0@example.org", "r1@example.org"]


def test_has_active_batches_while_a_worker_owns_one(provider):
    edition = planned_batch().slot.edition
    provider()

    assert not claims.has_active_batches(edition)
    batch = claim_at(NOW)
    assert claims.has_active_batches(edition)
    deliver_at(NOW, batch)
    assert not claims.has_active_batches(edition)


def test_a_batch_that_backs_off_is_not_active(provider):
    batch = planned_batch()
    provider({"r0@example.org": refused("429", retry=True)})

    run_worker()

    assert not claims.has_active_batches(batch.slot.edition)


def test_an_erased_reader_does_not_shift_the_others(provider):
    planned_batch(4)
    sink = provider({"r2@example.org": refused("503 busy", retry=True)})
    run_worker()
    Digest.objects.first().subscriber.delete()

    sink.answers.clear()
    run_worker(LATER)

    assert sink.attempts[-2:] == ["r3@example.org", "r2@example.org"]
    assert outcomes() == ["accepted"] * 3


def test_an_erased_reader_makes_no_other_digest_unknown(provider):
    planned_batch(4)
    sink = provider({"r1@example.org": Killed()})
    with pytest.raises(Killed):
        run_worker()
    Digest.objects.first().subscriber.delete()

    resolve_at(LATER)
    run_worker(LATER)

    assert outcomes() == ["unknown", "accepted", "accepted"]
    assert sink.attempts[2:] == ["r2@example.org", "r3@example.org"]


def test_a_reader_erased_between_choosing_and_sending_stops_no_other_mail(provider):
    batch = planned_batch()
    sink = provider()
    claimed = claim_at(NOW)
    digests = list(claimed.digests.order_by("pk"))
    Subscriber.objects.filter(pk=digests[1].subscriber_id).delete()
    Recall.objects.create(
        paper=batch.slot.edition.candidates.first().paper, reason="withdrawn"
    )

    done = deliver_at(NOW, claimed, digests)

    assert sink.attempts == ["r0@example.org", "r2@example.org"]
    assert (done.accepted, outcomes()) == (2, ["accepted", "accepted"])
    batch.refresh_from_db()
    assert batch.state == "done"


def test_a_temporary_refusal_releases_the_batch_with_backoff(provider):
    batch = planned_batch()
    sink = provider({"r1@example.org": refused("429 slow down", retry=True)})

    done = run_worker()

    batch.refresh_from_db()
    assert (done.accepted, done.waiting) == (1, 1)
    assert (batch.state, batch.attempts) == ("planned", 1)
    assert batch.error == "429 slow down"
    assert batch.lease_until == NOW + timedelta(minutes=1)
    assert sink.attempts == ["r0@example.org", "r1@example.org"]
    assert run_worker(NOW + timedelta(seconds=59)) is None


def test_a_temporarily_refused_digest_is_sent_later_once(provider):
    planned_batch()
    sink = provider({"r1@example.org": refused("429", retry=True)})
    run_worker()

    sink.answers.clear()
    run_worker(LATER)

    assert outcomes() == ["accepted"] * 3
    assert sorted(sink.attempts) == [f"r{n}@example.org" for n in (0, 1, 1, 2)]


DOWN = refused("not reached", retry=True)
DEFERRED = refused("450 come back later", retry=True, is_recipient=True)


def test_backoff_doubles_and_the_fifth_refusal_of_a_recipient_fails_the_digest(
    provider,
):
    batch = planned_batch(2)
    provider({"r0@example.org": DEFERRED})
    waits, now = [], NOW

    for _ in range(5):
        run_worker(now)
        batch.refresh_from_db()
        if batch.lease_until:
            waits.append((batch.lease_until - now) // timedelta(minutes=1))
            now = batch.lease_until

    assert waits == [1, 2, 4, 8]
    assert outcomes() == ["failed", "accepted"]
    digest = Digest.objects.first()
    assert (digest.provider_detail, digest.reason) == (
        "450 come back later",
        "recipient",
    )
    assert batch.state == "done"


def test_an_outage_fails_no_digest_and_is_survived(provider):
    batch = planned_batch(3)
    sink = provider({f"r{n}@example.org": DOWN for n in range(3)})
    now = NOW

    for _ in range(40):
        run_worker(now)
        now += timedelta(minutes=15)
    assert outcomes() == ["pending"] * 3
    sink.answers.clear()
    run_worker(now)

    assert outcomes() == ["accepted"] * 3
    batch.refresh_from_db()
    assert (batch.state, batch.attempts) == ("done", 0)


def test_a_mail_that_is_always_refused_does_not_delay_the_others(provider):
    planned_batch(3)
    provider({"r0@example.org": DOWN})

    run_worker()
    run_worker(LATER)

    assert outcomes() == ["pending", "accepted", "accepted"]


def test_a_greylisted_recipient_does_not_stop_the_others(provider):
    planned_batch()
    greylisted = refused("450 come back later", retry=True, is_recipient=True)
    sink = provider({"r0@example.org": [greylisted, accepted("id")]})

    run_worker()
    assert outcomes() == ["pending", "accepted", "accepted"]
    run_worker(LATER)

    assert outcomes() == ["accepted"] * 3
    assert len(sink.attempts) == 4


@pytest.mark.parametrize("window", [1, 2])
def test_a_digest_refused_before_a_kill_is_not_unknown(provider, monkeypatch, window):
    monkeypatch.setattr(deliver.BatchSending, "window_size", lambda self: window)
    planned_batch()
    greylisted = refused("450 come back later", retry=True, is_recipient=True)
    sink = provider({"r0@example.org": greylisted, "r1@example.org": Killed()})
    with pytest.raises(Killed):
        run_worker()

    resolve_at(LATER)
    sink.answers.clear()
    run_worker(LATER)

    assert outcomes() == ["accepted", "unknown", "accepted"]


def test_a_refusal_in_the_window_of_a_kill_is_certain(provider, monkeypatch):
    monkeypatch.setattr(deliver.BatchSending, "window_size", lambda self: 2)
    planned_batch(2)
    greylisted = refused("450 come back later", retry=True, is_recipient=True)
    sink = provider({"r0@example.org": greylisted, "r1@example.org": Killed()})
    with pytest.raises(Killed):
        run_worker()

    resolve_at(LATER)
    sink.answers.clear()
    run_worker(LATER)

    assert outcomes() == ["accepted", "unknown"]


def test_a_refused_digest_in_flight_at_a_kill_is_unknown(provider):
    planned_batch(1)
    greylisted = refused("450 come back later", retry=True, is_recipient=True)
    sink = provider({"r0@example.org": [greylisted, Killed()]})
    run_worker()
    with pytest.raises(Killed):
        run_worker(LATER)

    later_still = LATER + timedelta(minutes=6)
    resolve_at(later_still)
    run_worker(later_still)

    assert outcomes() == ["unknown"]
    assert len(sink.attempts) == 2


def test_permanent_refusals_and_unknowns_do_not_stop_the_batch(provider):
    batch = planned_batch(4)
    provider(
        {
            "r1@example.org": refused("550 no such user\x00"),
            "r2@example.org": unknown("no answer: timed out"),
        }
    )

    done = run_worker()

    batch.refresh_from_db()
    assert (done.accepted, done.failed, done.unknown) == (2, 1, 1)
    assert outcomes() == ["accepted", "failed", "unknown", "accepted"]
    assert batch.state == "done"
    assert Digest.objects.get(outcome="failed").provider_detail == "550 no such user"
    assert run_worker(LATER) is None


def test_a_digest_that_cannot_be_composed_fails_without_the_others(provider, caplog):
    batch = planned_batch()
    sink = provider()
    odd, sound = batch.slot.edition.candidates.all()
    type(odd).objects.filter(pk=odd.pk).update(card={})
    for number, digest in enumerate(Digest.objects.order_by("pk")):
        digest.picks = [(odd.pk if number == 1 else sound.pk, 0)]
        digest.save()

    run_worker()

    assert outcomes() == ["accepted", "failed", "accepted"]
    assert len(sink.attempts) == 2
    assert "digest cannot be composed" in caplog.text


def test_consent_suppression_and_pauses_are_checked_before_sending(provider):
    planned_batch(5)
    sink = provider()
    readers = [digest.subscriber for digest in Digest.objects.order_by("pk")]
    readers[1].unsubscribe(NOW)
    Suppression.add(readers[2].email, "complaint")
    readers[3].paused_until = NOW + timedelta(days=1)
    readers[3].save()

    done = run_worker()

    assert sink.attempts == ["r0@example.org", "r4@example.org"]
    assert done.skipped == 3
    reasons = list(Digest.objects.order_by("pk").values_list("reason", flat=True))
    assert reasons == ["", "left", "suppressed", "left", ""]


@pytest.fixture
def change_during_first_mail(provider, monkeypatch):
    """Let something happen while the first of three mails is sent, longer than the recheck interval."""
    monkeypatch.setattr(deliver, "RECHECK_INTERVAL_S", -1)

    def create_sink(change):
        sink = provider()
        send = sink.send

        def send_and_change(mail):
            if not sink.attempts:
                change(Digest.objects.order_by("pk")[1].subscriber)
            return send(mail)

        monkeypatch.setattr(sink, "send", send_and_change)
        return sink

    return create_sink


@pytest.mark.parametrize(
    ("change", "second"),
    [
        (lambda reader: reader.unsubscribe(NOW), "skipped"),
        (lambda reader: Suppression.add(reader.email, "complaint"), "skipped"),
        (lambda reader: reader.delete(), None),
    ],
)
def test_consent_is_checked_again_while_a_batch_is_sent(
    change_during_first_mail, change, second
):
    planned_batch()
    sink = change_during_first_mail(change)

    run_worker()

    assert sink.attempts == ["r0@example.org", "r2@example.org"]
    assert outcomes() == ["accepted", *([second] if second else []), "accepted"]


def test_a_new_address_is_used_while_a_batch_is_sent(change_during_first_mail):
    def change_address(reader):
        reader.email = "new@example.org"
        reader.save()

    planned_batch()
    sink = change_during_first_mail(change_address)

    run_worker()

    assert sink.attempts == ["r0@example.org", "new@example.org", "r2@example.org"]


def test_rows_are_read_again_after_the_recheck_interval_only(provider, monkeypatch):
    planned_batch()
    provider()
    times = iter(range(0, 100))
    monkeypatch.setattr(calls, "seconds_since_boot", lambda: next(times) / 20)
    checked = []
    filter_mailable = last_check.filter_mailable
    monkeypatch.setattr(
        last_check,
        "filter_mailable",
        lambda *given: (checked.append(1), filter_mailable(*given))[1],
    )

    run_worker()

    assert len(checked) == 1


def test_a_worker_that_lost_its_batch_does_not_finish_it(provider):
    planned_batch(2)
    sink = provider()
    slow = claim_at(NOW)
    slow_digests = list(slow.digests.order_by("pk"))
    owner = claim_at(LATER)
    deliver.mark_sending(owner, [slow_digests[0].pk], 1)

    Digest.objects.update(
        outcome="accepted"
    )  # so that the slow one has nothing to send
    deliver_at(LATER, slow)

    owner.refresh_from_db()
    assert (sink.attempts, owner.state) == ([], "sending")


def test_each_mark_renews_the_lease(provider):
    batch = planned_batch(3)
    sink = provider()
    send = sink.send
    traveller = time_machine.travel(NOW, tick=False)

    def send_slowly(mail):
        clock.shift(40)
        assert claims.resolve_abandoned_batches() == []
        return send(mail)

    sink.send = send_slowly
    with traveller as clock:
        deliver_batch(claims.claim_next(), list(batch.digests.order_by("pk")))

    assert outcomes() == ["accepted"] * 3


def test_a_batch_whose_worker_marked_again_is_not_taken_over():
    batch = planned_batch(2)
    Batch.objects.update(
        state="sending", lease_until=NOW - timedelta(seconds=1), lease_token="owner"
    )
    batch.refresh_from_db()
    Batch.objects.update(lease_until=NOW + timedelta(minutes=1))  # marked meanwhile

    with time_machine.travel(NOW, tick=False):
        assert not claims.take_over(batch)
    assert Batch.objects.get().lease_token == "owner"


def test_recalled_papers_are_removed_before_sending(provider):
    batch = planned_batch(1)
    recalled, other = batch.slot.edition.candidates.all()
    Recall.objects.create(paper=recalled.paper, reason="withdrawn")
    provider()

    run_worker()

    assert [pick.candidate for pick in Digest.objects.get().picks] == [other.pk]
    assert outcomes() == ["accepted"]


def test_a_digest_emptied_by_recalls_is_skipped(provider):
    batch = planned_batch(1)
    for candidate in batch.slot.edition.candidates.all():
        Recall.objects.create(paper=candidate.paper, reason="withdrawn")
    sink = provider()

    run_worker()

    assert sink.attempts == []
    assert outcomes() == ["skipped"]
    assert Digest.objects.get().reason == "nothing"


@pytest.mark.parametrize(("kind", "sent"), [("hour", 0), ("manual", 2), ("welcome", 2)])
def test_only_scheduled_digests_expire(provider, kind, sent):
    planned_batch(2, kind=kind)
    sink = provider()

    run_worker(make.NOW + EXPIRES_AFTER + timedelta(minutes=1))

    assert len(sink.attempts) == sent
    assert outcomes() == (["accepted"] * 2 if sent else ["skipped"] * 2)


def test_a_weekly_slot_expires_later_than_its_edition(provider):
    planned_batch(1, at=make.NOW + timedelta(days=2))
    sink = provider()

    run_worker(make.NOW + timedelta(days=2, hours=1))

    assert len(sink.attempts) == 1


def queries_to_send(readers):
    Digest.objects.all().delete()
    Batch.objects.all().delete()
    edition = make.edition(make.DAY - timedelta(days=readers), papers=2)
    picks = [(row.pk, 0) for row in edition.candidates.all()]
    rows = [make.subscriber() for _ in range(readers)]
    batch = make.batch(make.frozen(edition), rows)
    for row in rows:
        make.digest(batch, row, picks)
    with CaptureQueriesContext(connection) as queries:
        run_worker()
    return len(queries)


@pytest.mark.parametrize(("window", "windows"), [(1, 20), (10, 4)])  # begun by halves
def test_each_window_costs_two_statements(monkeypatch, window, windows):
    monkeypatch.setattr(deliver.BatchSending, "window_size", lambda self: window)
    monkeypatch.setattr(deliver, "RECORD_INTERVAL_S", 60)
    monkeypatch.setattr(deliver, "RECHECK_INTERVAL_S", 60)

    few, many = queries_to_send(10), queries_to_send(30)

    assert many - few == 2 * windows


def test_the_tally_counts_each_reader_once_and_those_waiting(provider):
    batch = planned_batch(5)
    edition = batch.slot.edition
    make.batch(
        edition, [row.subscriber for row in edition.digests.all()], kind="manual"
    )
    provider({"r1@example.org": refused("550"), "r2@example.org": unknown("?")})
    before = count_outcomes(edition)
    edition.digests.last().subscriber.unsubscribe(NOW)

    run_worker()

    assert (before.recipients, before.waiting, before.is_balanced) == (5, 5, False)
    after = count_outcomes(edition)
    assert str(after) == (
        "recipients 5 = accepted 2 + failed 1 + unknown 1 + skipped 1"
    )
    assert after.is_balanced


def test_the_tally_includes_readers_without_digest_and_not_erased_ones():
    edition = make.frozen(make.edition(papers=0))
    ada, ben = make.subscriber(), make.subscriber()
    make.batch(edition, [ada, ben])
    ben.delete()

    tally = count_outcomes(edition)

    assert (tally.recipients, tally.waiting) == (1, 1)
    assert str(tally).endswith("+ waiting 1")
