"""A worker dies at each step, another starts fresh: everybody is mailed once, or known to be in doubt."""

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest

from accounts.models import Suppression
from digest import follows
from digest.feedback import process_events, record
from digest.mailer import deliver, ledger, plan, resend, transports
from digest.mailer.transports import accepted
from digest.models import Batch, Digest, Event, Slot
from digest.ranking import choose
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

NOW = make.NOW + timedelta(hours=1)
READERS, SIZE = 7, 3
# Nothing matches what these follow: their mail is a note without papers.
NOTED = {1, 3, 6}


class Killed(BaseException):
    """What ends a worker in the middle: nothing catches it."""


class Provider:
    """Takes everything, and remembers."""

    def __init__(self):
        self.taken = Counter()

    @contextmanager
    def connect(self):
        yield lambda mail: self.send(mail)

    def send(self, mail):
        self.taken[mail.to] += 1
        return accepted(f"name of {mail.key}")

    def find(self, key):
        return None


@pytest.fixture
def provider(monkeypatch):
    made = Provider()
    monkeypatch.setattr(transports, "get_transport", lambda: made)
    return made


@pytest.fixture
def edition(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", SIZE)
    edition = make.frozen(make.edition(papers=3))
    for number in range(READERS):
        reader = make.subscriber(f"r{number}@example.org", hour=10)
        if number in NOTED:
            reader.fill_mode, reader.note_when_empty = "followed_only", True
            reader.save()
            follows.follow(reader, "keyword", "nothing that any paper says")
    return edition


def corridor(now):
    """What the tick and the tasks after it do."""
    plan.plan_due(now)
    resend.resend_due(now)
    ledger.reclaim(now)
    while batch := ledger.claim_next(now):
        digests = choose.assemble(batch, now)
        deliver.deliver(batch, digests, now)
    process_events.act(now)


@contextmanager
def deadly(owner, name, when, call=2):
    """Die before or after this function's so-manieth call, once."""
    known, calls = getattr(owner, name), Counter()

    def dying(*arguments, **named):
        calls["made"] += 1
        if calls["made"] == call and when == "before":
            raise Killed
        said = known(*arguments, **named)
        if calls["made"] == call:
            raise Killed
        return said

    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, dying)
    with pytest.raises(Killed):
        yield
    patch.undo()


def fresh_start(now=NOW):
    """Nobody remembers anything but the rows; leases run out."""
    for minutes in (2, 4, 6):
        corridor(now + timedelta(minutes=minutes))


def outcomes(edition):
    return ledger.tally(edition)


# Up to here nothing was handed over, or what became of it was recorded.
SAFE = [
    (plan, "fill_batch", "before"),
    (plan, "fill_batch", "after"),
    (plan, "plan_quarter", "after"),
    (ledger, "claim_next", "after"),
    (choose, "choose", "before"),
    (choose, "choose", "after"),
    (choose, "assemble", "after"),
    (deliver, "excluded", "before"),
    (deliver, "excluded", "after"),
    (deliver, "send_one", "before"),
    (deliver, "mark", "before"),
    (deliver, "record", "after"),
    (deliver, "finish", "before"),
    (deliver, "finish", "after"),
]


@pytest.mark.parametrize(("owner", "name", "when"), SAFE)
def test_who_dies_here_costs_no_mail_and_doubles_none(
    owner, name, when, edition, provider
):
    call = 1 if name == "plan_quarter" else 2
    with deadly(owner, name, when, call):
        corridor(NOW)

    fresh_start()

    assert provider.taken == Counter(f"r{n}@example.org" for n in range(READERS))
    tally = outcomes(edition)
    assert (tally.accepted, tally.recipients, tally.waiting) == (READERS, READERS, 0)
    assert Digest.objects.filter(packed_picks=b"").count() == len(NOTED)


# From the mark to the record nobody knows.
DOUBTFUL = [
    (deliver, "mark", "after", 0),
    (Provider, "send", "before", 0),
    (Provider, "send", "after", 1),
    (deliver, "record", "before", 1),
    (deliver, "send_one", "after", 1),
]


@pytest.mark.parametrize(("owner", "name", "when", "taken"), DOUBTFUL)
def test_who_dies_around_the_call_leaves_one_in_doubt_and_doubles_none(
    owner, name, when, taken, edition, provider
):
    with deadly(owner, name, when):
        corridor(NOW)

    fresh_start()

    assert provider.taken["r1@example.org"] == taken
    assert max(provider.taken.values()) == 1
    tally = outcomes(edition)
    assert (tally.accepted, tally.unknown) == (READERS - 1, 1)
    assert tally.balanced


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [
        (ledger, "take_over", "after"),
        (ledger, "look", "before"),
        (ledger, "look", "after"),
        (ledger, "settle", "after"),
        (ledger, "reclaim", "after"),
    ],
)
def test_who_dies_while_it_settles_what_a_dead_worker_left_changes_nothing(
    owner, name, when, edition, provider
):
    with deadly(deliver, "record", "before"):
        corridor(NOW)
    with deadly(owner, name, when, call=1):
        corridor(NOW + timedelta(minutes=2))

    fresh_start(NOW + timedelta(minutes=2))

    assert max(provider.taken.values()) == 1
    tally = outcomes(edition)
    assert (tally.accepted, tally.unknown, tally.waiting) == (READERS - 1, 1, 0)


def told_of(kind="delivered"):
    """The provider's event about the reader in doubt."""
    digest = Digest.objects.get(subscriber__email="r1@example.org")
    said = record.Report(kind, f"{kind} {digest.key}", digest.key, at=NOW)
    record.record([said], "sendgrid", NOW)


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [
        (process_events, "settle_doubts", "before"),
        (process_events, "settle_doubts", "after"),
        (process_events, "close", "after"),
        (process_events, "act", "after"),
    ],
)
def test_an_event_whose_worker_died_is_acted_on_again(
    owner, name, when, edition, provider
):
    with deadly(deliver, "record", "before"):
        corridor(NOW)
    fresh_start()
    told_of()
    with deadly(owner, name, when, call=1):
        process_events.act(NOW)

    process_events.act(NOW)

    assert outcomes(edition).accepted == READERS
    assert not Event.objects.filter(acted_at=None).exists()


def test_a_complaint_whose_worker_died_is_heard_again(edition, provider):
    corridor(NOW)
    told_of("spamreport")
    with deadly(process_events, "hear", "before", call=1):
        process_events.act(NOW)

    process_events.act(NOW)

    assert Suppression.objects.get().reason == Suppression.Reason.COMPLAINT


def test_an_event_that_is_quicker_than_the_reclaim_is_not_forgotten(edition, provider):
    with deadly(deliver, "record", "before"):
        corridor(NOW)
    told_of("processed")
    process_events.act(NOW)

    fresh_start()

    tally = outcomes(edition)
    assert (tally.accepted, tally.unknown) == (READERS, 0)
    assert provider.taken["r1@example.org"] == 1


@pytest.mark.parametrize(("name", "when"), [("move", "before"), ("move", "after")])
def test_who_dies_while_it_plans_a_doubt_once_more_sends_it_once_more_only(
    name, when, edition, provider, settings
):
    settings.UNKNOWN_RESEND_AFTER = 10
    with deadly(deliver, "mark", "after"):
        corridor(NOW)
    fresh_start()
    later = NOW + timedelta(minutes=20)
    with deadly(resend, name, when, call=1):
        corridor(later)

    fresh_start(later)

    assert provider.taken == Counter(f"r{n}@example.org" for n in range(READERS))
    assert outcomes(edition).accepted == READERS
    assert Slot.objects.filter(kind="resend").count() == 1
