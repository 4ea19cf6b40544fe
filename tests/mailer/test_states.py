"""No sequence of claims, crashes, expiries, events and retries doubles a mail or forgets a reader."""

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
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
from digest.mailer import deliver, ledger, resend, shutdown, transports
from digest.mailer.transports import accepted, refused, unknown
from digest.models import Batch, Digest, Edition, Event, SendingPause, Slot
from tests import make

READERS, SIZE = 5, 2
# No paper matches what these follow; they are told so.
NOTED = {1, 4}
GRACE = timedelta(minutes=30)
PAST_A_LEASE = ledger.LEASE + timedelta(seconds=1)

FATES = st.sampled_from(
    [
        *("taken", "taken, then killed", "killed", "taken, then unknown", "unknown"),
        *("refused for now", "refused alone", "refused for good", "key revoked"),
        *("asked to end", "taken, slowly"),
    ]
)


class Killed(BaseException):
    """What ends a worker in the middle."""


class Sending(RuleBasedStateMachine):
    """One edition, five readers, any number of workers, and a provider that does anything."""

    def __init__(self):
        super().__init__()
        for model in (Event, Digest, Batch, SendingPause, Slot, Edition, Subscriber):
            model.objects.all().delete()
        self.now = make.NOW + timedelta(hours=1)
        self.taken, self.asked, self.fates, self.workers = Counter(), set(), [], []
        edition = make.edition(papers=2)
        self.picks = [(one.pk, 0) for one in edition.candidates.all()]
        self.edition = make.frozen(edition)
        self.readers = [
            make.subscriber(fill_mode="followed_only", note_when_empty=number in NOTED)
            for number in range(READERS)
        ]
        for start in range(0, READERS, SIZE):
            make.batch(self.edition, self.readers[start : start + SIZE])
        self.old, transports.get_transport = transports.get_transport, lambda: self

    # The provider

    @contextmanager
    def connect(self):
        yield self.send

    def find(self, key):
        return None

    def send(self, mail):
        fate = self.fates.pop(0) if self.fates else "taken"
        self.asked.add(mail.key)
        if fate.startswith("taken"):
            self.taken[mail.key] += 1
        if fate.endswith("killed"):
            raise Killed
        if fate == "taken, slowly":  # so slowly that another worker takes over
            self.now += PAST_A_LEASE
            self.work([])
        if fate == "asked to end":
            self.taken[mail.key] += 1
            shutdown.ask()
        return ANSWERS.get(fate) or accepted("a name")

    # What workers do

    @rule(sleeps=st.booleans())
    def claim(self, sleeps):
        """A worker takes a batch, and is slow to begin: perhaps longer than its lease."""
        if batch := ledger.claim_next(self.now):
            self.workers.append((batch, self.digests(batch)))
        if sleeps:
            self.now += PAST_A_LEASE

    def digests(self, batch):
        """What assembling does: everybody who has none gets a digest."""
        known = set(Digest.objects.values_list("subscriber_id", flat=True))
        there = set(Subscriber.objects.values_list("pk", flat=True))
        erased = {reader.pk for reader in self.readers} - there
        for reader in self.readers:
            if reader.pk in batch.readers and reader.pk not in known | erased:
                make.digest(batch, reader, [] if reader.wants_note else self.picks)
        return list(batch.digests.order_by("pk"))

    @precondition(lambda self: self.workers)
    @rule(fates=st.lists(FATES, max_size=3), data=st.data())
    def go_on(self, fates, data):
        """A slow worker begins, whatever happened meanwhile."""
        at = data.draw(st.integers(0, len(self.workers) - 1))
        self.fates = fates
        self.deliver(*self.workers.pop(at))

    @rule(fates=st.lists(FATES, max_size=3))
    def drain(self, fates):
        self.fates = fates
        self.work(fates)

    def work(self, fates):
        """What the task does: take over from the dead, then claim and send one batch."""
        ledger.reclaim(self.now)
        if batch := ledger.claim_next(self.now):
            self.deliver(batch, self.digests(batch))
            return True
        return False

    def deliver(self, batch, digests):
        try:
            deliver.deliver(batch, digests, self.now)
        except Killed:
            pass
        finally:
            shutdown.FLAG[0] = 0

    # What else happens

    @rule(minutes=st.sampled_from([1, 2, 5, 20]))
    def pass_time(self, minutes):
        self.now += timedelta(minutes=minutes, seconds=1)

    @rule(kind=st.sampled_from(["processed", "delivered"]))
    def tell(self, kind):
        """The provider tells of everything that it took, also of what it told before."""
        said = [
            record.Report(kind, f"{kind} {key}", key, at=self.now) for key in self.taken
        ]
        record.record(said, "sendgrid", self.now)
        process_events.act(self.now)

    @rule()
    def resend(self):
        """The grace has passed, and every event of a mail that was taken came within it."""
        self.tell("processed")
        self.now += GRACE + timedelta(seconds=1)
        resend.resend_due(self.now)

    @rule()
    def lift(self):
        SendingPause.objects.all().lift(self.now)

    @rule()
    def stop_everything(self):
        SendingPause.objects.pull("an operator", self.now)

    @rule(number=st.integers(0, READERS - 1))
    def leave(self, number):
        reader = self.readers[number]
        if Subscriber.objects.filter(pk=reader.pk).exists():
            reader.unsubscribe(self.now)

    @rule(number=st.sampled_from(sorted(NOTED)), wanted=st.booleans())
    def change_their_mind(self, number, wanted):
        """A reader wants no more notes, or does again: those not sent yet follow that."""
        mine = Subscriber.objects.filter(pk=self.readers[number].pk)
        mine.update(note_when_empty=wanted)

    @rule(number=st.integers(0, READERS - 1))
    def erase(self, number):
        """A reader wants to be forgotten: their digests go too."""
        Subscriber.objects.filter(pk=self.readers[number].pk).delete()

    # What must hold

    @invariant()
    def nobody_is_mailed_twice(self):
        assert max(self.taken.values(), default=0) <= 1

    def teardown(self):
        try:
            self.come_to_rest()
            self.verify()
        finally:
            transports.get_transport = self.old

    def come_to_rest(self):
        """Whatever happened, ticks go on, and the provider recovers."""
        self.fates = []
        SendingPause.objects.all().lift(self.now)
        for _ in range(3):
            self.now += timedelta(minutes=20)
            while self.work([]):
                pass

    def verify(self):
        self.nobody_is_mailed_twice()
        tally = ledger.tally(self.edition)
        remaining = Subscriber.objects.count()
        assert (tally.recipients, tally.waiting) == (remaining, 0), str(tally)
        assert tally.balanced
        assert ledger.mismatch(self.edition, self.now) == ""
        for digest in Digest.objects.select_related("batch"):
            said = ledger.outcome_of(
                digest.outcome, bool(digest.message_id), digest.batch.state
            )
            if said == "accepted":
                assert self.taken[digest.key] == 1
            if said == "unknown":
                assert digest.key in self.asked
            if said in ("failed", "skipped"):
                assert self.taken[digest.key] == 0


ANSWERS = {
    "taken, then unknown": unknown("500"),
    "unknown": unknown("500"),
    "refused for now": refused("429", retry=True),
    "refused alone": refused("450", retry=True, alone=True),
    "refused for good": refused("550"),
    "key revoked": refused("401", retry=True, halt=True),
}


@pytest.mark.both
@pytest.mark.hypothesis
@pytest.mark.django_db
@pytest.mark.parametrize("resend", [0, GRACE / timedelta(minutes=1)])
def test_whatever_happens_each_reader_is_mailed_at_most_once_and_none_forgotten(resend):
    with override_settings(UNKNOWN_RESEND_AFTER=resend):
        run_state_machine_as_test(
            Sending,
            settings=settings(
                max_examples=settings.default.max_examples // 4,
                stateful_step_count=20,
                suppress_health_check=list(HealthCheck),
            ),
        )
