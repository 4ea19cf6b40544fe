"""Alarms for failing checks and votes, old gaps, empty days and unread categories."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import call_command

from digest.ingest import monitoring, run_source
from digest.ingest.monitoring import Health
from digest.models import Heartbeat, IngestRun
from digest.models.operations import BEAT, worker_heartbeat
from tests import make
from tests.ingest.fake_sources import batch
from tests.make import DAY

pytestmark = [pytest.mark.django_db, pytest.mark.both]
# 16:00 UTC is after the grace time of the day's feed.
FRIDAY = datetime(2026, 11, 20, 16, tzinfo=UTC)


@pytest.fixture(autouse=True)
def heartbeats(db, settings):
    """Beat and workers that run, at whatever time."""
    for name in (BEAT, *map(worker_heartbeat, settings.WORKER_QUEUES)):
        Heartbeat.objects.record(name, datetime(2100, 1, 1, tzinfo=UTC))


def add_run(kind, at, state="done", **fields):
    source = "huggingface" if kind == "huggingface" else "arxiv"
    return IngestRun.objects.create(
        kind=kind, source=source, origin="x", state=state, started_at=at, **fields
    )


def add_check(day, state="done", set_spec="cs", hour=5):
    at = datetime(2026, 11, day, hour, 35, tzinfo=UTC)
    return add_run("daily_check", at, state, set_spec=set_spec)


def alarm_texts(kind, now=FRIDAY):
    return [alarm.text for alarm in monitoring.find_alarms(now) if alarm.kind == kind]


@pytest.mark.parametrize(
    ("last_success", "health", "status"),
    [(20, Health.OK, 200), (19, Health.DEGRADED, 200), (18, Health.DOWN, 503)],
)
def test_failing_daily_check_is_degraded_after_one_day_and_down_after_two(
    last_success, health, status, client, settings, time_machine
):
    time_machine.move_to(FRIDAY)
    settings.ARXIV_CATEGORIES = ["cs.LG"]
    for day in (16, 17, 18, 19, 20):
        make.paper(announced_on=date(2026, 11, day))
        add_check(day, "done" if day <= last_success else "failed")

    response = client.get("/health")

    assert monitoring.check_health(FRIDAY) == health
    assert (response.status_code, response.json()["daily_check"]) == (status, health)
    assert bool(alarm_texts("Unchecked")) == (health != Health.OK)


def test_weekend_without_a_check_is_healthy(settings):
    settings.ARXIV_CATEGORIES = ["cs.LG"]
    add_check(20)

    assert monitoring.check_health(FRIDAY + timedelta(days=2)) == Health.OK
    assert monitoring.check_health(FRIDAY + timedelta(days=2, hours=12)) == Health.OK
    assert monitoring.check_health(FRIDAY + timedelta(days=3)) == Health.DEGRADED


def test_one_failing_set_is_degraded_though_the_others_succeed(settings):
    settings.ARXIV_CATEGORIES = ["cs.LG", "stat.ML"]
    add_check(19)
    add_check(20)
    add_check(19, set_spec="stat")
    add_check(20, "failed", set_spec="stat")

    assert monitoring.check_health(FRIDAY) == Health.DEGRADED


def test_daily_check_is_healthy_where_oai_pmh_is_disabled(settings):
    settings.ARXIV_OAI_URL = ""
    add_check(10)

    assert monitoring.check_health(FRIDAY) == Health.OK


@pytest.mark.parametrize(
    ("hours", "health", "status"),
    [(23, Health.OK, 200), (25, Health.DEGRADED, 200), (49, Health.DOWN, 503)],
)
def test_votes_are_degraded_after_one_day_and_down_after_two(
    hours, health, status, client, time_machine
):
    time_machine.move_to(FRIDAY)
    add_run("huggingface", FRIDAY - timedelta(hours=hours))
    add_run("huggingface", FRIDAY - timedelta(hours=1), "failed")
    add_run("document", FRIDAY - timedelta(hours=1))

    response = client.get("/health")

    assert (response.status_code, response.json()["attention"]) == (status, health)
    expected = {200: "degraded" if health == Health.DEGRADED else "ok", 503: "failing"}
    assert response.json()["status"] == expected[status]


# Lagging categories


@pytest.mark.parametrize(
    ("usual", "number", "is_lagging"),
    [(6, 1, False), (7, 2, False), (10, 2, True), (5, 0, True), (60, 15, True)],
)
def test_few_papers_of_a_small_category_lag_only_where_chance_cannot_explain_them(
    usual, number, is_lagging, settings
):
    settings.ARXIV_CATEGORIES = ["cs.AI", "cs.LG"]
    for back in range(1, 4):
        for _ in range(usual):
            make.paper(announced_on=DAY - timedelta(days=back), primary="cs.AI")
    for _ in range(number):
        make.paper(primary="cs.AI")
    make.paper(primary="cs.LG")

    assert monitoring.lagging_categories(DAY) == (["cs.AI"] if is_lagging else [])


# Days


def test_gap_beyond_the_look_back_is_offered_as_one_backfill():
    days = [date(2026, 10, 16), *(DAY - timedelta(days=back) for back in range(5))]
    for day in days:
        make.paper(announced_on=day)

    (text,) = alarm_texts("Gap")

    first, last = monitoring.old_gaps(FRIDAY)[0], monitoring.old_gaps(FRIDAY)[-1]
    assert (first, last) == (date(2026, 10, 19), date(2026, 10, 29))
    assert "No papers of 9 announcement days between 19 October and 29 October" in text
    assert text.endswith("Run: manage.py backfill --since 2026-10-19")
    assert not set(monitoring.missing_days(FRIDAY)) & set(monitoring.old_gaps(FRIDAY))


def test_site_without_old_gaps_offers_no_backfill():
    make.paper()

    assert monitoring.old_gaps(FRIDAY) == []
    assert alarm_texts("Gap") == []


def test_weekday_with_an_empty_feed_is_empty_and_not_missing(
    sources, client, time_machine
):
    time_machine.move_to(FRIDAY)
    make.paper(announced_on=DAY - timedelta(days=1))
    sources.announced = []
    run_source.poll_feed(FRIDAY)

    status = client.get("/health").json()

    assert (status["empty"], status["ingest"]) == (["2026-11-20"], "ok")
    (text,) = alarm_texts("Empty")
    assert "was empty, and the day is not on the list of holidays" in text
    assert alarm_texts("Missing") == []


def test_holidays_of_the_setting_are_expected_to_be_empty(settings, sources):
    settings.ARXIV_HOLIDAYS = frozenset({DAY - timedelta(days=1)})
    make.paper(announced_on=DAY - timedelta(days=1))
    sources.announced = []

    (run,) = run_source.ingest_feed(FRIDAY)

    assert run.note == "empty, as expected: a holiday"
    assert monitoring.missing_days(FRIDAY) == []


def test_holidays_of_the_setting_extend_the_calendar(settings):
    now = datetime(2026, 12, 20, tzinfo=UTC)
    assert len(alarm_texts("Calendar", now)) == 1

    settings.ARXIV_HOLIDAYS = frozenset({date(2027, 1, 1), date(2027, 1, 18)})

    assert alarm_texts("Calendar", now) == []


def test_empty_weekday_of_an_unlisted_year_is_not_on_the_list_of_holidays(sources):
    tuesday = datetime(2027, 3, 9, 16, tzinfo=UTC)
    make.paper(announced_on=date(2027, 3, 8))
    sources.feed_day, sources.announced = tuesday.date(), []

    (run,) = run_source.ingest_feed(tuesday)

    assert run.note == "empty, not on the list of holidays: requested again"


# Unread categories


def test_follows_of_unread_categories_are_counted_for_the_operator(settings):
    settings.ARXIV_CATEGORIES = ["cs"]
    for category in ("math.AG", "math.AG", "hep-th", "cs.LG", "cs"):
        reader = make.subscriber()
        reader.follows.create(interest=make.interest("category", category))

    assert monitoring.unread_follows() == [("math.AG", 2), ("hep-th", 1)]
    (text,) = alarm_texts("Unread")
    assert "math.AG (2 readers), hep-th (1 reader)" in text


def test_shipped_topics_without_an_ingested_category_are_named(settings):
    settings.ARXIV_CATEGORIES = ["cs", "stat.ML", "q-bio", "physics", "astro-ph"]

    (message,) = run_checks(tags=["topics"], include_deployment_checks=True)

    assert message.msg == (
        "Topics have no category that is ingested: Quantum (quant-ph)."
    )
    assert run_checks(tags=["topics"]) == []  # not before every command
    settings.ARXIV_CATEGORIES += ["quant-ph"]
    assert run_checks(tags=["topics"], include_deployment_checks=True) == []


# The command


def test_ingest_prints_the_state_of_the_feed_and_refused_records(
    sources, capsys, time_machine
):
    time_machine.move_to(FRIDAY)
    sources.feed_day = DAY - timedelta(days=1)
    sources.announced = batch(sources.feed_day, 12)
    sources.faults["feed"] = [without_first_announce_type]

    call_command("ingest")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(
        "new 11, updated 0, unchanged 0 (late: still the feed of 2026-11-19)"
    )
    assert lines[1].startswith("  refused oai:arXiv.org:2611.19001v1: ")
    (run,) = IngestRun.objects.filter(kind="feed")
    assert len(run.refused_records) == 1


def without_first_announce_type(answer):
    body = answer.get_data()
    start, end = body.index(b"<arxiv:announce_type>"), body.index(b"</arxiv:announce")
    return type(answer)(body[:start] + b"<arxiv:announce_type>odd" + body[end:])
