"""Alarms: dead processes, overdue freezes, waiting batches and forgotten pauses."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from celery.signals import after_task_publish
from django.db import OperationalError, connection
from django.urls import reverse
from kombu.exceptions import OperationalError as BrokerError

from digest import alarms, beat_lock, celery, tasks
from digest.celery import HEARTBEAT_TASK, app, record_beat_heartbeat, watch_beat
from digest.models import Edition, Heartbeat, SendingPause
from digest.models.operations import BEAT
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(time_machine):
    """The clock stands at make.NOW."""
    time_machine.move_to(make.NOW, tick=False)
    return time_machine


@pytest.fixture(autouse=True)
def release_beat_lock():
    yield
    while beat_lock._held:
        beat_lock._held.pop().close()


@pytest.fixture
def heartbeats(settings):
    """Fresh heartbeats of every process."""
    Heartbeat.objects.record(BEAT, make.NOW)
    for queue in settings.WORKER_QUEUES:
        tasks.record_worker_heartbeat(queue)


def kinds():
    return [alarm.kind for alarm in alarms.find_alarms(make.NOW)]


def age_heartbeat(name, minutes):
    Heartbeat.objects.filter(name=name).update(at=make.NOW - make.hours(minutes / 60))


@pytest.mark.both
def test_running_processes_raise_no_alarm(heartbeats):
    assert kinds() == []


def test_new_site_without_beat_raises_an_alarm():
    assert kinds() == ["beat"]


@pytest.mark.parametrize(("minutes", "expected"), [(4, []), (6, ["beat"])])
def test_dead_beat(heartbeats, minutes, expected):
    age_heartbeat(BEAT, minutes)
    age_heartbeat("worker celery", 60 if expected else 0)

    assert kinds() == expected


@pytest.mark.parametrize(("minutes", "expected"), [(9, []), (11, ["worker celery"])])
def test_dead_worker(heartbeats, minutes, expected):
    age_heartbeat("worker celery", minutes)

    assert kinds() == expected


@pytest.mark.django_db(transaction=True)
def test_beat_stores_its_heartbeat_and_logs_a_dead_worker(caplog):
    record_beat_heartbeat("digest.tasks.send_batches")
    assert not Heartbeat.objects.exists()

    record_beat_heartbeat(HEARTBEAT_TASK)

    assert Heartbeat.objects.get().name == BEAT
    assert "No worker of the queue celery" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_beat_judges_no_worker_until_heartbeats_could_arrive(caplog, monkeypatch):
    monkeypatch.setattr(celery, "_judges_workers_from_s", time.monotonic() + 60)

    record_beat_heartbeat(HEARTBEAT_TASK)

    assert Heartbeat.objects.filter(name=BEAT).exists()
    assert "No worker" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_beat_survives_an_unreachable_database(caplog):
    def fail(*_):
        raise OperationalError("no route")

    with connection.execute_wrapper(fail):
        record_beat_heartbeat(HEARTBEAT_TASK)

    assert "database is unavailable" in caplog.text


def test_beat_enqueues_a_heartbeat_for_every_queue_when_it_starts(
    settings, monkeypatch
):
    sent = []

    def send(name, arguments, **options):
        sent.append((name, *arguments, options["queue"]))
        raise BrokerError("down")

    monkeypatch.setattr(app, "send_task", send)
    monkeypatch.setattr(celery, "_judges_workers_from_s", 0.0)  # restored at the end
    entries = app.conf.beat_schedule.values()
    watch_beat()

    queues = {e["args"][0] for e in entries if e["task"] == HEARTBEAT_TASK}

    assert queues == set(settings.WORKER_QUEUES)
    assert set(sent) == {(HEARTBEAT_TASK, queue, queue) for queue in queues}
    assert celery._judges_workers_from_s > time.monotonic()
    assert after_task_publish.disconnect(record_beat_heartbeat)


@pytest.mark.parametrize(("megabytes", "expected"), [(199, ["disk"]), (201, [])])
def test_full_disk(heartbeats, monkeypatch, megabytes, expected):
    usage = SimpleNamespace(free=megabytes * 1_000_000)
    monkeypatch.setattr(alarms.shutil, "disk_usage", lambda _: usage)

    assert kinds() == expected


@pytest.mark.parametrize(("seconds", "expected"), [(4, []), (-6, ["clock"])])
def test_wrong_clock(heartbeats, monkeypatch, seconds, expected):
    difference = timedelta(seconds=seconds)
    monkeypatch.setattr(alarms, "read_database_clock", lambda: make.NOW + difference)

    assert kinds() == expected


@pytest.mark.parametrize(("hour", "expected"), [(8, ["freeze"]), (9, [])])
def test_overdue_freeze(heartbeats, settings, hour, expected):
    settings.FREEZE_AT = settings.FREEZE_AT.replace(hour=hour)
    make.edition()
    make.edition(make.DAY.replace(day=18), papers=0)  # never freezes

    assert kinds() == expected


@pytest.mark.parametrize(
    ("minutes", "state", "expected"),
    [(31, "planned", ["batches"]), (29, "planned", []), (31, "done", [])],
)
def test_waiting_batch(heartbeats, minutes, state, expected):
    due = make.NOW - make.hours(minutes / 60)
    make.batch(make.frozen(make.edition(), due), [make.subscriber()], due, state=state)

    assert kinds() == expected


def test_batches_of_expired_editions_raise_no_alarm(heartbeats):
    due = make.NOW - make.hours(49)
    make.batch(make.frozen(make.edition(), due), [make.subscriber()], due)

    assert kinds() == []


def test_paused_batches_raise_an_alarm_after_a_day(heartbeats):
    due = make.NOW - make.hours(25)
    edition = make.frozen(make.edition(), due)
    make.batch(edition, [make.subscriber()], due)
    SendingPause.objects.trigger("by an operator", make.NOW - make.hours(23), edition)
    assert kinds() == []

    SendingPause.objects.update(at=make.NOW - make.hours(25))

    assert kinds() == ["pause"]


def test_health_today_and_log_report_alarms(heartbeats, admin_client, caplog):
    make.edition(papers=1)
    assert admin_client.get("/health").status_code == 200
    age_heartbeat(BEAT, 6)

    response = admin_client.get("/health")
    today = admin_client.get(reverse("admin:index")).content.decode()

    assert response.status_code == 503
    assert response.json()["alarms"] == [
        "Beat has enqueued nothing since 20 Nov, 08:54 UTC: it or the broker is down."
    ]
    assert (
        "Beat has enqueued nothing since 20 Nov, 08:54 UTC: it or the broker is down."
        in today
    )
    assert "Beat has enqueued nothing" in caplog.text


def test_freeze_and_plan_logs_alarms(heartbeats, eager, caplog, settings, tmp_path):
    settings.MAIL_DIR = tmp_path
    age_heartbeat(BEAT, 6)

    tasks.freeze_and_plan()

    assert "Beat has enqueued nothing" in caplog.text
    assert not Edition.objects.exists()


def test_readers_whose_edition_expired(heartbeats):
    edition = make.frozen(make.edition(papers=1), make.NOW - make.hours(72))
    batch = make.batch(edition, [reader := make.subscriber()], state="done")
    make.digest(batch, reader, outcome="skipped", reason="expired")

    (alarm,) = alarms.find_alarms(make.NOW)
    later = alarms.find_alarms(make.NOW + make.hours(48))

    assert alarm == (
        "expired",
        "The edition of 20 Nov 2026 expired before 1 reader got it.",
    )
    assert alarm not in later
