"""A worker is killed at each step and another continues: every reader is mailed once, or recorded as unknown."""

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine

from accounts.models import Suppression
from digest import follows
from digest.feedback import process_events, record
from digest.mailer import (
    calls,
    claims,
    deliver,
    last_check,
    plan,
    recording,
    resend,
    transports,
)
from digest.mailer.tally import count_outcomes
from digest.mailer.transports import accepted
from digest.models import Batch, Digest, Event, Slot, bulk
from digest.ranking import choose
from tests import make
from tests.mailer.sending import NOW, FakeTransport, Killed, deliver_batch

pytestmark = [pytest.mark.both, pytest.mark.django_db]

READERS, BATCH_SIZE = 7, 3
# No paper matches what these readers follow: their mail is a note.
NOTE_READERS = {1, 3, 6}


class CountingProvider(FakeTransport):
    """Accepts every mail and counts it by address."""

    def __init__(self):
        self.accepted = Counter()

    def send(self, mail):
        self.accepted[mail.to] += 1
        return accepted(f"id of {mail.key}")


@pytest.fixture
def provider(monkeypatch):
    created = CountingProvider()
    monkeypatch.setattr(transports, "get_transport", lambda: created)
    return created


@pytest.fixture
def edition(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", BATCH_SIZE)
    edition = make.frozen(make.edition(papers=3))
    for number in range(READERS):
        reader = make.subscriber(f"r{number}@example.org", hour=10)
        if number in NOTE_READERS:
            reader.fill_mode, reader.note_when_empty = "followed_only", True
            reader.save()
            follows.follow(reader, "keyword", "nothing that any paper says")
    return edition


def run_pipeline(now):
    """Do what the scheduled tasks do."""
    plan.plan_due(now)
    with time_machine.travel(now, tick=False):
        resend.resend_due(now)
        claims.resolve_abandoned_batches()
        while batch := claims.claim_next():
            deliver_batch(batch, make.assemble(batch, now))
    process_events.process_pending(now)


@contextmanager
def kill_at(owner, name, when, call=2):
    """Expect a kill before or after the given call of this function."""
    function, calls = getattr(owner, name), Counter()

    def killed_function(*arguments, **named):
        calls["made"] += 1
        if calls["made"] == call and when == "before":
            raise Killed
        result = function(*arguments, **named)
        if calls["made"] == call:
            raise Killed
        return result

    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, killed_function)
    with pytest.raises(Killed):
        yield
    patch.undo()


def run_new_workers(now=NOW):
    """Continue from the rows alone, after leases have expired."""
    for minutes in (2, 4, 6):
        run_pipeline(now + timedelta(minutes=minutes))


# At these points no digest is in flight.
SAFE = [
    (plan, "fill_batch", "before"),
    (plan, "fill_batch", "after"),
    (plan, "plan_quarter", "after"),
    (claims, "claim_next", "after"),
    (choose, "choose", "before"),
    (choose, "choose", "after"),
    (bulk, "insert_digests", "after"),
    (last_check, "filter_mailable", "before"),
    (last_check, "filter_mailable", "after"),
    (deliver.BatchSending, "start_window", "before"),
    (deliver, "mark_sending", "before"),
    (recording, "record_results", "after"),
    (deliver, "release_batch", "before"),
    (deliver, "release_batch", "after"),
]


@pytest.mark.parametrize(("owner", "name", "when"), SAFE)
def test_a_crash_outside_the_call_loses_and_doubles_no_mail(
    owner, name, when, edition, provider
):
    call = 1 if name == "plan_quarter" else 2
    with kill_at(owner, name, when, call):
        run_pipeline(NOW)

    run_new_workers()

    assert provider.accepted == Counter(f"r{n}@example.org" for n in range(READERS))
    tally = count_outcomes(edition)
    assert (tally.accepted, tally.recipients, tally.waiting) == (READERS, READERS, 0)
    assert Digest.objects.filter(packed_picks=b"").count() == len(NOTE_READERS)


# At these points one digest is in flight.
MARKED = (deliver, "mark_sending", "after", 0)
BEGUN = [
    (CountingProvider, "send", "before", 0),
    (CountingProvider, "send", "after", 1),
]
ANSWERED = [
    (calls, "make_call", "after", 1),
    (recording, "record_results", "before", 1),
    (bulk, "record_accepted", "before", 1),
]


@pytest.mark.parametrize(("owner", "name", "when", "times"), BEGUN)
def test_a_crash_within_the_call_leaves_one_unknown_digest(
    owner, name, when, times, edition, provider
):
    check_one_is_unknown(owner, name, when, times, edition, provider)


@pytest.mark.parametrize(
    ("owner", "name", "when", "times"), [MARKED, *BEGUN, *ANSWERED]
)
def test_a_crash_around_the_call_leaves_one_unknown_digest_without_a_journal(
    owner, name, when, times, edition, provider, without_journal
):
    check_one_is_unknown(owner, name, when, times, edition, provider)


def check_one_is_unknown(owner, name, when, times, edition, provider):
    with kill_at(owner, name, when):
        run_pipeline(NOW)

    run_new_workers()

    assert provider.accepted["r1@example.org"] == times
    assert max(provider.accepted.values()) == 1
    tally = count_outcomes(edition)
    assert (tally.accepted, tally.unknown) == (READERS - 1, 1)
    assert tally.is_balanced


@pytest.mark.parametrize(("owner", "name", "when", "times"), [MARKED, *ANSWERED])
def test_a_crash_before_and_after_the_call_leaves_no_unknown_digest(
    owner, name, when, times, edition, provider
):
    with kill_at(owner, name, when):
        run_pipeline(NOW)
    assert provider.accepted["r1@example.org"] == times

    run_new_workers()

    assert provider.accepted == Counter(f"r{n}@example.org" for n in range(READERS))
    tally = count_outcomes(edition)
    assert (tally.accepted, tally.unknown) == (READERS, 0)


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [
        (claims, "take_over", "after"),
        (claims, "settle_in_flight", "before"),
        (claims, "settle_in_flight", "after"),
        (claims, "resolve_abandoned_batch", "after"),
        (claims, "resolve_abandoned_batches", "after"),
    ],
)
def test_a_crash_while_resolving_an_abandoned_batch_is_harmless(
    owner, name, when, edition, provider
):
    with kill_at(CountingProvider, "send", "after"):
        run_pipeline(NOW)
    with kill_at(owner, name, when, call=1):
        run_pipeline(NOW + timedelta(minutes=2))

    run_new_workers(NOW + timedelta(minutes=2))

    assert max(provider.accepted.values()) == 1
    tally = count_outcomes(edition)
    assert (tally.accepted, tally.unknown, tally.waiting) == (READERS - 1, 1, 0)


def record_event(kind="delivered", email="r1@example.org"):
    digest = Digest.objects.get(subscriber__email=email)
    report = record.Report(kind, f"{kind} {digest.key}", digest.key, at=NOW)
    record.record_reports([report], "sendgrid", NOW)


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [
        (process_events, "settle_outcomes", "before"),
        (process_events, "settle_outcomes", "after"),
        (process_events, "mark_processed", "after"),
        (process_events, "process_pending", "after"),
    ],
)
def test_an_event_is_processed_again_after_a_crash(
    owner, name, when, edition, provider
):
    with kill_at(CountingProvider, "send", "after"):
        run_pipeline(NOW)
    run_new_workers()
    record_event()
    with kill_at(owner, name, when, call=1):
        process_events.process_pending(NOW)

    process_events.process_pending(NOW)

    assert count_outcomes(edition).accepted == READERS
    assert not Event.objects.filter(processed_at=None).exists()


def test_a_complaint_is_applied_again_after_a_crash(edition, provider):
    run_pipeline(NOW)
    record_event("spamreport")
    with kill_at(process_events, "apply_event", "before", call=1):
        process_events.process_pending(NOW)

    process_events.process_pending(NOW)

    assert Suppression.objects.get().reason == Suppression.Reason.COMPLAINT


def test_an_event_before_the_batch_is_resolved_settles_the_outcome(edition, provider):
    with kill_at(CountingProvider, "send", "after"):
        run_pipeline(NOW)
    record_event("processed")
    process_events.process_pending(NOW)

    run_new_workers()

    tally = count_outcomes(edition)
    assert (tally.accepted, tally.unknown) == (READERS, 0)
    assert provider.accepted["r1@example.org"] == 1


@pytest.mark.parametrize(
    ("name", "when"), [("move_to_new_batch", "before"), ("move_to_new_batch", "after")]
)
def test_a_crash_while_planning_a_resend_sends_it_once(
    name, when, edition, provider, settings
):
    settings.UNKNOWN_RESEND_AFTER = 10
    with kill_at(CountingProvider, "send", "before"):
        run_pipeline(NOW)
    run_new_workers()
    last = Digest.objects.filter(subscriber__email="r6@example.org")
    last.update(outcome_at=NOW + timedelta(minutes=7))
    record_event("processed", "r6@example.org")
    later = NOW + timedelta(minutes=20)
    with kill_at(resend, name, when, call=1):
        run_pipeline(later)

    run_new_workers(later)

    assert provider.accepted == Counter(f"r{n}@example.org" for n in range(READERS))
    assert count_outcomes(edition).accepted == READERS
    assert Slot.objects.filter(kind="resend").count() == 1
