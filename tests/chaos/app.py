"""The Celery application of a chaos run: schedules in seconds; CHAOS_HURRY also shortens leases."""

import os
from datetime import timedelta

from digest.celery import app

app.conf.beat_schedule = {
    name: {"task": f"digest.tasks.{name}", "schedule": 1.0, "options": {"expires": 5}}
    for name in ("freeze_and_plan", "send_batches", "process_feedback")
}


@app.on_after_finalize.connect
def shorten_timeouts(**_):
    from digest import tasks
    from digest.mailer import claims, deliver
    from digest.mailer.transports import sendgrid, smtp
    from digest.models import Batch

    tasks.SEND_TURN_SECONDS = 5.0
    deliver.RETRY_BACKOFF = timedelta(seconds=2)
    if os.environ.get("CHAOS_HURRY"):
        Batch.SIZE = 25
        claims.LEASE = deliver.LEASE = timedelta(seconds=8)
        sendgrid.HTTP_TIMEOUT_S = smtp.SMTP_TIMEOUT_S = 2
