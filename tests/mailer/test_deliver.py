"""Each digest leaves once: claims, marks, crashes, refusals, and who may no longer be mailed."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Subscriber, Suppression
from digest.mailer import deliver, ledger, transports
from digest.mailer.transports import accepted, files, refused, unknown
from digest.models import Batch, Digest, Recall
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

NOW = make.NOW + timedelta(hours=1)
LATER = NOW + timedelta(minutes=6)  # past any lease taken at NOW


class Killed(BaseException):
    """What ends a worker in the middle: nothing catches it."""


class Provider:
    """A provider outside of our house that answers as it is told, and remembers what it took."""

    def __init__(self, answers):
        self.answers, self.asked = dict(answers), []

    @contextmanager
    def connect(self):
        yield self.send

    def send(self, mail):
        self.asked.append(mail.to)
        answer = self.answers.get(mail.to, accepted("id"))
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def find(self, key):
        return None


@pytest.fixture
def provider(monkeypatch):
    def chosen(answers=()):
        made = Provider(answers)
        monkeypatch.setattr(transports, "get_transport", lambda: made)
        return made

    return chosen


@pytest.fixture(autouse=True)
def mails(tmp_path, settings):
    settings.MAIL_DIR = tmp_path
    return tmp_path


def planned(readers=3, **fields):
    """A batch of readers r0, r1, … of an edition frozen at nine, and their digests."""
    edition = make.edition(papers=2)
    candidates = list(edition.candidates.all())
    edition = make.frozen(edition)
    rows = [make.subscriber(f"r{n}@example.org") for n in range(readers)]
    batch = make.batch(edition, rows, **fields)
    for row in rows:
        make.digest(batch, row, [(one.pk, 0) for one in candidates])
    return batch


def run(now=NOW):
    """Claim and deliver one batch, as the corridor does; None where none is free."""
    batch = ledger.claim_next(now)
    if batch:
        return deliver.deliver(batch, list(batch.digests.order_by("pk")), now)
    return None


def outcomes():
    """Each digest's own outcome, or "sent" where its provider named it."""
    rows = Digest.objects.order_by("pk").values_list("outcome", "message_id")
    return [outcome or ("sent" if name else "") for outcome, name in rows]


def test_every_digest_of_a_batch_becomes_one_file(mails):
    batch = planned()

    done = run()

    batch.refresh_from_db()
    keys = sorted(Digest.objects.values_list("key", flat=True))
    names = sorted(path.name for path in mails.iterdir())
    assert names == sorted(f"2026-11-20-{key}.eml" for key in keys)
    assert (done.accepted, batch.state, batch.last_position) == (3, "accepted", 3)
    assert outcomes() == ["sent"] * 3


def test_a_batch_is_claimed_by_one_of_two(provider):
    planned()

    first, second = ledger.claim_next(NOW), ledger.claim_next(NOW)

    assert first.state == "claimed"
    assert second is None


def test_a_batch_of_an_unfinished_slot_is_free_for_nobody():
    batch = planned()
    batch.slot.planned_at = None
    batch.slot.save()

    assert ledger.claim_next(NOW) is None


def test_a_claim_that_was_dropped_before_anything_was_sent_is_claimed_again(provider):
    planned()
    ledger.claim_next(NOW)
    sink = provider()

    assert run(NOW + timedelta(seconds=59)) is None
    run(LATER)

    assert len(sink.asked) == 3


def test_claims_can_be_kept_to_one_edition():
    batch = planned()
    other = make.edition(make.DAY - timedelta(days=1), papers=0)

    assert ledger.claim_next(NOW, other) is None
    assert ledger.claim_next(NOW, batch.slot.edition) == batch


def test_a_worker_killed_between_mark_and_call_leaves_one_unknown(provider):
    planned()
    sink = provider({"r1@example.org": Killed()})
    with pytest.raises(Killed):
        run()

    assert run(LATER) is None  # in doubt until it is reclaimed
    (batch,) = ledger.reclaim(LATER)
    sink.answers.clear()
    run(LATER)

    assert outcomes() == ["sent", "unknown", "sent"]
    assert sink.asked == ["r0@example.org", "r1@example.org", "r2@example.org"]
    batch.refresh_from_db()
    assert batch.state == "accepted"


def test_a_worker_killed_after_a_record_leaves_nothing_unknown(provider, monkeypatch):
    planned()
    sink = provider()
    record = deliver.record

    def killed_after(digest, answer, now, done):
        record(digest, answer, now, done)
        if done.accepted == 2:
            raise Killed

    monkeypatch.setattr(deliver, "record", killed_after)
    with pytest.raises(Killed):
        run()
    monkeypatch.setattr(deliver, "record", record)
    ledger.reclaim(LATER)
    run(LATER)

    assert outcomes() == ["sent"] * 3
    assert len(sink.asked) == 3


@pytest.mark.parametrize("when", ["before the call", "after the call"])
def test_files_are_looked_for_so_that_a_kill_costs_no_mail_and_doubles_none(
    mails, monkeypatch, when
):
    planned()
    write = files.write

    def killed_at_the_second(name, content):
        if len(list(mails.iterdir())) == 1:
            if when == "after the call":
                write(name, content)
            raise Killed
        write(name, content)

    monkeypatch.setattr(files, "write", killed_at_the_second)
    with pytest.raises(Killed):
        run()
    written = []
    monkeypatch.setattr(files, "write", lambda *a: (written.append(a[0]), write(*a)))

    (batch,) = ledger.reclaim(LATER)
    batch.refresh_from_db()
    run(LATER)

    assert batch.last_position == (2 if when == "after the call" else 1)
    assert len(list(mails.iterdir())) == 3
    assert len(written) == (1 if when == "after the call" else 2)
    tally = ledger.tally(Batch.objects.get().slot.edition)
    assert (tally.accepted, tally.unknown, tally.recipients) == (3, 0, 3)


def test_a_draft_that_was_being_written_is_never_seen_as_a_mail(mails, monkeypatch):
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(Killed))

    with pytest.raises(Killed):
        files.write("a.eml", b"half")

    assert list(mails.iterdir()) == []


def test_a_live_worker_is_not_reclaimed(provider):
    batch = planned()
    Batch.objects.update(
        state="sending", last_position=1, lease_until=NOW + timedelta(minutes=1)
    )

    assert ledger.reclaim(NOW) == []
    batch.refresh_from_db()
    assert batch.state == "sending"


def test_a_worker_that_lost_its_lease_sends_nothing_more(provider):
    planned()
    sink = provider()
    slow = ledger.claim_next(NOW)
    digests = list(slow.digests.order_by("pk"))
    quick = ledger.claim_next(LATER)

    done = deliver.deliver(slow, digests, LATER)

    assert sink.asked == []
    assert done.accepted == 0
    quick.refresh_from_db()
    assert quick.state == "claimed"


def test_an_answer_that_comes_after_the_lease_ran_out_is_still_believed(
    provider, monkeypatch
):
    planned(2)
    sink = provider()
    send = sink.send

    def slowly(mail):
        if not sink.asked:
            assert ledger.reclaim(LATER)
            assert outcomes() == ["unknown", ""]
        return send(mail)

    monkeypatch.setattr(sink, "send", slowly)
    run()

    assert outcomes() == ["sent", ""]
    assert Batch.objects.get().state == "planned"
    run(LATER)
    assert sink.asked == ["r0@example.org", "r1@example.org"]


def test_the_ledger_says_whether_workers_hold_something(provider):
    edition = planned().slot.edition
    provider()

    assert not ledger.held(edition)
    batch = ledger.claim_next(NOW)
    assert ledger.held(edition)
    deliver.deliver(batch, list(batch.digests.order_by("pk")), NOW)
    assert not ledger.held(edition)


def test_a_batch_that_waits_for_its_provider_is_in_nobodys_hands(provider):
    batch = planned()
    provider({"r0@example.org": refused("429", retry=True)})

    run()

    assert not ledger.held(batch.slot.edition)


def test_a_reader_erased_in_the_middle_moves_nobody_past_their_turn(provider):
    planned(4)
    sink = provider({"r2@example.org": refused("503 busy", retry=True)})
    run()
    Digest.objects.first().subscriber.delete()

    sink.answers.clear()
    run(LATER)

    assert sink.asked[-2:] == ["r2@example.org", "r3@example.org"]
    assert outcomes() == ["sent"] * 3


def test_a_reader_erased_before_the_reclaim_puts_nobody_else_in_doubt(provider):
    planned(4)
    sink = provider({"r1@example.org": Killed()})
    with pytest.raises(Killed):
        run()
    Digest.objects.first().subscriber.delete()

    ledger.reclaim(LATER)
    run(LATER)

    assert outcomes() == ["unknown", "sent", "sent"]
    assert sink.asked[2:] == ["r2@example.org", "r3@example.org"]


def test_a_reader_erased_between_choosing_and_sending_stops_no_other_mail(provider):
    batch = planned()
    sink = provider()
    claimed = ledger.claim_next(NOW)
    digests = list(claimed.digests.order_by("pk"))
    Subscriber.objects.filter(pk=digests[1].subscriber_id).delete()
    Recall.objects.create(
        paper=batch.slot.edition.candidates.first().paper, reason="withdrawn"
    )

    done = deliver.deliver(claimed, digests, NOW)

    assert sink.asked == ["r0@example.org", "r2@example.org"]
    assert (done.accepted, outcomes()) == (2, ["sent", "sent"])
    batch.refresh_from_db()
    assert batch.state == "accepted"


def test_a_refusal_for_now_hands_the_batch_back_to_wait(provider):
    batch = planned()
    sink = provider({"r1@example.org": refused("429 slow down", retry=True)})

    done = run()

    batch.refresh_from_db()
    assert (done.accepted, done.waiting) == (1, 1)
    assert (batch.state, batch.attempts) == ("planned", 1)
    assert batch.error == "429 slow down"
    assert batch.lease_until == NOW + timedelta(minutes=1)
    assert sink.asked == ["r0@example.org", "r1@example.org"]
    assert run(NOW + timedelta(seconds=59)) is None


def test_what_was_refused_for_now_is_sent_later_and_nobody_twice(provider):
    planned()
    sink = provider({"r1@example.org": refused("429", retry=True)})
    run()

    sink.answers.clear()
    run(LATER)

    assert outcomes() == ["sent"] * 3
    assert sorted(sink.asked) == [f"r{n}@example.org" for n in (0, 1, 1, 2)]


def test_the_waits_double_and_after_five_refusals_in_a_row_one_digest_fails(provider):
    batch = planned(2)
    provider({"r0@example.org": refused("451 later", retry=True)})
    waits, now = [], NOW

    while batch.state == "planned":
        run(now)
        batch.refresh_from_db()
        if batch.state == "planned":
            waits.append((batch.lease_until - now) // timedelta(minutes=1))
            now = batch.lease_until

    assert waits == [1, 2, 4, 8]
    assert outcomes() == ["failed", "sent"]
    assert Digest.objects.first().detail == "451 later"


def test_a_long_outage_fails_one_digest_a_quarter_hour_not_all_at_once(provider):
    planned(3)
    down = refused("not reached", retry=True)
    provider({f"r{n}@example.org": down for n in range(3)})

    for _ in range(5):
        batch = Batch.objects.get()
        run(batch.lease_until or NOW)

    assert outcomes() == ["failed", "", ""]
    assert Batch.objects.get().state == "planned"


def test_a_recipient_who_is_refused_for_now_does_not_stop_the_rest(provider):
    planned()
    greylisted = refused("450 come back later", retry=True, alone=True)
    sink = provider({"r0@example.org": [greylisted, accepted("id")]})

    run()
    assert outcomes() == ["", "sent", "sent"]
    run(LATER)

    assert outcomes() == ["sent"] * 3
    assert len(sink.asked) == 4


def test_who_was_surely_refused_before_a_kill_is_not_unknown(provider):
    planned()
    greylisted = refused("450 come back later", retry=True, alone=True)
    sink = provider({"r0@example.org": greylisted, "r1@example.org": Killed()})
    with pytest.raises(Killed):
        run()

    ledger.reclaim(LATER)
    sink.answers.clear()
    run(LATER)

    assert outcomes() == ["sent", "unknown", "sent"]


def test_who_was_refused_and_then_in_flight_at_a_kill_is_unknown(provider):
    planned(1)
    greylisted = refused("450 come back later", retry=True, alone=True)
    sink = provider({"r0@example.org": [greylisted, Killed()]})
    run()
    with pytest.raises(Killed):
        run(LATER)

    later_still = LATER + timedelta(minutes=6)
    ledger.reclaim(later_still)
    run(later_still)

    assert outcomes() == ["unknown"]
    assert len(sink.asked) == 2


def test_a_refusal_for_good_and_an_unknown_stop_nobody(provider):
    batch = planned(4)
    provider(
        {
            "r1@example.org": refused("550 no such user\x00"),
            "r2@example.org": unknown("no answer: timed out"),
        }
    )

    done = run()

    batch.refresh_from_db()
    assert (done.accepted, done.failed, done.unknown) == (2, 1, 1)
    assert outcomes() == ["sent", "failed", "unknown", "sent"]
    assert batch.state == "accepted"
    assert Digest.objects.get(outcome="failed").detail == "550 no such user"
    assert run(LATER) is None


def test_a_digest_that_cannot_be_composed_fails_alone(provider, caplog):
    batch = planned()
    sink = provider()
    odd, sound = batch.slot.edition.candidates.all()
    type(odd).objects.filter(pk=odd.pk).update(card={})
    for number, digest in enumerate(Digest.objects.order_by("pk")):
        digest.picks = [(odd.pk if number == 1 else sound.pk, 0)]
        digest.save()

    run()

    assert outcomes() == ["sent", "failed", "sent"]
    assert len(sink.asked) == 2
    assert "digest cannot be composed" in caplog.text


def test_consent_suppression_and_pause_are_read_again_before_sending(provider):
    planned(5)
    sink = provider()
    readers = [digest.subscriber for digest in Digest.objects.order_by("pk")]
    readers[1].unsubscribe(NOW)
    Suppression.add(readers[2].email, "complaint")
    readers[3].paused_until = NOW + timedelta(days=1)
    readers[3].save()

    done = run()

    assert sink.asked == ["r0@example.org", "r4@example.org"]
    assert done.skipped == 3
    reasons = list(Digest.objects.order_by("pk").values_list("reason", flat=True))
    assert reasons == ["", "left", "suppressed", "left", ""]


def test_a_recalled_paper_is_taken_out_of_what_was_not_sent_yet(provider):
    batch = planned(1)
    gone, kept = batch.slot.edition.candidates.all()
    Recall.objects.create(paper=gone.paper, reason="withdrawn")
    provider()

    run()

    assert [pick.candidate for pick in Digest.objects.get().picks] == [kept.pk]
    assert outcomes() == ["sent"]


def test_a_digest_whose_papers_are_all_recalled_is_not_sent(provider):
    batch = planned(1)
    for candidate in batch.slot.edition.candidates.all():
        Recall.objects.create(paper=candidate.paper, reason="withdrawn")
    sink = provider()

    run()

    assert sink.asked == []
    assert outcomes() == ["skipped"]
    assert Digest.objects.get().reason == "nothing"


@pytest.mark.parametrize(("kind", "sent"), [("hour", 0), ("manual", 2), ("welcome", 2)])
def test_only_readers_of_an_hour_are_too_late_when_the_edition_expired(
    provider, kind, sent
):
    planned(2, kind=kind)
    sink = provider()

    run(make.NOW + timedelta(hours=26, minutes=1))

    assert len(sink.asked) == sent
    assert outcomes() == (["sent"] * 2 if sent else ["skipped"] * 2)


def test_a_weekly_readers_sunday_is_not_too_late_for_fridays_edition(provider):
    planned(1, at=make.NOW + timedelta(days=2))
    sink = provider()

    run(make.NOW + timedelta(days=2, hours=1))

    assert len(sink.asked) == 1


def queries_to_send(readers):
    Digest.objects.all().delete()
    Batch.objects.all().delete()
    edition = make.edition(make.DAY - timedelta(days=readers), papers=2)
    picks = [(one.pk, 0) for one in edition.candidates.all()]
    rows = [make.subscriber() for _ in range(readers)]
    batch = make.batch(make.frozen(edition), rows)
    for row in rows:
        make.digest(batch, row, picks)
    with CaptureQueriesContext(connection) as queries:
        run()
    return len(queries)


def test_a_digest_costs_two_statements_however_many_there_are():
    few, many = queries_to_send(2), queries_to_send(22)

    assert many - few == 2 * 20


def test_the_tally_counts_each_reader_once_and_says_who_waits(provider):
    batch = planned(5)
    edition = batch.slot.edition
    make.batch(
        edition, [one.subscriber for one in edition.digests.all()], kind="manual"
    )
    provider({"r1@example.org": refused("550"), "r2@example.org": unknown("?")})
    before = ledger.tally(edition)
    edition.digests.last().subscriber.unsubscribe(NOW)

    run()

    assert (before.recipients, before.waiting, before.balanced) == (5, 5, False)
    after = ledger.tally(edition)
    assert str(after) == (
        "recipients 5 = accepted 2 + failed 1 + unknown 1 + skipped 1"
    )
    assert after.balanced


def test_the_tally_knows_readers_without_a_digest_and_forgets_erased_ones():
    edition = make.frozen(make.edition(papers=0))
    ada, ben = make.subscriber(), make.subscriber()
    make.batch(edition, [ada, ben])
    ben.delete()

    tally = ledger.tally(edition)

    assert (tally.recipients, tally.waiting) == (1, 1)
    assert str(tally).endswith("+ waiting 1")
