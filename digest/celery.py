"""The one timetable, and the Celery application that keeps it."""

import os

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_shutting_down
from django.conf import settings

from digest.mailer import shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digest.settings")

# A killed worker's task comes back after this: longer than the longest task, or
# a live one would be started twice (Redis transport, measured).
VISIBILITY_SECONDS = 3600
# No task takes as long, unless something hangs that no other bound covers: a source may
# send one sign of a header at a time, for days. It is interrupted, and then ended.
INTERRUPTED_SECONDS, ENDED_SECONDS = 3000, 3300

app = Celery("digest")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_soft_time_limit=INTERRUPTED_SECONDS,
    task_time_limit=ENDED_SECONDS,
    broker_connection_retry_on_startup=True,
    timezone="UTC",
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=3.0,
)
if settings.REDIS_URL:
    app.conf.update(
        broker_url=settings.REDIS_URL,
        broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
    )
else:
    folder = settings.VAR / "broker"
    for name in ("queue", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    app.conf.update(
        broker_url="filesystem://",
        broker_transport_options={
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "control_folder": str(folder / "control"),
        },
    )
app.autodiscover_tasks()
worker_shutting_down.connect(shutdown.ask)

# arXiv's feeds are rebuilt at midnight US Eastern, Monday to Friday: 04:00 UTC in
# summer and 05:00 in winter, sometimes late by hours. They are asked for until the
# day's papers are here; once they are, a poll asks nobody. OAI-PMH is asked once a day
# whether the feeds told everything: after them, or two hours after they were due. What
# never came is sought there after the calendar's grace. Hugging Face grows all day.
app.conf.beat_schedule = {
    "the day's announcements": {
        "task": "digest.tasks.ingest",
        "schedule": crontab(minute="*/20", hour="4-23", day_of_week="mon-fri"),
    },
    "what the feeds told, against OAI-PMH": {
        "task": "digest.tasks.ingest_check",
        "schedule": crontab(minute="35", hour="4-23", day_of_week="mon-fri"),
    },
    "days that were left out": {
        "task": "digest.tasks.ingest_gaps",
        "schedule": crontab(minute="50", hour="3,15,20"),
    },
    "what was left lying": {
        "task": "digest.tasks.ingest_left",
        "schedule": crontab(minute="7-57/10"),
    },
    "what readers brought": {
        "task": "digest.tasks.ingest_brought",
        "schedule": crontab(minute="3-53/10"),
    },
    "old readings that brought nothing": {
        "task": "digest.tasks.trim_ledger",
        "schedule": crontab(minute="20", hour="3"),
    },
    "votes and comments": {
        "task": "digest.tasks.ingest_attention",
        "schedule": crontab(minute="40", hour="*/2"),
    },
    "freeze, plan and send": {
        "task": "digest.tasks.tick",
        "schedule": crontab(minute="*/15"),
    },
    # Each worker that is free takes part; what was refused for now is tried again.
    # A queue that is behind needs no second request.
    "send what waits": {
        "task": "digest.tasks.drain",
        "schedule": 60.0,
        "options": {"expires": 50},
    },
    "what the mail provider reported": {
        "task": "digest.tasks.act_on_events",
        "schedule": crontab(minute="*/5"),
    },
    "what was opened long ago, and what nobody follows": {
        "task": "digest.tasks.forget",
        "schedule": crontab(minute="20", hour="3"),
    },
    "addresses that were never confirmed": {
        "task": "accounts.tasks.purge_expired",
        "schedule": crontab(minute="50", hour="3"),
    },
}
app.conf.beat_schedule_filename = str(settings.VAR / "beat-schedule")
