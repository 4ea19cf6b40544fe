"""The Celery application with a schedule of one second: `celery -A tests.celery_every_second …`."""

from digest.celery import app

app.conf.beat_schedule = {
    "freeze, plan and send": {"task": "digest.tasks.freeze_and_plan", "schedule": 1.0}
}
