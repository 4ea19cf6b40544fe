"""The Celery application and its schedule."""

import os
import time
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import (
    after_task_publish,
    beat_init,
    worker_init,
    worker_shutting_down,
)
from django.conf import settings
from kombu import Queue
from kombu.exceptions import OperationalError

from digest import log_context  # noqa: F401  (connects signals)
from digest.checks import exit_on_wrong_settings
from digest.mailer import shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digest.settings")

# Redis delivers an unacknowledged task again after this time. It exceeds the time limits
# below, or a running task would be started twice.
VISIBILITY_TIMEOUT_SECONDS = 3600
# Bounds for tasks that hang where no other timeout applies, such as a source that sends
# one byte of a header at a time.
TASK_SOFT_LIMIT_SECONDS, TASK_HARD_LIMIT_SECONDS = 3000, 3300

# Events, welcome digests and account mails: a worker of their own takes them while the
# others send an edition. A worker without --queues takes both queues.
URGENT = "urgent"


def filesystem_broker_settings() -> dict[str, Any]:
    """Create the folders of the broker that replaces Redis, and return Celery's settings for it."""
    folder = settings.VAR / "broker"
    for name in ("queue", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://",
        "broker_transport": "digest.filesystem_broker:Transport",
        "broker_transport_options": {
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "control_folder": str(folder / "control"),
        },
    }


app = Celery("digest")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_soft_time_limit=TASK_SOFT_LIMIT_SECONDS,
    task_time_limit=TASK_HARD_LIMIT_SECONDS,
    broker_connection_retry_on_startup=True,
    timezone="UTC",
    worker_hijack_root_logger=False,
    # A task whose connection to the broker was lost goes on; Redis delivers it again later,
    # when nothing is left to do. Celery warns unless this is stated.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_soft_shutdown_timeout=3.0,
    task_queues=[Queue(name) for name in settings.WORKER_QUEUES],
    task_routes={
        "digest.tasks.process_feedback": {"queue": URGENT},
        "digest.tasks.poll_bounce_mailbox": {"queue": URGENT},
        "digest.tasks.send_welcome_digest": {"queue": URGENT},
        "accounts.tasks.send_account_mail": {"queue": URGENT},
        "accounts.tasks.send_due_mails": {"queue": URGENT},
    },
)
if settings.REDIS_URL:
    app.conf.update(
        broker_url=settings.REDIS_URL,
        broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_SECONDS},
    )
else:
    app.conf.update(filesystem_broker_settings())
app.autodiscover_tasks()
for starting in (beat_init, worker_init):
    starting.connect(exit_on_wrong_settings)
worker_shutting_down.connect(shutdown.request_shutdown)

# arXiv rebuilds its feeds at midnight US Eastern, Monday to Friday: 04:00 UTC in summer
# and 05:00 in winter, sometimes hours late. Polling ends when the day's papers are stored.
# The daily check compares them with OAI-PMH, and days that are still missing are fetched
# from there. Votes on Hugging Face change all day.
app.conf.beat_schedule = {
    "ingest announcements": {
        "task": "digest.tasks.ingest_announcements",
        "schedule": crontab(minute="*/20", hour="4-23", day_of_week="mon-fri"),
    },
    "check feeds against OAI-PMH": {
        "task": "digest.tasks.run_daily_check",
        "schedule": crontab(minute="35", hour="4-23", day_of_week="mon-fri"),
    },
    "fill missing days": {
        "task": "digest.tasks.fill_missing_days",
        "schedule": crontab(minute="50", hour="3,15,20"),
    },
    "resume abandoned ingest runs": {
        "task": "digest.tasks.resume_abandoned_runs",
        "schedule": crontab(minute="7-57/10"),
    },
    "fetch reader requests": {
        "task": "digest.tasks.fetch_reader_requests",
        "schedule": crontab(minute="3-53/10"),
    },
    "prune ingest runs": {
        "task": "digest.tasks.prune_ingest_runs",
        "schedule": crontab(minute="20", hour="3"),
    },
    "collect votes and comments": {
        "task": "digest.tasks.collect_attention",
        "schedule": crontab(minute="40", hour="*/2"),
    },
    "fetch thumbnails": {
        "task": "digest.tasks.fetch_thumbnails",
        "schedule": crontab(minute="55", hour="*/2"),
    },
    "freeze and plan": {
        "task": "digest.tasks.freeze_and_plan",
        "schedule": crontab(minute="*/15"),
    },
    # Every idle worker takes part, and deferred batches are tried again. A request that
    # waited longer than the interval is dropped.
    "send planned batches": {
        "task": "digest.tasks.send_batches",
        "schedule": 60.0,
        "options": {"expires": 50},
    },
    "process feedback": {
        "task": "digest.tasks.process_feedback",
        "schedule": crontab(minute="*/5"),
    },
    "poll bounce mailbox": {
        "task": "digest.tasks.poll_bounce_mailbox",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 240},
    },
    "prune reader data": {
        "task": "digest.tasks.prune_reader_data",
        "schedule": crontab(minute="20", hour="3"),
    },
    # Four times a day, so that the last count of a day is near its end in every time zone.
    "update daily figures": {
        "task": "digest.tasks.update_daily_figures",
        "schedule": crontab(minute="25", hour="*/6"),
    },
    "send waiting account mails": {
        "task": "accounts.tasks.send_due_mails",
        "schedule": 60.0,
        "options": {"expires": 50},
    },
    "continue imports of readers": {
        "task": "accounts.tasks.continue_imports",
        "schedule": 120.0,
        "options": {"expires": 110},
    },
    "prune unconfirmed sign-ups": {
        "task": "accounts.tasks.purge_expired",
        "schedule": crontab(minute="50", hour="3"),
    },
}
HEARTBEAT_TASK = "digest.tasks.record_worker_heartbeat"
app.conf.beat_schedule |= {
    f"heartbeat of queue {queue}": {
        "task": HEARTBEAT_TASK,
        "schedule": 60.0,
        "args": [queue],
        "options": {"queue": queue, "expires": 300},
    }
    for queue in settings.WORKER_QUEUES
}


# Without beat no worker has a heartbeat, so a beat that has just started judges none yet.
_judges_workers_from_s = 0.0


@beat_init.connect
def watch_beat(**_: Any) -> None:
    from digest import alarms, beat_lock

    global _judges_workers_from_s
    beat_lock.wait_for_lock()
    _judges_workers_from_s = time.monotonic() + alarms.MAX_WORKER_AGE.total_seconds()
    after_task_publish.connect(record_beat_heartbeat)
    enqueue_heartbeats()


def enqueue_heartbeats() -> None:
    """Enqueue the first heartbeats at once, so that a new installation does not look dead."""
    for entry in app.conf.beat_schedule.values():
        if entry["task"] != HEARTBEAT_TASK:
            continue
        with suppress(
            OperationalError
        ):  # the broker is down: beat tries again in a minute
            app.send_task(HEARTBEAT_TASK, entry["args"], **entry["options"])


def record_beat_heartbeat(sender: str, **_: Any) -> None:
    """Store that beat enqueued a heartbeat; log dead workers, which cannot log it themselves."""
    if sender != HEARTBEAT_TASK:
        return
    from django.db import DatabaseError, connection
    from django.utils import timezone

    from digest import alarms, beat_lock
    from digest.models import Heartbeat
    from digest.models.operations import BEAT

    try:
        beat_lock.keep_lock()
        Heartbeat.objects.record(BEAT, timezone.now())
        if time.monotonic() < _judges_workers_from_s:
            return
        for alarm in alarms.find_dead_processes(timezone.now()):
            alarms.log.error("alarm", kind=alarm.kind, text=alarm.text)
    except DatabaseError as error:
        alarms.log.error("database is unavailable", error=str(error))
    finally:
        connection.close_if_unusable_or_obsolete()


app.conf.beat_schedule_filename = str(settings.VAR / "beat-schedule")
