"""No sequence of claims, crashes, expiries, events and retries doubles a mail or forgets a reader."""

from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from django.test import override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Subscriber
from digest.feedback import process_events, record
from digest.mailer import claims, deliver, resend, shutdown, transports
from digest.mailer.tally import count_outcomes, reconciliation_error
from digest.mailer.transports import accepted, refused, unknown
from digest.models import Batch, Digest, Edition, Event, SendingPause, Slot
from tests import make
from tests.mailer.sending import NOW, FakeTransport, Killed, deliver_batch

READERS, BATCH_SIZE = 5, 2
# No paper matches what these readers follow: their mail is a note.
NOTE_READERS = {1, 4}
RESEND_AFTER = timedelta(minutes=30)
PAST_LEASE = claims.LEASE + timedelta(seconds=1)

# What the provider does with a mail; every mail whose fate begins with "taken" arrives.
FATES = st.sampled_from(
    [
        *("taken", "taken, then killed", "killed", "taken, then unknown", "unknown"),
        *("temporary refusal", "recipient deferred", "permanent refusal"),
        *("credentials refused", "taken, then shutdown", "taken, after the lease"),
    ]
)
RESULTS = {
    "taken, then unknown": unknown("500"),
    "unknown": unknown("500"),
    "temporary refusal": refused("429", retry=True),
    "recipient deferred": refused("450", retry=True, is_recipient=True),
    "permanent refusal": refused("550"),
    "credentials refused": refused("401", retry=True, halt=True),
}


class Sending(RuleBasedStateMachine, FakeTransport):
    """One edition, five readers, any number of workers, and a provider that fails in every way."""

    window = 1

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(
            deliver.BatchSending, "window_size", lambda sending: self.window
        )
        self.clock = time_machine.travel(NOW, tick=False)
        self.traveller = self.clock.start()
        self.now = NOW
        for model in (Event, Digest, Batch, SendingPause, Slot, Edition, Subscriber):
            model.objects.all().delete()
        self.taken, self.attempted = Counter(), set()
        self.fates, self.workers = [], []
        edition = make.edition(papers=2)
        self.picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
        self.edition = make.frozen(edition)
        self.readers = [
            make.subscriber(
                fill_mode="followed_only", note_when_empty=number in NOTE_READERS
            )
            for number in range(READERS)
        ]
        for start in range(0, READERS, BATCH_SIZE):
            make.batch(self.edition, self.readers[start : start + BATCH_SIZE])
        self.get_transport = transports.get_transport
        transports.get_transport = lambda: self

    def sleep(self, duration):
        self.now += duration
        self.traveller.move_to(self.now)

    # The provider

    def send_mail(self, mail, begin_call, next_mail=None):
        begin_call()
        return self.send(mail)

    def send(self, mail):
        fate = self.fates.pop(0) if self.fates else "taken"
        self.attempted.add(mail.key)
        if fate.startswith("taken"):
            self.taken[mail.key] += 1
        if fate.endswith("killed"):
            raise Killed
        if fate == "taken, after the lease":  # another worker takes over meanwhile
            self.sleep(PAST_LEASE)
            self.run_worker()
        if fate == "taken, then shutdown":
            shutdown.request_shutdown()
        return RESULTS.get(fate) or accepted("id")

    # Workers

    @rule(is_slow=st.booleans())
    def claim(self, is_slow):
        """A worker claims a batch and delivers it later, perhaps after its lease."""
        if batch := claims.claim_next():
            self.workers.append((batch, self.assemble(batch)))
        if is_slow:
            self.sleep(PAST_LEASE)

    def assemble(self, batch):
        """Create a digest for each existing reader without one, as choose.assemble_blocks does."""
        served = set(Digest.objects.values_list("subscriber_id", flat=True))
        existing = set(Subscriber.objects.values_list("pk", flat=True))
        for reader in self.readers:
            if reader.pk in (existing & set(batch.readers)) - served:
                make.digest(batch, reader, [] if reader.wants_note else self.picks)
        return list(batch.digests.order_by("pk"))

    @precondition(lambda self: self.workers)
    @rule(fates=st.lists(FATES, max_size=3), data=st.data())
    def deliver_claimed(self, fates, data):
        """A worker that claimed earlier delivers now, whatever happened meanwhile."""
        number = data.draw(st.integers(0, len(self.workers) - 1))
        self.fates = fates
        self.deliver(*self.workers.pop(number))

    @rule(fates=st.lists(FATES, max_size=3))
    def send_batch(self, fates):
        self.fates = fates
        self.run_worker()

    def run_worker(self):
        """Resolve abandoned batches, then claim and deliver one, as the task does."""
        claims.resolve_abandoned_batches()
        if batch := claims.claim_next():
            self.deliver(batch, self.assemble(batch))
            return True
        return False

    def deliver(self, batch, digests):
        try:
            deliver_batch(batch, digests)
        except Killed:
            pass
        finally:
            shutdown.FLAG[0] = 0

    # Other events

    @rule(minutes=st.sampled_from([1, 2, 5, 20]))
    def pass_time(self, minutes):
        self.sleep(timedelta(minutes=minutes, seconds=1))

    @rule(kind=st.sampled_from(["processed", "delivered"]))
    def receive_events(self, kind):
        """The provider reports every mail that it took, also those it reported before."""
        reports = [
            record.Report(kind, f"{kind} {key}", key, at=self.now) for key in self.taken
        ]
        record.record_reports(reports, "sendgrid", self.now)
        process_events.process_pending(self.now)

    @rule()
    def resend(self):
        """The delay passes, and every event of a mail that was taken arrives within it."""
        self.receive_events("processed")
        self.sleep(RESEND_AFTER + timedelta(seconds=1))
        resend.resend_due(self.now)

    @rule()
    def resume_sending(self):
        SendingPause.objects.all().release(self.now)

    @rule()
    def pause_sending(self):
        SendingPause.objects.trigger("an operator", self.now)

    @rule(number=st.integers(0, READERS - 1))
    def unsubscribe(self, number):
        reader = self.readers[number]
        if Subscriber.objects.filter(pk=reader.pk).exists():
            reader.unsubscribe(self.now)

    @rule(number=st.sampled_from(sorted(NOTE_READERS)), wanted=st.booleans())
    def change_note_preference(self, number, wanted):
        reader = Subscriber.objects.filter(pk=self.readers[number].pk)
        reader.update(note_when_empty=wanted)

    @rule(number=st.integers(0, READERS - 1))
    def erase(self, number):
        """A reader is erased, and their digests with them."""
        Subscriber.objects.filter(pk=self.readers[number].pk).delete()

    # What must hold

    @invariant()
    def no_reader_is_mailed_twice(self):
        assert max(self.taken.values(), default=0) <= 1

    def teardown(self):
        try:
            self.finish_sending()
            self.verify()
        finally:
            transports.get_transport = self.get_transport
            self.patch.undo()
            self.clock.stop()

    def finish_sending(self):
        """Let the provider recover, and run workers until no batch is left."""
        self.fates = []
        SendingPause.objects.all().release(self.now)
        for _ in range(3):
            self.sleep(timedelta(minutes=20))
            while self.run_worker():
                pass

    def verify(self):
        self.no_reader_is_mailed_twice()
        tally = count_outcomes(self.edition)
        remaining = Subscriber.objects.count()
        assert (tally.recipients, tally.waiting) == (remaining, 0), str(tally)
        assert tally.is_balanced
        assert reconciliation_error(self.edition, self.now) == ""
        for digest in Digest.objects.all():
            if digest.outcome == "accepted":
                assert self.taken[digest.key] == 1
            if digest.outcome == "unknown" and self.window == 1:
                assert digest.key in self.attempted
            if digest.outcome in ("failed", "skipped"):
                assert self.taken[digest.key] == 0


class SendingInWindows(Sending):
    """Both digests of a batch are marked at once, so that a kill leaves both in doubt."""

    window = BATCH_SIZE


@pytest.mark.both
@pytest.mark.hypothesis
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("resend", "machine"),
    [
        (0, Sending),
        (RESEND_AFTER / timedelta(minutes=1), Sending),
        (RESEND_AFTER / timedelta(minutes=1), SendingInWindows),
    ],
)
def test_every_reader_is_mailed_at_most_once_and_has_an_outcome(resend, machine):
    with override_settings(UNKNOWN_RESEND_AFTER=resend):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=settings.default.max_examples // 4,
                stateful_step_count=20,
                suppress_health_check=list(HealthCheck),
            ),
        )
