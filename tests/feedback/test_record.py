"""Kept first, once, however often and under whatever name it comes."""

import json
from datetime import timedelta

import pytest

from digest.feedback.record import Report, record
from digest.feedback.sendgrid_webhook import parse
from digest.models import Event
from tests import make

pytestmark = pytest.mark.django_db


def test_events_are_kept_with_their_digests_and_wait(body, digests):
    assert record(parse(body), "sendgrid", make.NOW) == 8

    bounce = Event.objects.get(kind="bounce")
    assert bounce.digest == digests["cleo"]
    assert bounce.acted_at is None
    assert Event.objects.filter(digest=digests["ada"]).count() == 3
    assert Event.objects.get(kind="a_kind_of_next_year").digest is None


@pytest.mark.both
def test_a_post_that_comes_46_times_is_kept_once(body, digests):
    counts = [record(parse(body), "sendgrid", make.NOW) for _ in range(46)]

    assert counts == [8] + [0] * 45
    assert Event.objects.count() == 8


@pytest.mark.both
def test_a_repeat_under_another_name_is_the_same_event(body, digests):
    said = json.loads(body)
    for number in range(3):
        renamed = [
            event | {"sg_event_id": f"{number}-{n}"} for n, event in enumerate(said)
        ]
        record(parse(json.dumps(renamed).encode()), "sendgrid", make.NOW)

    assert Event.objects.count() == 8


def test_the_same_event_twice_in_one_post_is_kept_once(body, digests):
    reports = parse(body)

    assert record(reports + reports, "sendgrid", make.NOW) == 8


@pytest.mark.both
def test_what_the_database_refuses_as_known_does_not_stop_the_rest(db):
    named = [Report(kind=kind, key="1", at=make.NOW) for kind in ("open", "delivered")]
    other = Report(kind="bounce", key="2", at=make.NOW)

    record([*named, other], "sendgrid", make.NOW)

    assert sorted(Event.objects.values_list("key", flat=True)) == ["1", "2"]


def test_what_differs_is_not_the_same(db):
    first = Report(kind="open", key="1", digest_key="d", at=make.NOW)
    later = Report(kind="open", key="2", digest_key="d", at=make.NOW + timedelta(1))
    other = Report(kind="open", key="3", digest_key="e", at=make.NOW)

    assert record([first, later, other], "sendgrid", make.NOW) == 3


def test_a_late_event_without_our_key_is_found_by_the_providers_name(digests):
    cleo = digests["cleo"]
    cleo.message_id = "Inventedm3ssag3IdBBBBB"
    cleo.save()

    record([Report(kind="bounce", message_id=cleo.message_id)], "sendgrid", make.NOW)

    assert Event.objects.get().digest == cleo


def test_an_event_without_digest_name_or_time_is_kept(db):
    assert record([Report(kind="open")], "sendgrid", make.NOW) == 1
    assert Event.objects.get().at == make.NOW


def test_a_very_long_name_is_shortened_and_still_known(db):
    report = Report(kind="open", key="x" * 500, at=make.NOW)

    assert record([report], "sendgrid", make.NOW) == 1
    assert record([report], "sendgrid", make.NOW) == 0


def test_what_a_database_cannot_store_is_stored_without_it(db):
    said = [{"event": "bounce\0", "reason": "a\0b\ud800c", "sg_event_id": "\0"}]

    record(parse(json.dumps(said).encode()), "sendgrid", make.NOW)

    event = Event.objects.get()
    assert (event.kind, event.payload["reason"]) == ("bounce", "abc")


def test_recording_costs_the_same_queries_for_one_and_for_many(
    body, digests, django_assert_max_num_queries
):
    reports = parse(body)

    with django_assert_max_num_queries(5):
        record(reports, "sendgrid", make.NOW)
