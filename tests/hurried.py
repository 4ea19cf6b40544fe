"""The Celery application with a clock that ticks every second: `celery -A tests.hurried …`."""

from digest.celery import app

app.conf.beat_schedule = {
    "freeze, plan and send": {"task": "digest.tasks.tick", "schedule": 1.0}
}
