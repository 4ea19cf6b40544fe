"""Many calls in flight: one says nothing of its neighbours, and a window bounds what is in doubt."""

import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
import structlog
import time_machine
from django.db import connection
from django.utils import timezone

from accounts.models import Subscriber
from digest.mailer import calls, claims, deliver, rate, recording, shutdown, transports
from digest.mailer.calls import Call, CallPool
from digest.mailer.transports import EncodedMail, accepted, refused, unknown
from digest.models import Batch, Digest, SendingPause, bulk
from digest.models.bulk import KEY_TIME_DIGITS
from digest.models.digests import format_ids, parse_ids
from tests import make
from tests.mailer.sending import (
    FakeTransport,
    Killed,
    deliver_batch,
    outcomes,
    planned_batch,
)

CONNECTIONS = 4
OK = accepted("id")


class Answers(FakeTransport):
    """Answers by address; records who was asked, and how many were at once."""

    def __init__(self, answers=(), seconds=0.0):
        self.answers, self.seconds = dict(answers), seconds
        self.attempts, self.lock = [], threading.Lock()
        self.in_flight = self.most_in_flight = 0

    def send(self, mail):
        with self.lock:
            self.attempts.append(mail.to)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(self.seconds)
        with self.lock:
            self.in_flight -= 1
        answer = self.answers.get(mail.to, OK)
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return answer


@contextmanager
def opened_pool(transport, concurrency=CONNECTIONS):
    pool = CallPool(transport, concurrency)
    yield pool
    pool.close()


def send_batch(transport, batch, concurrency=CONNECTIONS):
    claimed = claims.claim_next()
    assert claimed == batch
    with opened_pool(transport, concurrency) as pool:
        return deliver_batch(claimed, list(batch.digests.order_by("pk")), pool)


@pytest.fixture
def batch(db, monkeypatch):
    """Twelve digests, sent in windows of eight."""
    monkeypatch.setattr(
        deliver.BatchSending, "window_size", lambda self: 2 * CONNECTIONS
    )
    return planned_batch(12, kind="manual")  # never too late


def test_as_many_calls_are_in_flight_as_there_are_connections(batch):
    transport = Answers(seconds=0.05)

    counts = send_batch(transport, batch)

    assert transport.most_in_flight == CONNECTIONS
    assert counts.accepted == 12
    assert outcomes() == ["accepted"] * 12
    batch.refresh_from_db()
    assert (batch.state, batch.last_position, batch.in_flight) == ("done", 12, "")


def test_a_block_is_chosen_while_calls_of_the_block_before_are_in_flight(batch):
    transport = Answers(seconds=0.2)
    digests = list(batch.digests.order_by("pk"))
    in_flight = []

    def choose_blocks():
        yield digests[:8]
        time.sleep(0.1)
        in_flight.append(transport.in_flight)
        yield digests[8:]

    with opened_pool(transport) as pool:
        claimed = [(claims.claim_next(), choose_blocks())]
        ((_, counts),) = deliver.deliver_batches(claimed, pool)

    assert in_flight == [CONNECTIONS]
    assert counts.accepted == 12
    batch.refresh_from_db()
    assert (batch.state, batch.last_position) == ("done", 12)


def test_a_batch_is_claimed_while_the_last_calls_of_another_are_in_flight(batch):
    transport = Answers(seconds=0.2)
    reader = make.subscriber("r12@example.org")
    later = make.batch(batch.slot.edition, [reader], kind="manual")
    make.digest(later, reader, batch.digests.first().picks)
    in_flight = []

    def claim_batches():
        while claimed := claims.claim_next():
            in_flight.append(transport.in_flight)
            yield claimed, [list(claimed.digests.order_by("pk"))]

    with opened_pool(transport) as pool:
        ended = [pair[0].pk for pair in deliver.deliver_batches(claim_batches(), pool)]

    assert in_flight[0] == 0 < in_flight[1]
    assert sorted(ended) == [batch.pk, later.pk]
    assert set(Batch.objects.values_list("state", flat=True)) == {"done"}
    assert outcomes().count("accepted") == 13


def test_an_error_while_a_batch_is_chosen_loses_no_outcome_of_another(batch):
    transport = Answers(seconds=0.1)

    def claim_batches():
        yield claims.claim_next(), [list(batch.digests.order_by("pk"))]
        raise ValueError("no edition")

    with (
        opened_pool(transport) as pool,
        pytest.raises(ValueError, match="no edition"),
    ):
        list(deliver.deliver_batches(claim_batches(), pool))

    assert outcomes().count("accepted") == len(transport.attempts) >= CONNECTIONS
    assert set(outcomes()) <= {"accepted", "pending"}


def test_log_lines_of_a_call_name_its_batch(batch):
    contexts = []

    def answer():
        contexts.append(structlog.contextvars.get_contextvars())
        return OK

    send_batch(Answers({"r3@example.org": answer}), batch)

    assert contexts == [{"batch": batch.pk, "edition": "2026-11-20"}]


def test_one_call_says_nothing_of_its_neighbours(batch):
    transport = Answers(
        {
            "r1@example.org": refused("550 no such user", is_recipient=True),
            "r3@example.org": unknown("connection lost"),
            "r5@example.org": RuntimeError("a defect"),
            "r7@example.org": refused("450 later", retry=True, is_recipient=True),
            "r9@example.org": refused("not reached", retry=True),
        }
    )

    send_batch(transport, batch)

    assert outcomes() == [
        *("accepted", "failed", "accepted", "unknown", "accepted", "unknown"),
        *("accepted", "pending", "accepted", "pending", "accepted", "accepted"),
    ]
    assert sorted(transport.attempts) == sorted(f"r{n}@example.org" for n in range(12))
    batch.refresh_from_db()
    assert (batch.state, batch.in_flight) == ("planned", "")


def test_refusals_of_all_connections_in_a_row_stop_the_batch(batch):
    down = refused("not reached", retry=True)
    transport = Answers({f"r{n}@example.org": down for n in range(12)})

    send_batch(transport, batch)

    assert CONNECTIONS <= len(transport.attempts) <= 2 * CONNECTIONS
    assert outcomes() == ["pending"] * 12
    batch.refresh_from_db()
    assert (batch.state, batch.attempts) == ("planned", 1)


def test_a_rate_limit_returns_the_calls_that_did_not_begin(batch, settings, tmp_path):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    transport = Answers(
        {"r0@example.org": refused("429", retry=True, wait=30)}, seconds=0.05
    )

    send_batch(transport, batch)

    assert len(transport.attempts) < 12
    assert outcomes().count("accepted") == len(transport.attempts) - 1
    assert outcomes().count("pending") == 12 - len(transport.attempts) + 1
    batch.refresh_from_db()
    assert batch.last_position == len(transport.attempts) - 1
    assert 20 < (batch.lease_until - timezone.now()).total_seconds() <= 30
    assert rate.acquire() > 20


def test_calls_that_did_not_begin_are_not_made_after_the_last_one_of_a_limit(
    batch, settings, tmp_path, monkeypatch
):
    """SendGrid announces with an acceptance that no further mail is accepted."""
    monkeypatch.setattr(deliver.BatchSending, "window_size", lambda self: 12)
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    transport = Answers({"r0@example.org": accepted("id", wait=30)}, seconds=0.1)

    send_batch(transport, batch)

    assert len(transport.attempts) <= 2 * CONNECTIONS
    assert outcomes().count("accepted") == len(transport.attempts)
    batch.refresh_from_db()
    assert (batch.state, batch.in_flight) == ("planned", "")


def test_a_mark_names_the_digests_that_are_still_in_flight(batch, monkeypatch):
    monkeypatch.setattr(deliver.BatchSending, "window_size", lambda self: 4)
    marked = []
    mark_sending = deliver.mark_sending

    def record_mark(batch, ids, position):
        marked.append(set(ids))
        mark_sending(batch, ids, position)

    monkeypatch.setattr(deliver, "mark_sending", record_mark)
    slow = batch.digests.order_by("pk").first()

    def answer_slowly():
        time.sleep(0.4)
        return OK

    send_batch(Answers({"r0@example.org": answer_slowly}), batch)

    assert slow.pk in marked[0] & marked[1]
    assert max(map(len, marked)) <= 4
    assert outcomes() == ["accepted"] * 12


def test_calls_in_flight_end_at_a_shutdown_and_none_starts(batch):
    def shut_down():
        shutdown.request_shutdown()
        return OK

    transport = Answers({"r0@example.org": shut_down}, seconds=0.1)
    try:
        send_batch(transport, batch)
    finally:
        shutdown.FLAG[0] = 0

    assert CONNECTIONS <= len(transport.attempts) <= 2 * CONNECTIONS
    assert outcomes().count("accepted") == len(transport.attempts)
    batch.refresh_from_db()
    assert (batch.state, batch.error) == ("planned", "the worker is shutting down")


def test_a_pause_stops_the_next_window(batch):
    def pause():
        SendingPause.objects.trigger("an operator", timezone.now())
        return OK

    batch_sizes = []
    transport = Answers(seconds=0.01)
    mark_sending = deliver.mark_sending

    def mark_and_pause(batch, ids, position):
        mark_sending(batch, ids, position)
        batch_sizes.append(position)
        pause()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliver, "mark_sending", mark_and_pause)
        send_batch(transport, batch)

    assert len(transport.attempts) == batch_sizes[0] == outcomes().count("accepted")
    batch.refresh_from_db()
    assert (batch.state, batch.error) == ("planned", "paused: an operator")


@pytest.mark.parametrize("window", [1, 3, 12])
def test_a_killed_worker_leaves_at_most_a_window_unknown(batch, monkeypatch, window):
    monkeypatch.setattr(deliver.BatchSending, "window_size", lambda self: window)
    transport = Answers({"r5@example.org": Killed()})
    monkeypatch.setattr(transports, "get_transport", lambda: transport)
    with pytest.raises(Killed):
        send_batch(transport, batch)
    Batch.objects.update(lease_until=make.NOW)

    (resolved,) = claims.resolve_abandoned_batches()
    transport.answers.clear()
    send_batch(transport, resolved)

    assert 1 <= outcomes().count("unknown") <= window
    assert outcomes().count("accepted") == 12 - outcomes().count("unknown")
    assert max(map(transport.attempts.count, transport.attempts)) == 1


def test_an_old_call_is_not_begun(batch):
    class Slow(Answers):
        def send_mail(self, mail, begin_call, next_mail=None):
            begin_call()
            return super().send(mail)

    transport = Slow()
    old = time.clock_gettime(time.CLOCK_BOOTTIME) - calls.MAX_CALL_DELAY_S - 1
    mail = EncodedMail("k", make.DAY, "r@example.org", b"")
    digest = batch.digests.first()

    late = calls.make_call(Call(digest, mail, old), transport, None)
    in_time = calls.make_call(
        Call(digest, mail, calls.seconds_since_boot()), transport, None
    )

    assert (late[1], in_time[1]) == (None, OK)
    assert transport.attempts == ["r@example.org"]


def test_a_batch_is_released_if_every_call_is_too_late(batch, monkeypatch):
    monkeypatch.setattr(calls, "MAX_CALL_DELAY_S", -1)
    transport = Answers()

    send_batch(transport, batch)

    assert (transport.attempts, outcomes()) == ([], ["pending"] * 12)
    batch.refresh_from_db()
    assert (batch.state, batch.error) == ("planned", "connecting takes too long")


def test_outcomes_wait_for_a_database_that_is_restarted(batch, monkeypatch):
    from django.db import OperationalError, connection

    class Connection:
        in_atomic_block = False

        def close(self):
            pass

    attempts = []
    record = bulk.record_accepted

    def fail_twice(message_ids):
        attempts.append(1)
        if len(attempts) <= 2:
            raise OperationalError("the database system is starting up")
        record(message_ids)

    assert connection.in_atomic_block  # of this test
    monkeypatch.setattr(recording, "connection", Connection())
    monkeypatch.setattr(recording, "RECORD_RETRY_PAUSE_S", 0)
    monkeypatch.setattr(bulk, "record_accepted", fail_twice)

    send_batch(Answers(), batch)

    assert outcomes() == ["accepted"] * 12


def test_the_pace_is_kept_with_windows(batch, settings, tmp_path):
    settings.VAR, settings.REDIS_URL, settings.MAIL_RATE = tmp_path, "", 20
    rate.block_for(0)
    for _ in range(20):  # what may be sent at once
        rate.acquire()
    begin = time.monotonic()

    send_batch(Answers(), batch)

    assert time.monotonic() - begin >= 8 / 20
    assert outcomes() == ["accepted"] * 12


@pytest.mark.parametrize(
    ("ids", "text"),
    [([], ""), ([7], "7"), ([12, 9, 10, 11, 7], "7,9-12"), ([1, 2], "1-2")],
)
def test_ids_in_flight_are_stored_as_ranges(ids, text):
    assert format_ids(ids) == text
    assert parse_ids(text) == set(ids)


# The fast forms of PostgreSQL and the portable ones


@pytest.fixture(params=["vendor", "portable"])
def form(request, monkeypatch):
    if request.param == "portable":
        monkeypatch.setattr(bulk, "is_postgresql", lambda: False)
    return request.param


def rows_without_keys():
    hidden = ("id", "key", "outcome_at", "subscriber_id", "batch_id", "edition_id")
    return [
        {name: value for name, value in row.items() if name not in hidden}
        for row in Digest.objects.order_by("subscriber__email").values()
    ]


@pytest.mark.both
@pytest.mark.django_db
def test_digests_are_inserted_once_for_a_reader(form):
    batch = planned_batch(2)
    kept = batch.digests.first()
    new_reader = make.subscriber("r2@example.org")
    new = [
        Digest(
            subscriber=reader,
            edition=batch.slot.edition,
            batch=batch,
            created_at=make.NOW,
            packed_picks=b"\x00\x01\\\n\t",
            reason=reason,
            outcome=outcome,
        )
        for reader, outcome, reason in [
            (kept.subscriber, Digest.Outcome.PENDING, ""),
            (new_reader, Digest.Outcome.SKIPPED, Digest.Reason.LEFT),
        ]
    ]

    (inserted,) = bulk.insert_digests(new)
    key = inserted.key
    assert bulk.insert_digests(new[1:]) == []
    assert bulk.insert_digests([]) == []

    assert Digest.objects.count() == 3
    assert Digest.objects.get(subscriber=kept.subscriber) == kept
    row = Digest.objects.get(subscriber=new_reader)
    assert (row.pk, row.key, bytes(row.packed_picks)) == (
        inserted.pk,
        key,
        b"\x00\x01\\\n\t",
    )
    assert (row.outcome, row.reason, row.resends) == ("skipped", "left", 0)
    assert (row.created_at, row.outcome_at) == (make.NOW, None)


def test_new_keys_are_in_the_order_of_their_digests_and_cannot_be_guessed():
    keys = bulk.ascending_keys(300)

    assert keys == sorted(keys)
    assert len({key[KEY_TIME_DIGITS:] for key in keys}) == 300
    assert {len(key) for key in keys} == {22}
    with time_machine.travel(timezone.now() + timedelta(seconds=2)):
        assert max(keys) < min(bulk.ascending_keys(300))


@pytest.mark.both
@pytest.mark.django_db
def test_the_digest_of_a_reader_who_was_erased_meanwhile_is_left_out(form):
    batch = planned_batch(1)
    reader, erased = make.subscriber("r1@example.org"), make.subscriber()
    new = [
        Digest(
            subscriber=each,
            edition=batch.slot.edition,
            batch=batch,
            created_at=make.NOW,
        )
        for each in (reader, erased)
    ]
    Subscriber.objects.filter(pk=erased.pk).delete()

    bulk.insert_digests(new)

    assert set(Digest.objects.values_list("subscriber__email", flat=True)) == {
        "r0@example.org",
        "r1@example.org",
    }


@pytest.mark.both
@pytest.mark.django_db
def test_acceptances_are_recorded_unless_an_event_reported_a_failure(form):
    planned_batch(4)
    rows = list(Digest.objects.order_by("pk"))
    Digest.objects.filter(pk=rows[1].pk).update(outcome="failed", reason="refused")
    Digest.objects.filter(pk=rows[2].pk).update(
        outcome="unknown", provider_detail="500", reason="nothing"
    )

    bulk.record_accepted([(row.pk, f"id{n}'%s") for n, row in enumerate(rows[:3])])
    bulk.record_accepted([])

    assert list(
        Digest.objects.order_by("pk").values_list(
            "outcome", "reason", "provider_detail", "message_id"
        )
    ) == [
        ("accepted", "", "", "id0'%s"),
        ("failed", "refused", "", ""),
        ("accepted", "", "", "id2'%s"),
        ("pending", "", "", ""),
    ]
    times = [row.outcome_at for row in Digest.objects.order_by("pk")]
    assert times[0] == times[2] is not None
    assert abs(timezone.now() - times[0]) < timedelta(minutes=1)
    assert times[1] is times[3] is None


@pytest.mark.django_db
def test_an_acceptance_updates_the_row_in_its_page_and_no_index():
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has updates that leave the indexes alone (HOT)")
    with connection.cursor() as cursor:  # rows that other tests left dead take space
        cursor.execute("TRUNCATE digest_digest CASCADE")
    batch = planned_batch(0)
    new = [
        Digest(
            subscriber=make.subscriber(),
            edition=batch.slot.edition,
            batch=batch,
            created_at=make.NOW,
            packed_picks=bytes(90),
        )
        for _ in range(60)  # a few pages
    ]
    bulk.insert_digests(new)
    ids = list(Digest.objects.values_list("pk", flat=True))
    before = count_updates()

    bulk.record_accepted([(pk, "Inventedm3ssag3IdBBBBB") for pk in ids])

    assert count_updates() - before == Counter(all=60, in_page=60)


def count_updates():
    """Count the updates of digests that the statistics of this connection still hold."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_get_xact_tuples_updated(oid),"
            " pg_stat_get_xact_tuples_hot_updated(oid)"
            " FROM pg_class WHERE relname = 'digest_digest'"
        )
        return Counter(dict(zip(("all", "in_page"), cursor.fetchone(), strict=True)))
