"""Alarms: states of the service in which an operator must act."""

import shutil
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone
from django.utils.formats import date_format

from digest.models import (
    Batch,
    Candidate,
    Digest,
    Edition,
    Heartbeat,
    SendingPause,
)
from digest.models.digests import DatabaseNow
from digest.models.editions import EXPIRES_AFTER
from digest.models.operations import BEAT, BOUNCE_MAILBOX, worker_heartbeat

log = structlog.get_logger(__name__)

# Beat enqueues a heartbeat every minute.
MAX_BEAT_AGE = timedelta(minutes=5)
# A heartbeat may wait behind other tasks; sending takes up to a minute.
MAX_WORKER_AGE = timedelta(minutes=10)
MAX_FREEZE_DELAY = timedelta(minutes=30)
MAX_BATCH_DELAY = timedelta(minutes=30)
MAX_PAUSE_AGE = timedelta(days=1)
# The bounce mailbox is read every five minutes.
MAX_MAILBOX_AGE = timedelta(hours=1)
# How long after its freeze an edition that expired for readers is an alarm.
EXPIRED_ALARM_AGE = timedelta(days=4)


# Of the disk of VAR_DIR. Locks, prepared arrays and backups fit for some days.
MIN_FREE_BYTES = 200_000_000
# Leases use the database's clock and schedules this machine's.
MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)


class Alarm(NamedTuple):
    kind: str
    text: str


def find_alarms(now: datetime) -> list[Alarm]:
    """Find dead processes, overdue freezes and batches, forgotten pauses, readers without mail, a full disk and a wrong clock."""
    return [
        *find_dead_processes(now),
        *find_overdue_freezes(now),
        *find_waiting_batches(now),
        *find_forgotten_pauses(now),
        *find_unread_mailbox(now),
        *find_expired_readers(now),
        *find_full_disk(),
        *find_clock_difference(),
    ]


def log_alarms(now: datetime) -> list[Alarm]:
    alarms = find_alarms(now)
    for alarm in alarms:
        log.error("alarm", kind=alarm.kind, text=alarm.text)
    return alarms


def find_dead_processes(now: datetime) -> list[Alarm]:
    """Beat, or the queues without a worker; without beat no worker has a heartbeat."""
    if Heartbeat.objects.is_late(BEAT, now, MAX_BEAT_AGE):
        return [
            Alarm(
                "beat",
                f"Beat has enqueued nothing since {_last(BEAT)}: it or the broker is down.",
            )
        ]
    return [
        Alarm(
            name, f"No worker of the queue {queue} has run a task since {_last(name)}."
        )
        for queue in settings.WORKER_QUEUES
        if Heartbeat.objects.is_late(
            name := worker_heartbeat(queue), now, MAX_WORKER_AGE
        )
    ]


def _last(name: str) -> str:
    heartbeat = Heartbeat.objects.filter(name=name).first()
    return f"{heartbeat.at:%d %b, %H:%M} UTC" if heartbeat else "the installation"


def find_overdue_freezes(now: datetime) -> list[Alarm]:
    from digest.ranking.freeze import due_at

    has_papers = Exists(Candidate.objects.filter(edition=OuterRef("pk")))
    return [
        Alarm(
            "freeze",
            f"The edition of {date_format(edition.day)} should have frozen at {due:%H:%M} UTC.",
        )
        for edition in Edition.objects.open().filter(has_papers)
        if (due := due_at(edition)) < now - MAX_FREEZE_DELAY
    ]


def find_waiting_batches(now: datetime) -> list[Alarm]:
    """The oldest batch that is neither sent nor paused."""
    pauses = SendingPause.objects.in_force().filter(
        Q(edition=None) | Q(edition=OuterRef("slot__edition"))
    )
    waiting = (
        Batch.objects.exclude(state=Batch.State.DONE)
        .filter(slot__at__lt=now - MAX_BATCH_DELAY)
        .filter(slot__edition__frozen_at__gt=now - EXPIRES_AFTER)
        .filter(~Exists(pauses))
    )
    oldest = waiting.order_by("slot__at").values_list("slot__at", flat=True).first()
    if oldest is None:
        return []
    text = (
        f"{waiting.count()} batches are not sent, due since {oldest:%d %b, %H:%M} UTC."
    )
    return [Alarm("batches", text)]


def find_forgotten_pauses(now: datetime) -> list[Alarm]:
    return [
        Alarm("pause", f"Sending is paused since {pause.at:%d %b, %H:%M} UTC.")
        for pause in SendingPause.objects.in_force().filter(at__lt=now - MAX_PAUSE_AGE)
    ]


def find_unread_mailbox(now: datetime) -> list[Alarm]:
    if not settings.BOUNCE_IMAP_URL or not Heartbeat.objects.is_late(
        BOUNCE_MAILBOX, now, MAX_MAILBOX_AGE
    ):
        return []
    text = f"The bounce mailbox has not been read since {_last(BOUNCE_MAILBOX)}."
    return [Alarm("bounces", text)]


def find_expired_readers(now: datetime) -> list[Alarm]:
    """Recent editions that expired before all due readers were mailed."""
    expired = Digest.objects.filter(
        reason=Digest.Reason.EXPIRED,
        edition__frozen_at__gt=now - EXPIRED_ALARM_AGE,
    )
    rows = expired.values_list("edition__day").annotate(Count("pk")).order_by()
    return [
        Alarm(
            "expired",
            f"The edition of {date_format(day)} expired before {number:,} reader{'' if number == 1 else 's'} got it.",
        )
        for day, number in rows
    ]


def find_full_disk() -> list[Alarm]:
    free = shutil.disk_usage(settings.VAR).free
    if free >= MIN_FREE_BYTES:
        return []
    return [Alarm("disk", f"Only {free / 1e6:.0f} MB are free on the disk of VAR_DIR.")]


def find_clock_difference() -> list[Alarm]:
    """Compare this machine's clock with the database's, which on SQLite is the same."""
    if connection.vendor == "sqlite":
        return []
    difference = abs(read_database_clock() - timezone.now())
    if difference <= MAX_CLOCK_DIFFERENCE:
        return []
    seconds = f"{difference.total_seconds():.0f} s"
    text = f"This machine's clock and the database's differ by {seconds}."
    return [Alarm("clock", text)]


def read_database_clock() -> datetime:
    """Return the server's time; ours if no process has stored a heartbeat yet."""
    rows = Heartbeat.objects.annotate(now=DatabaseNow()).values_list("now", flat=True)
    return rows.first() or timezone.now()
