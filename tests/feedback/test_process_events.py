"""The effects of events on outcomes, suppressions and readers."""

import json
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.addresses import address_hash
from accounts.models import Suppression
from digest.feedback.process_events import pending_pages, process_one, process_pending
from digest.feedback.record import Report, record_reports
from digest.feedback.sendgrid_webhook import parse_post
from digest.models import Batch, Digest, Event
from tests import make

pytestmark = pytest.mark.django_db


def reasons():
    return dict(Suppression.objects.values_list("address_hash", "reason"))


def report(kind, digest=None, at=make.NOW, **payload):
    """One event of SendGrid, recorded."""
    key = digest.key if digest else ""
    single = Report(kind=kind, digest_key=key, at=at, payload=payload)
    record_reports([single], "sendgrid", make.NOW)


def outcome(digest):
    digest.refresh_from_db()
    return digest.outcome


@pytest.mark.both
def test_a_whole_post_is_processed(body, digests):
    record_reports(parse_post(body), "sendgrid", make.NOW)

    assert process_pending(make.NOW) == 8

    assert {name: outcome(digest) for name, digest in digests.items()} == {
        "ada": "accepted",
        "cleo": "accepted",
        "dora": "failed",
        "emil": "accepted",
        "fred": "unknown",
    }
    assert reasons() == {
        address_hash("cleo@example.org"): "bounce",
        address_hash("dora@example.org"): "bounce",
        address_hash("emil@example.org"): "complaint",
    }
    states = {name: digest.subscriber for name, digest in digests.items()}
    for reader in states.values():
        reader.refresh_from_db()
    assert {name: reader.state for name, reader in states.items()} == {
        "ada": "active",
        "cleo": "active",
        "dora": "active",
        "emil": "left",
        "fred": "left",
    }


@pytest.mark.both
def test_repeated_and_reordered_events_have_the_same_effect(body, digests):
    reports = parse_post(body) * 46
    random.Random(1).shuffle(reports)

    for start in range(0, len(reports), 50):
        record_reports(reports[start : start + 50], "sendgrid", make.NOW)
        process_pending(make.NOW)

    assert process_pending(make.NOW) == 0
    assert Event.objects.filter(processed_at=None).count() == 0
    assert Suppression.objects.count() == 3
    assert outcome(digests["ada"]) == "accepted"


def test_events_change_only_unsettled_outcomes(digests):
    failed, accepted = digests["ada"], digests["cleo"]
    Digest.objects.filter(pk=failed.pk).update(outcome="failed")
    Digest.objects.filter(pk=accepted.pk).update(outcome="accepted")
    report("delivered", failed)
    report("dropped", accepted, reason="Invalid")

    process_pending(make.NOW)

    assert outcome(failed) == "failed"
    assert outcome(accepted) == "accepted"


def test_an_event_settles_one_unknown_digest_of_a_batch(digests):
    report("processed", digests["ada"])

    process_pending(make.NOW)

    assert outcome(digests["ada"]) == "accepted"
    assert outcome(digests["cleo"]) == "unknown"


def test_a_blocked_mail_suppresses_nothing(digests):
    report("bounce", digests["ada"], type="blocked")

    process_pending(make.NOW)

    assert reasons() == {}


@pytest.mark.parametrize(
    ("why", "reason", "state"),
    [
        ("Bounced Address", "bounce", "active"),
        ("Invalid", "invalid", "active"),
        ("Spam Reporting Address", "complaint", "left"),
        ("Unsubscribed Address", None, "left"),
        ("Recipient List over Package Quota", None, "active"),
    ],
)
def test_a_dropped_mail_copies_sendgrids_suppression(digests, why, reason, state):
    reader = digests["ada"].subscriber
    report("dropped", digests["ada"], reason=why)

    process_pending(make.NOW)

    reader.refresh_from_db()
    assert reasons().get(reader.address_hash) == reason
    assert reader.state == state


def test_a_bounce_suppresses_the_old_address_of_a_moved_reader(digests):
    reader = digests["ada"].subscriber
    old = reader.address_hash
    reader.email = "ada@new.example"
    reader.save()
    report("bounce", digests["ada"], type="bounce", address_hash=old)

    process_pending(make.NOW)

    assert reasons() == {old: "bounce"}
    assert reader.may_be_mailed(timezone.now())


def test_bounces_and_complaints_about_account_mails_are_applied(bob, ada):
    report("bounce", type="bounce", address_hash=bob.address_hash)
    report("spamreport", address_hash=ada.address_hash)

    process_pending(make.NOW)

    ada.refresh_from_db()
    assert reasons() == {bob.address_hash: "bounce", ada.address_hash: "complaint"}
    assert ada.state == "left"


def test_a_late_unsubscribe_does_not_affect_a_new_confirmation(digests):
    reader = digests["ada"].subscriber
    reader.confirmed_at = make.NOW
    reader.save()
    report("unsubscribe", digests["ada"], at=make.NOW - timedelta(hours=1))

    process_pending(make.NOW)

    reader.refresh_from_db()
    assert reader.state == "active"


def test_a_second_unsubscribe_keeps_the_first_time(digests):
    reader = digests["ada"].subscriber
    reader.unsubscribe(make.NOW)
    report("unsubscribe", digests["ada"], at=make.NOW + timedelta(hours=1))

    process_pending(make.NOW + timedelta(hours=2))

    reader.refresh_from_db()
    assert reader.left_at == make.NOW


def test_events_of_erased_readers_have_their_effect_and_are_deleted(body, digests):
    record_reports(parse_post(body), "sendgrid", make.NOW)
    for digest in digests.values():
        digest.subscriber.delete()

    assert process_pending(make.NOW) == 1  # the one without a reader
    assert len(reasons()) == 3


def test_a_failing_event_is_logged_and_stops_no_other(digests, caplog):
    report("dropped", digests["ada"], reason="Invalid")
    report("bounce", digests["cleo"], type="bounce")
    report("bounce", digests["dora"], type="bounce", address_hash=["no", "hash"])
    report("bounce", digests["emil"], type="bounce")
    bad = Event.objects.get(payload__has_key="address_hash")
    Event.objects.filter(pk=bad.pk).update(payload=["not", "a", "dict"])

    assert process_pending(make.NOW) == 3

    bad.refresh_from_db()
    assert bad.processed_at is None
    assert "event failed" in caplog.text
    assert Suppression.objects.count() == 3


def test_an_event_processed_by_another_worker_is_not_applied_again(digests):
    reader = digests["ada"].subscriber
    report("unsubscribe", digests["ada"])
    (page,) = pending_pages()
    process_pending(make.NOW)
    reader.refresh_from_db()
    reader.confirm(make.NOW - timedelta(minutes=1), "came back at once")

    done = [process_one(event, make.NOW) for event in page]

    reader.refresh_from_db()
    assert done == [0]
    assert reader.state == "active"


def test_all_pages_of_events_are_processed(digests, monkeypatch):
    monkeypatch.setattr("digest.feedback.process_events.PAGE_SIZE", 3)
    for number in range(10):
        report("open", digests["ada"], at=make.NOW + timedelta(seconds=number))

    assert process_pending(make.NOW) == 10


def test_events_without_effects_cost_no_query_each(
    digests, django_assert_max_num_queries
):
    reports = [
        Report(kind="delivered", digest_key=digests["ada"].key, key=str(n))
        for n in range(100)
    ]
    record_reports(reports, "sendgrid", make.NOW)

    with django_assert_max_num_queries(8):
        assert process_pending(make.NOW) == 100


def test_a_json_post_is_applied_end_to_end(digests):
    reports = [
        {
            "event": "spamreport",
            "email": "Ada@Example.org",
            "timestamp": "x",
            "paper_round_site": "testserver",
        }
    ]

    record_reports(parse_post(json.dumps(reports).encode()), "sendgrid", make.NOW)
    process_pending(make.NOW)

    assert reasons() == {address_hash("ada@example.org"): "complaint"}


def tried_days(reader, outcomes):
    """One digest a day, turned back by the mailbox where it says soft."""
    for number, bounce in enumerate(outcomes):
        day = make.DAY + timedelta(days=number + 1)
        batch = make.batch(make.frozen(make.edition(day, papers=0)), [reader])
        digest = make.digest(batch, reader, outcome="accepted")
        if bounce == "soft":
            at = make.NOW + timedelta(days=number)
            payload = {"type": "blocked", "address_hash": reader.address_hash}
            report("bounce", digest, at=at, **payload)
        process_pending(make.NOW)


@pytest.mark.both
@pytest.mark.parametrize(
    ("outcomes", "is_forbidden"),
    [
        (["soft", "soft"], False),
        (["soft", "soft", "soft"], True),
        (["soft", "", "soft", "", "soft"], True),
        (["soft", "", "soft", "", "", "soft"], False),
    ],
)
def test_three_soft_bounces_of_the_last_five_suppress_the_address(
    ada, outcomes, is_forbidden
):
    tried_days(ada, outcomes)

    assert (ada.address_hash in reasons()) is is_forbidden


def test_soft_bounces_of_a_previous_address_do_not_count(ada):
    tried_days(ada, ["soft", "soft"])
    ada.email = "ada@new.example"
    ada.save()
    day = make.DAY + timedelta(days=9)
    batch = make.batch(make.frozen(make.edition(day, papers=0)), [ada])
    payload = {"type": "blocked", "address_hash": ada.address_hash}
    report("bounce", make.digest(batch, ada, outcome="accepted"), **payload)

    process_pending(make.NOW)

    assert reasons() == {}


def test_an_event_before_the_recorded_response_settles_the_outcome(digests):
    Batch.objects.update(state="sending", last_position=5)
    Digest.objects.update(outcome="pending")
    report("processed", digests["ada"])
    report("dropped", digests["dora"], reason="Invalid")

    process_pending(make.NOW)

    assert outcome(digests["ada"]) == "accepted"
    assert outcome(digests["dora"]) == "failed"
    assert outcome(digests["cleo"]) == "pending"
