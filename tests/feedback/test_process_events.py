"""What follows from what was reported."""

import json
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.addresses import address_hash
from accounts.models import Suppression
from digest.feedback.process_events import act, pages, tried
from digest.feedback.record import Report, record
from digest.feedback.sendgrid_webhook import parse
from digest.models import Batch, Digest, Event
from tests import make

pytestmark = pytest.mark.django_db


def reasons():
    return dict(Suppression.objects.values_list("address_hash", "reason"))


def report(kind, digest=None, at=make.NOW, **payload):
    """One event of SendGrid, recorded."""
    key = digest.key if digest else ""
    said = Report(kind=kind, digest_key=key, at=at, payload=payload)
    record([said], "sendgrid", make.NOW)


def outcome(digest):
    digest.refresh_from_db()
    return digest.outcome


@pytest.mark.both
def test_a_whole_post_is_acted_on(body, digests):
    record(parse(body), "sendgrid", make.NOW)

    assert act(make.NOW) == 8

    assert {name: outcome(digest) for name, digest in digests.items()} == {
        "ada": "accepted",
        "cleo": "accepted",
        "dora": "failed",
        "emil": "accepted",
        "fred": "",
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
def test_repeats_in_any_order_lead_to_the_same(body, digests):
    said = parse(body) * 46
    random.Random(1).shuffle(said)

    for start in range(0, len(said), 50):
        record(said[start : start + 50], "sendgrid", make.NOW)
        act(make.NOW)

    assert act(make.NOW) == 0
    assert Event.objects.filter(acted_at=None).count() == 0
    assert Suppression.objects.count() == 3
    assert outcome(digests["ada"]) == "accepted"


def test_only_what_nobody_knew_is_settled(digests):
    refused, known = digests["ada"], digests["cleo"]
    Digest.objects.filter(pk=refused.pk).update(outcome="failed")
    Digest.objects.filter(pk=known.pk).update(outcome="accepted")
    report("delivered", refused)
    report("dropped", known, reason="Invalid")

    act(make.NOW)

    assert outcome(refused) == "failed"
    assert outcome(known) == "accepted"


def test_a_digest_of_a_batch_that_is_known_stays_as_its_batch(digests):
    Batch.objects.update(state="accepted")
    report("delivered", digests["ada"])

    act(make.NOW)

    assert outcome(digests["ada"]) == ""


def test_a_doubt_about_one_digest_of_a_known_batch_is_settled(digests):
    Batch.objects.update(state="accepted")
    Digest.objects.update(outcome="unknown")
    report("processed", digests["ada"])

    act(make.NOW)

    assert outcome(digests["ada"]) == "accepted"
    assert outcome(digests["cleo"]) == "unknown"


def test_a_blocked_mail_forbids_nothing(digests):
    report("bounce", digests["ada"], type="blocked")

    act(make.NOW)

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
def test_a_dropped_mail_tells_why(digests, why, reason, state):
    reader = digests["ada"].subscriber
    report("dropped", digests["ada"], reason=why)

    act(make.NOW)

    reader.refresh_from_db()
    assert reasons().get(reader.address_hash) == reason
    assert reader.state == state


def test_a_bounce_forbids_the_address_it_was_sent_to_not_the_one_moved_to(digests):
    reader = digests["ada"].subscriber
    old = reader.address_hash
    reader.email = "ada@new.example"
    reader.save()
    report("bounce", digests["ada"], type="bounce", address_hash=old)

    act(make.NOW)

    assert reasons() == {old: "bounce"}
    assert reader.may_be_mailed(timezone.now())


def test_a_confirmation_that_bounced_or_annoyed_is_heard_without_a_digest(bob, ada):
    report("bounce", type="bounce", address_hash=bob.address_hash)
    report("spamreport", address_hash=ada.address_hash)

    act(make.NOW)

    ada.refresh_from_db()
    assert reasons() == {bob.address_hash: "bounce", ada.address_hash: "complaint"}
    assert ada.state == "left"


def test_who_came_back_after_unsubscribing_stays(digests):
    reader = digests["ada"].subscriber
    reader.confirmed_at = make.NOW
    reader.save()
    report("unsubscribe", digests["ada"], at=make.NOW - timedelta(hours=1))

    act(make.NOW)

    reader.refresh_from_db()
    assert reader.state == "active"


def test_leaving_again_keeps_the_first_time(digests):
    reader = digests["ada"].subscriber
    reader.unsubscribe(make.NOW)
    report("unsubscribe", digests["ada"], at=make.NOW + timedelta(hours=1))

    act(make.NOW + timedelta(hours=2))

    reader.refresh_from_db()
    assert reader.left_at == make.NOW


def test_events_of_readers_who_were_erased_are_harmless(body, digests):
    record(parse(body), "sendgrid", make.NOW)
    for digest in digests.values():
        digest.subscriber.delete()

    assert act(make.NOW) == 8
    assert len(reasons()) == 3


def test_one_bad_event_stops_none_of_the_others_and_is_seen(digests, caplog):
    report("dropped", digests["ada"], reason="Invalid")
    report("bounce", digests["cleo"], type="bounce")
    report("bounce", digests["dora"], type="bounce", address_hash=["no", "hash"])
    report("bounce", digests["emil"], type="bounce")
    bad = Event.objects.get(payload__has_key="address_hash")
    Event.objects.filter(pk=bad.pk).update(payload=["not", "a", "dict"])

    assert act(make.NOW) == 3

    bad.refresh_from_db()
    assert bad.acted_at is None
    assert "event failed" in caplog.text
    assert Suppression.objects.count() == 3


def test_an_event_that_another_worker_acted_on_meanwhile_is_left_alone(digests):
    reader = digests["ada"].subscriber
    report("unsubscribe", digests["ada"])
    (page,) = pages()
    act(make.NOW)
    reader.refresh_from_db()
    reader.confirm(make.NOW - timedelta(minutes=1), "came back at once")

    done = [tried(event, make.NOW) for event in page]

    reader.refresh_from_db()
    assert done == [0]
    assert reader.state == "active"


def test_more_events_than_a_page_are_all_acted_on(digests, monkeypatch):
    monkeypatch.setattr("digest.feedback.process_events.PAGE", 3)
    for number in range(10):
        report("open", digests["ada"], at=make.NOW + timedelta(seconds=number))

    assert act(make.NOW) == 10


def test_events_that_need_nothing_cost_no_query_each(
    digests, django_assert_max_num_queries
):
    said = [
        Report(kind="delivered", digest_key=digests["ada"].key, key=str(n))
        for n in range(100)
    ]
    record(said, "sendgrid", make.NOW)

    with django_assert_max_num_queries(8):
        assert act(make.NOW) == 100


def test_a_post_of_json_survives_the_whole_way(digests):
    said = [{"event": "spamreport", "email": "Ada@Example.org", "timestamp": "x"}]

    record(parse(json.dumps(said).encode()), "sendgrid", make.NOW)
    act(make.NOW)

    assert reasons() == {address_hash("ada@example.org"): "complaint"}


def tried_days(reader, outcomes):
    """One digest a day, turned back by the mailbox where it says soft."""
    for number, said in enumerate(outcomes):
        day = make.DAY + timedelta(days=number + 1)
        batch = make.batch(make.frozen(make.edition(day, papers=0)), [reader])
        digest = make.digest(batch, reader, message_id=f"name {number}")
        if said == "soft":
            at = make.NOW + timedelta(days=number)
            payload = {"type": "blocked", "address_hash": reader.address_hash}
            report("bounce", digest, at=at, **payload)
        act(make.NOW)


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
def test_three_soft_bounces_of_the_last_five_forbid_the_address(
    ada, outcomes, is_forbidden
):
    tried_days(ada, outcomes)

    assert (ada.address_hash in reasons()) is is_forbidden


def test_an_address_that_was_left_behind_does_not_count_against_the_new_one(ada):
    tried_days(ada, ["soft", "soft"])
    ada.email = "ada@new.example"
    ada.save()
    day = make.DAY + timedelta(days=9)
    batch = make.batch(make.frozen(make.edition(day, papers=0)), [ada])
    payload = {"type": "blocked", "address_hash": ada.address_hash}
    report("bounce", make.digest(batch, ada, message_id="new"), **payload)

    act(make.NOW)

    assert reasons() == {}


def test_what_a_provider_tells_before_its_answer_was_recorded_is_kept(digests):
    Batch.objects.update(state="sending", last_position=5)
    report("processed", digests["ada"])
    report("dropped", digests["dora"], reason="Invalid")

    act(make.NOW)

    assert outcome(digests["ada"]) == "accepted"
    assert outcome(digests["dora"]) == "failed"
    assert outcome(digests["cleo"]) == ""
