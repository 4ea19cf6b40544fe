"""Events are stored first, and once, under whatever id they arrive."""

import json
import random
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection

from digest.feedback.record import Report, record_reports
from digest.feedback.sendgrid_webhook import parse_post
from digest.models import Event, ForeignEventCount
from tests import make

pytestmark = pytest.mark.django_db


def test_events_are_stored_with_their_digest(body, digests):
    assert record_reports(parse_post(body), "sendgrid", make.NOW) == 8

    bounce = Event.objects.get(kind="bounce")
    assert bounce.digest == digests["cleo"]
    assert bounce.processed_at is None
    assert Event.objects.filter(digest=digests["ada"]).count() == 3
    assert Event.objects.get(kind="a_kind_of_next_year").digest is None


@pytest.mark.both
def test_a_post_repeated_46_times_is_stored_once(body, digests):
    counts = [record_reports(parse_post(body), "sendgrid", make.NOW) for _ in range(46)]

    assert counts == [8] + [0] * 45
    assert Event.objects.count() == 8


@pytest.mark.both
def test_a_repeat_under_another_id_is_the_same_event(body, digests):
    items = json.loads(body)
    for number in range(3):
        renamed = [
            event | {"sg_event_id": f"{number}-{n}"} for n, event in enumerate(items)
        ]
        record_reports(parse_post(json.dumps(renamed).encode()), "sendgrid", make.NOW)

    assert Event.objects.count() == 8


def test_a_duplicate_within_one_post_is_stored_once(body, digests):
    reports = parse_post(body)

    assert record_reports(reports + reports, "sendgrid", make.NOW) == 8


@pytest.mark.both
def test_a_conflicting_event_does_not_stop_the_others(db):
    named = [Report(kind=kind, key="1", at=make.NOW) for kind in ("open", "delivered")]
    other = Report(kind="bounce", key="2", at=make.NOW)

    record_reports([*named, other], "sendgrid", make.NOW)

    assert sorted(Event.objects.values_list("key", flat=True)) == ["1", "2"]


def test_different_events_are_stored_separately(db):
    first = Report(kind="open", key="1", digest_key="d", at=make.NOW)
    later = Report(kind="open", key="2", digest_key="d", at=make.NOW + timedelta(1))
    other = Report(kind="open", key="3", digest_key="e", at=make.NOW)

    assert record_reports([first, later, other], "sendgrid", make.NOW) == 3


def report_by_id(digest):
    """A report that names a digest by address and message id only."""
    payload = {"address_hash": digest.subscriber.address_hash}
    return Report(
        kind="bounce", message_id=digest.message_id, payload=payload, is_ours=False
    )


def test_an_event_without_digest_key_is_matched_by_message_id(digests):
    cleo = digests["cleo"]
    cleo.message_id = "Inventedm3ssag3IdBBBBB"
    cleo.save()

    record_reports([report_by_id(cleo)], "sendgrid", make.NOW)

    assert Event.objects.get().digest == cleo


def test_an_event_without_digest_id_or_time_is_stored(db):
    assert record_reports([Report(kind="open")], "sendgrid", make.NOW) == 1
    assert Event.objects.get().at == make.NOW


def test_a_long_event_id_is_hashed_and_still_deduplicated(db):
    report = Report(kind="open", key="x" * 500, at=make.NOW)

    assert record_reports([report], "sendgrid", make.NOW) == 1
    assert record_reports([report], "sendgrid", make.NOW) == 0


def test_characters_that_databases_refuse_are_removed(db):
    items = [
        {
            "event": "bounce\0",
            "reason": "a\0b\ud800c",
            "sg_event_id": "\0",
            "paper_round_site": "testserver",
        }
    ]

    record_reports(parse_post(json.dumps(items).encode()), "sendgrid", make.NOW)

    event = Event.objects.get()
    assert (event.kind, event.payload["reason"]) == ("bounce", "abc")


def test_recording_costs_the_same_queries_for_one_and_for_many(
    body, digests, django_assert_max_num_queries
):
    reports = parse_post(body)

    with django_assert_max_num_queries(5):
        record_reports(reports, "sendgrid", make.NOW)


def test_events_of_another_mail_stream_are_counted_and_not_stored(digests):
    foreign = Report(kind="bounce", key="f", message_id="theirs", is_ours=False)

    record_reports([foreign] * 3, "sendgrid", make.NOW)
    record_reports([foreign], "sendgrid", make.NOW)

    assert not Event.objects.exists()
    (row,) = ForeignEventCount.objects.all()
    assert (row.source, row.day, row.number) == ("sendgrid", make.NOW.date(), 4)


def test_events_of_a_known_digest_are_ours_without_the_sites_mark(digests):
    cleo = digests["cleo"]
    cleo.message_id = "ours"
    cleo.save()
    by_key = Report(kind="open", digest_key=digests["ada"].key, is_ours=False)
    by_id = report_by_id(cleo)

    assert record_reports([by_key, by_id], "sendgrid", make.NOW) == 2
    assert not ForeignEventCount.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_posts_of_the_same_events_do_not_deadlock():
    reports = [Report(kind="open", digest_key=str(n), at=make.NOW) for n in range(400)]
    start, errors = threading.Barrier(6), []

    def record_often(seed):
        order = random.Random(seed)
        try:
            for round_number in range(6):
                # Every event again under new ids, in another order.
                batch = [replace(r, kind=f"open{round_number}") for r in reports]
                order.shuffle(batch)
                start.wait(60)
                record_reports(
                    [replace(r, key=str(order.random())) for r in batch],
                    "sendgrid",
                    make.NOW,
                )
        except Exception as error:
            errors.append(error)
            start.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=record_often, args=[n]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert Event.objects.count() == 6 * 400
