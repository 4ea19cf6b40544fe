"""Health checks and robots.txt."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from digest.ingest.sources import arxiv_calendar
from digest.models import Heartbeat, IngestRun, SendingPause
from digest.models.operations import BEAT, worker_heartbeat
from tests import make
from tests.site.conftest import body


def ingest_run(hours_ago, state="done"):
    at = timezone.now() - timedelta(hours=hours_ago)
    IngestRun.objects.create(source="arxiv", origin="x", state=state, started_at=at)


@pytest.fixture(autouse=True)
def heartbeats(request, settings):
    """Beat and workers that run, at whatever time."""
    if "db" in request.fixturenames:
        request.getfixturevalue("db")
        future = datetime(2100, 1, 1, tzinfo=UTC)
        for name in (BEAT, *map(worker_heartbeat, settings.WORKER_QUEUES)):
            Heartbeat.objects.record(name, future)


@pytest.fixture
def friday_afternoon(time_machine):
    time_machine.move_to(datetime(2026, 11, 20, 16, 0, tzinfo=UTC))


def test_health_is_good_on_a_new_site_and_after_a_recent_run(client, db):
    assert client.get("/health").status_code == 200

    ingest_run(2)
    assert client.get("/health").json()["ingest"] == "ok"


def test_health_is_bad_when_recent_runs_failed(client, db):
    ingest_run(40)
    ingest_run(1, "failed")

    response = client.get("/health")

    assert (response.status_code, response.json()["ingest"]) == (503, "stale")


@pytest.mark.parametrize(
    ("days", "missing", "status", "ingest"),
    [
        ([19], "2026-11-20", 503, "a day is missing"),
        ([12, 16, 17, 18, 19, 20], "2026-11-13", 200, "ok"),
    ],
)
def test_health_is_bad_only_while_a_recent_day_is_missing(
    client, db, friday_afternoon, days, missing, status, ingest
):
    ingest_run(1)
    for day in days:
        make.paper(announced_on=date(2026, 11, day))

    response = client.get("/health")

    assert (response.status_code, response.json()["ingest"]) == (status, ingest)
    assert response.json()["missing"] == [missing]


@pytest.mark.parametrize(
    ("is_automatic", "sending", "status"),
    [(True, "paused automatically", 503), (False, "paused manually", 200)],
)
def test_health_is_bad_while_sending_is_paused_automatically(
    client, db, is_automatic, sending, status
):
    assert client.get("/health").json()["sending"] == "ok"
    SendingPause.objects.trigger(
        "401 secret detail", timezone.now(), is_automatic=is_automatic
    )

    response = client.get("/health")

    assert (response.status_code, response.json()["sending"]) == (status, sending)
    assert "secret detail" not in body(response)
    SendingPause.objects.all().release(timezone.now())
    assert client.get("/health").json()["sending"] == "ok"


def test_health_reports_daily_checks_and_the_end_of_the_calendar(client, db):
    ingest_run(2)
    IngestRun.objects.update(kind="daily_check", missed=3)

    status = client.get("/health").json()

    assert (status["checked"]["missed"], status["checked"]["corrected"]) == (3, 0)
    assert status["checked"]["last"] == status["newest"]
    assert (
        status["holidays_known_until"]
        == arxiv_calendar.holidays_known_until().isoformat()
    )


@pytest.mark.parametrize("host", ["testserver", "10.42.8.201:8000", "example.org"])
def test_alive_answers_any_host_without_the_database(client, settings, host):
    settings.SECURE_SSL_REDIRECT = True

    response = client.get("/alive", headers={"Host": host})

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"


def test_health_is_bad_without_a_database(client, db):
    def fail(*_):
        raise OperationalError("no route")

    with connection.execute_wrapper(fail):
        response = client.get("/health")

    assert response.status_code == 503
    assert "no route" not in body(response)


def test_robots_txt_excludes_pages_with_keys(client):
    robots = body(client.get("/robots.txt"))

    for path in ("d", "preferences", "digests", "submit", "unsubscribe", "confirm"):
        assert f"Disallow: /{path}/" in robots
