"""The schedule, enqueuing without a broker, and the tasks of sending."""

import gc
import logging
from datetime import timedelta

import pytest
from celery.exceptions import ImproperlyConfigured

from digest import tasks
from digest.celery import VISIBILITY_TIMEOUT_SECONDS, app
from digest.mailer import shutdown
from digest.models import Batch, Digest, Interest
from tests import make


def test_time_limits_end_before_the_visibility_timeout():
    conf = app.conf

    limits = (conf.task_soft_time_limit, conf.task_time_limit)
    assert 0 < limits[0] < limits[1] < VISIBILITY_TIMEOUT_SECONDS


def test_every_scheduled_task_exists():
    named = {entry["task"] for entry in app.conf.beat_schedule.values()}

    app.loader.import_default_modules()
    assert named <= set(app.tasks)


def test_enqueue_best_effort_ignores_an_unreachable_broker(monkeypatch):
    def refuse_connection(*arguments):
        raise tasks.process_feedback.OperationalError("connection refused")

    monkeypatch.setattr(tasks.process_feedback, "delay", refuse_connection)

    assert tasks.enqueue_best_effort(tasks.process_feedback) is None


def test_enqueue_best_effort_raises_other_errors(monkeypatch):
    def misconfigured(*arguments):
        raise ImproperlyConfigured("no such transport")

    monkeypatch.setattr(tasks.process_feedback, "delay", misconfigured)

    with pytest.raises(ImproperlyConfigured):
        tasks.enqueue_best_effort(tasks.process_feedback)


@pytest.mark.django_db
def test_reconciliation_errors_are_logged(caplog):
    edition = make.frozen(make.edition(papers=1))
    batch = make.batch(edition, [make.subscriber()], state="done")
    tasks.log_reconciliation_errors(make.NOW)
    assert "1 of 1 readers have no outcome" in caplog.text

    caplog.clear()
    make.digest(batch, make.subscriber(), outcome="accepted")
    batch.readers = list(Digest.objects.values_list("subscriber_id", flat=True))
    batch.save()
    tasks.log_reconciliation_errors(make.NOW)

    assert caplog.text == ""


@pytest.fixture
def three_batches(settings, tmp_path):
    settings.MAIL_DIR = tmp_path
    edition = make.frozen(make.edition(papers=1))
    for _ in range(3):
        make.batch(edition, [make.subscriber()], kind="manual")
    return edition


@pytest.mark.django_db
def test_send_planned_batches_reports_whether_batches_are_left(
    three_batches,
):
    assert not tasks.send_planned_batches(seconds=0.0)
    assert not Digest.objects.exists()
    assert tasks.send_planned_batches()
    assert Digest.objects.count() == 3


@pytest.mark.django_db
def test_garbage_collection_is_deferred_while_batches_are_sent_and_resumed_after_an_error(
    three_batches,
):
    states = []

    def stop_sending():
        states.append(gc.isenabled())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tasks.send_planned_batches(report=stop_sending)

    assert states == [False]
    assert gc.isenabled()


@pytest.mark.django_db
def test_worker_in_shutdown_claims_no_batch(three_batches):
    shutdown.request_shutdown()

    try:
        tasks.send_planned_batches()
    finally:
        shutdown.FLAG[0] = 0

    assert set(Batch.objects.values_list("state", flat=True)) == {"planned"}


@pytest.mark.django_db
def test_send_batches_enqueues_itself_until_all_are_sent(
    three_batches, eager, monkeypatch
):
    monkeypatch.setattr(tasks, "SEND_TURN_SECONDS", 1e-6)
    requests = []
    monkeypatch.setattr(
        tasks.send_batches, "apply_async", lambda **options: requests.append(options)
    )

    tasks.send_batches()

    assert requests == [{"expires": tasks.SEND_REQUEST_EXPIRES_SECONDS}]


@pytest.mark.django_db
def test_prune_reader_data_deletes_expired_follows_and_interests(ada):
    old_interest = make.interest("paper", "2611.00001")
    row = ada.follows.create(interest=old_interest, weight=0.25, source="opened")
    type(row).objects.update(created_at=make.NOW - timedelta(days=400))
    current = ada.follows.create(interest=make.interest("keyword", "int4"))

    tasks.prune_reader_data()

    assert list(ada.follows.all()) == [current]
    assert list(Interest.objects.all()) == [current.interest]


@pytest.mark.django_db
def test_the_log_of_a_day_names_each_step(caplog, time_machine, ada, eager):
    caplog.set_level(logging.INFO, logger="digest.tasks")
    time_machine.move_to(make.NOW - make.hours(1), tick=False)
    for _ in range(3):
        make.paper()
    ada.zone, ada.hour = "UTC", 9
    ada.save()

    tasks.rank_newest_edition(make.NOW - make.hours(1))
    time_machine.move_to(make.NOW, tick=False)
    tasks.freeze_and_plan()

    steps = [row.message for row in caplog.records if row.name == "digest.tasks"]
    names = ["edition ranked", "edition frozen", "readers planned", "batch sent"]
    for name, step in zip(names, steps, strict=True):
        assert f"event='{name}'" in step
    assert all("edition='2026-11-20'" in step for step in steps)
    assert "batches=1" in steps[2]
    assert "accepted=1" in steps[3]
    assert "@" not in caplog.text
