"""Planning: due readers are planned once, despite missed ticks and concurrent planners."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Subscriber
from digest.mailer import plan
from digest.mailer.plan import delivery_deadline
from digest.mailer.tally import count_outcomes, reconciliation_error
from digest.models import Batch, Digest, Slot
from tests import make
from tests.mailer.sending import run_worker

pytestmark = [pytest.mark.both, pytest.mark.django_db]

FRIDAY = make.NOW


def at(text):
    return datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=UTC)


def friday():
    return make.frozen(make.edition(papers=0))


def batch_times():
    """The times of the slots of each reader's batches, by the reader's id."""
    times = {}
    for batch in Batch.objects.select_related("slot").order_by("slot__at", "pk"):
        for pk in batch.readers:
            times.setdefault(pk, []).append(batch.slot.at)
    return times


def test_a_reader_is_due_at_the_first_occurrence_of_their_hour_after_the_freeze():
    friday()
    berlin = make.subscriber(zone="Europe/Berlin", hour=10)
    tokyo = make.subscriber(zone="Asia/Tokyo", hour=7)
    nepal = make.subscriber(zone="Asia/Kathmandu", hour=15)

    plan.plan_due(FRIDAY + timedelta(hours=25))

    assert batch_times() == {
        berlin.pk: [at("20 09:00")],
        tokyo.pk: [at("20 22:00")],
        nepal.pk: [at("20 09:15")],
    }


def test_readers_are_not_planned_before_their_hour():
    friday()
    make.subscriber(hour=12)

    assert plan.plan_due(at("20 11:59")) == []
    assert [slot.at for slot in plan.plan_due(at("20 12:00"))] == [at("20 12:00")]


def test_a_slot_is_planned_once_and_missed_ticks_are_caught_up():
    friday()
    early, late = make.subscriber(hour=10), make.subscriber(hour=13)
    plan.plan_due(at("20 10:05"))
    newcomer = make.subscriber(hour=10)

    plan.plan_due(at("20 13:40"))
    plan.plan_due(at("20 13:40"))

    assert batch_times() == {early.pk: [at("20 10:00")], late.pk: [at("20 13:00")]}
    assert newcomer.pk not in batch_times()


def test_readers_due_in_an_outage_until_expiry_get_the_outcome_expired():
    edition = friday()
    reader = make.subscriber(hour=10, confirmed_at=FRIDAY)
    later = FRIDAY + timedelta(days=5)
    make.subscriber(hour=10, confirmed_at=later)

    plan.plan_due(later)
    assert batch_times() == {reader.pk: [at("20 10:00")]}
    make.digest(Batch.objects.get(), reader)
    run_worker(later)

    digest = Digest.objects.get()
    assert (digest.outcome, digest.reason) == ("skipped", "expired")
    assert count_outcomes(edition).expired == 1
    assert reconciliation_error(edition, later) == (
        "1 of 1 readers were not mailed: the edition expired"
    )


@pytest.mark.parametrize("hours", [0, 12, 22, 25, 48, 72, 95])
def test_every_slot_can_be_sent_for_a_day_so_that_an_outage_overnight_loses_nothing(
    hours,
):
    edition = friday()
    due_at = FRIDAY + timedelta(hours=hours)

    assert delivery_deadline(edition, due_at) - due_at >= timedelta(hours=24)
    assert delivery_deadline(edition, due_at) >= FRIDAY + timedelta(hours=48)


def test_a_reader_who_moves_to_an_hour_that_has_passed_gets_the_edition():
    friday()
    reader = make.subscriber(hour=7)
    plan.plan_due(at("21 06:00"))
    reader.hour = 20
    reader.save()

    plan.plan_due(at("21 06:15"))
    plan.plan_missed(at("21 06:15"))
    plan.plan_missed(at("21 06:30"))

    assert batch_times() == {reader.pk: [at("21 06:15")]}


@pytest.mark.parametrize(
    "fields",
    [
        {"hour": 7},  # due tomorrow
        {"hour": 10, "confirmed_at": FRIDAY + timedelta(hours=2)},
        {"hour": 10, "paused_until": FRIDAY + timedelta(hours=2)},
        {"hour": 10, "frequency": "weekly"},
        {"hour": 10, "state": "left"},
    ],
)
def test_readers_who_were_not_due_have_missed_nothing(fields):
    friday()
    make.subscriber(**fields)

    assert plan.plan_missed(at("20 12:00")) == []


def test_readers_of_unfinished_batches_have_missed_nothing():
    friday()
    make.subscriber(hour=10)
    plan.plan_due(at("20 10:00"))

    assert plan.plan_missed(at("20 12:00")) == []


def test_an_unknown_time_zone_stops_only_its_reader(caplog):
    friday()
    reader = make.subscriber(hour=10)
    Subscriber.objects.filter(pk=make.subscriber(hour=10).pk).update(zone="Mars/Base")

    plan.plan_due(at("20 10:00"))

    assert list(batch_times()) == [reader.pk]
    assert "readers have an unknown time zone" in caplog.text


def test_an_open_edition_is_not_planned():
    make.edition(papers=0)
    make.subscriber(hour=10)

    assert plan.plan_due(at("20 12:00")) == []


@pytest.mark.parametrize(
    ("zone", "hour", "due"),
    [
        ("UTC", 10, True),  # Friday
        ("UTC", 8, False),  # Saturday
        ("Pacific/Auckland", 7, False),  # Saturday there, Friday in UTC
        ("Pacific/Honolulu", 22, True),  # Saturday in UTC, Friday there
    ],
)
def test_weekday_readers_are_due_if_the_local_date_is_a_weekday(zone, hour, due):
    friday()
    reader = make.subscriber(zone=zone, hour=hour, frequency="weekdays")

    plan.plan_due(FRIDAY + timedelta(hours=25, minutes=30))

    assert (reader.pk in batch_times()) == due


def test_weekly_readers_get_the_newest_edition_on_their_day_even_on_sunday():
    thursday = make.edition(day=date(2026, 11, 19), papers=0)
    make.frozen(thursday, FRIDAY - timedelta(days=1))
    edition = friday()
    sunday = make.subscriber(hour=8, frequency="weekly", weekday=6)
    friday_reader = make.subscriber(hour=10, frequency="weekly", weekday=4)
    make.subscriber(hour=8, frequency="weekly", weekday=2)

    for hour in (0, 12, 24, 36, 48, 60, 72):
        plan.plan_due(FRIDAY + timedelta(hours=hour))

    assert batch_times() == {
        friday_reader.pk: [at("20 10:00")],
        sunday.pk: [at("22 08:00")],
    }
    slots = Slot.objects.filter(batches__isnull=False)
    assert {slot.edition_id for slot in slots} == {edition.pk}


def test_weekly_readers_get_no_edition_older_than_four_days():
    friday()
    make.subscriber(hour=10, frequency="weekly", weekday=1)

    plan.plan_due(at("24 10:00"))

    assert batch_times() == {}


def test_paused_pending_and_unsubscribed_readers_are_not_planned():
    friday()
    make.subscriber(hour=10, state="pending")
    make.subscriber(hour=10, state="left")
    make.subscriber(hour=10, paused_until=FRIDAY + timedelta(days=7))
    awake = make.subscriber(hour=10, paused_until=FRIDAY)

    plan.plan_due(at("20 10:00"))

    assert list(batch_times()) == [awake.pk]


def test_an_audience_is_divided_into_batches_of_equal_size(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", 2)
    friday()
    readers = [make.subscriber(hour=10).pk for _ in range(5)]

    (slot,) = plan.plan_due(at("20 10:00"))

    batches = [batch.readers for batch in slot.batches.order_by("pk")]
    assert batches == [readers[:2], readers[2:4], readers[4:]]
    assert slot.planned_at == at("20 10:00")


def test_interrupted_planning_continues_at_the_cursor(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", 2)
    edition = friday()
    readers = [make.subscriber(hour=10).pk for _ in range(5)]
    slot = Slot.objects.create(edition=edition, at=at("20 10:00"))
    audience = plan.unserved_readers(edition, FRIDAY)
    plan.fill_batch(slot.pk, audience, FRIDAY)

    assert not Batch.objects.claimable().exists()
    plan.plan_due(at("20 10:00"))

    assert sorted(batch_times()) == readers
    assert all(len(times) == 1 for times in batch_times().values())


def test_manual_planning_includes_all_readers_without_the_edition():
    edition = friday()
    had = make.subscriber()
    make.digest(make.batch(edition, [had]), had)
    ada, ben = make.subscriber(hour=1), make.subscriber(hour=2, frequency="weekly")

    slot = plan.plan_all(edition, FRIDAY)

    assert slot.kind == "manual"
    assert slot.planned_at
    assert [batch.readers for batch in slot.batches.all()] == [[ada.pk, ben.pk]]


def test_manual_planning_excludes_readers_who_have_the_edition():
    edition = friday()
    reader = make.subscriber()
    slot = plan.plan_all(edition, FRIDAY)
    make.digest(slot.batches.get(), reader)

    assert plan.plan_all(edition, FRIDAY) is None

    late = make.subscriber()
    assert plan.plan_all(edition, FRIDAY).batches.get().readers == [late.pk]


def test_interrupted_manual_planning_is_resumed(monkeypatch):
    monkeypatch.setattr(Batch, "SIZE", 2)
    edition = friday()
    readers = [make.subscriber().pk for _ in range(3)]
    slot = Slot.objects.create(edition=edition, at=FRIDAY, kind="manual")
    plan.fill_batch(slot.pk, plan.unserved_readers(edition, FRIDAY), FRIDAY)

    resumed = plan.plan_all(edition, FRIDAY + timedelta(hours=1))

    assert resumed == slot
    assert sorted(batch_times()) == readers
    assert Batch.objects.count() == 2


def test_plan_reader_plans_at_once_unless_they_have_the_edition():
    edition = friday()
    ada, left = make.subscriber(), make.subscriber(state="left")

    slot = plan.plan_reader(edition, ada, FRIDAY, Slot.Kind.WELCOME)
    other = plan.plan_reader(edition, make.subscriber(), FRIDAY, Slot.Kind.WELCOME)

    assert slot.planned_at == FRIDAY
    assert slot.batches.get().readers == [ada.pk]
    assert other.at > slot.at
    assert plan.plan_reader(edition, left, FRIDAY, Slot.Kind.MANUAL) is None
    make.digest(slot.batches.get(), ada)
    assert plan.plan_reader(edition, ada, FRIDAY, Slot.Kind.MANUAL) is None
    assert Digest.objects.count() == 1


def queries_to_plan(readers):
    for _ in range(readers):
        make.subscriber(hour=10)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        plan.plan_due(FRIDAY + timedelta(hours=1))
    return len(queries)


def test_planning_costs_the_same_queries_for_two_readers_and_for_two_hundred():
    edition = friday()
    few = queries_to_plan(2)
    Batch.objects.all().delete()
    edition.slots.all().delete()

    assert queries_to_plan(198) == few
