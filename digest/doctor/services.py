"""Checks of this machine and its services: database, broker, processes, disk, clock, papers."""

import shutil
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.checks import WARNING as WARNING_LEVEL
from django.core.checks import run_checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from digest import alarms
from digest.celery import app
from digest.doctor import Check, Finding, failed, ok, unknown, warning
from digest.ingest import monitoring
from digest.ingest.sources import arxiv_calendar
from digest.models import Heartbeat, Paper, SendingPause
from digest.models.operations import BACKUP
from digest.text.arxiv_categories import is_selected

OLDEST_POSTGRES = 15
BROKER_TIMEOUT_S = 3
MIN_FREE_BYTES, MIN_FREE_SHARE = 1_000_000_000, 0.1
# arXiv publishes its holidays in December.
HOLIDAY_NOTICE = timedelta(days=30)
MAX_BACKUP_AGE = timedelta(days=2)
BACKUP_FIX = "Run `manage.py backup` daily, and copy the file to another machine."
# Small categories have days without a paper.
MAX_CATEGORY_SILENCE = timedelta(days=14)
# What Django reports one by one where SITE_URL is http.
HTTPS_CHECK_IDS = {f"security.W{number:03}" for number in (4, 8, 12, 16)}
# Django's one check without a hint is about SECRET_KEY.
RANDOM_KEY_FIX = "Use the output of `openssl rand -base64 48`."
START_PROCESSES = (
    "Start it, or see its log: `docker compose ps`, `systemctl status 'paper-round-*'`."
)


def check_database() -> Iterator[Finding]:
    try:
        connection.ensure_connection()
        plan = MigrationExecutor(connection)
        pending = plan.migration_plan(plan.loader.graph.leaf_nodes())
    except DatabaseError as error:
        reason = str(error).splitlines()[0]
        fix = "Start the database, and compare DATABASE_URL with its host, user and password."
        yield failed("database", f"Not reachable: {reason}", fix)
        return
    if pending:
        text = f"{len(pending)} migrations are not applied."
        yield failed("database", text, "Run `manage.py setup`.")
    else:
        yield ok("database", "Reachable, and its tables are those of this release.")


def check_postgres() -> Iterator[Finding]:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        version = int(cursor.fetchone()[0]) // 10_000
        cursor.execute("SHOW synchronous_commit")
        (synchronous,) = cursor.fetchone()
        cursor.execute(
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
        )
        used, maximum = cursor.fetchone()
    if version < OLDEST_POSTGRES:
        fix = f"Upgrade to PostgreSQL {OLDEST_POSTGRES} or newer."
        yield failed("PostgreSQL", f"Version {version} is too old.", fix)
    elif synchronous == "off":
        text = "synchronous_commit is off: after a crash mails may be sent twice."
        yield failed("PostgreSQL", text, "Set synchronous_commit to on.")
    elif used > maximum * 0.8:
        text = f"{used} of {maximum} connections are in use."
        yield warning(
            "PostgreSQL", text, "Raise max_connections, or run fewer workers."
        )
    else:
        yield ok("PostgreSQL", f"Version {version}, {used} of {maximum} connections.")


def check_settings() -> Iterator[Finding]:
    messages = [
        message
        for message in run_checks(include_deployment_checks=True)
        if message.level >= WARNING_LEVEL
        and (settings.HTTPS or message.id not in HTTPS_CHECK_IDS)
    ]
    for message in messages:
        make = failed if message.is_serious() else warning
        yield make("settings", message.msg, message.hint or RANDOM_KEY_FIX)
    if not settings.HTTPS:
        text = f"SITE_URL is {settings.SITE_URL}: keys in links travel unencrypted."
        yield warning("settings", text, "Use https in public, with deploy/Caddyfile.")
    if not messages:
        yield ok("settings", "All settings can work together.")


def check_broker() -> Iterator[Finding]:
    try:
        with app.connection_for_write() as broker:
            broker.ensure_connection(
                max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S
            )
    except Exception as error:  # every transport has its own
        fix = "Start Redis, and compare REDIS_URL with its host and password."
        yield failed("broker", f"Not reachable: {error}", fix)
        return
    if not settings.REDIS_URL:
        yield ok("broker", "Files in VAR_DIR: for one machine.")
        return
    cache.set("doctor", "written", 10)
    if cache.get("doctor") != "written":
        text = "Redis does not store what is written: it may be full."
        yield failed("broker", text, "Give Redis memory (maxmemory).")
    else:
        yield ok("broker", "Redis stores and returns values.")


def check_processes() -> Iterator[Finding]:
    dead = alarms.find_dead_processes(timezone.now())
    for alarm in dead:
        yield failed(alarm.kind, alarm.text, START_PROCESSES)
    if not dead:
        queues = " and ".join(settings.WORKER_QUEUES)
        yield ok("beat and workers", f"Beat and workers of the queues {queues} run.")


def check_alarms() -> Iterator[Finding]:
    """Report alarms that no other check reports, with the section of the runbook for them."""
    now = timezone.now()
    dead = alarms.find_dead_processes(now)
    for alarm in alarms.find_alarms(now):
        if alarm not in dead and alarm.kind not in ("disk", "clock"):
            yield failed(alarm.kind, alarm.text, "See docs/operating.md, Incidents.")
    for pause in SendingPause.objects.in_force():
        fix = "Mend the reason, then `manage.py pause --resume`."
        yield warning("sending", f"{pause}.", fix)


def check_disk() -> Iterator[Finding]:
    folders = {"VAR_DIR": settings.VAR}
    if settings.MAIL_TRANSPORT == "files":
        folders["MAIL_DIR"] = settings.MAIL_DIR
    for name, folder in folders.items():
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        usage = shutil.disk_usage(existing)
        text = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free."
        if usage.free < MIN_FREE_BYTES or usage.free < MIN_FREE_SHARE * usage.total:
            yield warning(f"disk of {name}", text, "Free space, or extend the volume.")
        else:
            yield ok(f"disk of {name}", text)


def check_backup() -> Iterator[Finding]:
    heartbeat = Heartbeat.objects.filter(name=BACKUP).first()
    if heartbeat is None:
        yield warning("backup", "There is no backup by `manage.py backup`.", BACKUP_FIX)
    elif timezone.now() - heartbeat.at > MAX_BACKUP_AGE:
        text = f"The last backup is of {heartbeat.at:%d %b %Y}."
        yield warning("backup", text, BACKUP_FIX)
    else:
        yield ok("backup", f"The last one is of {heartbeat.at:%d %b, %H:%M} UTC.")


def check_clock() -> Iterator[Finding]:
    if connection.vendor == "sqlite":
        yield ok("clock", "The database has this machine's clock.")
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (database_now,) = cursor.fetchone()
    difference = abs(database_now - timezone.now())
    text = f"{difference.total_seconds():.1f} s between this machine and the database."
    if difference > alarms.MAX_CLOCK_DIFFERENCE:
        yield failed("clock", text, "Synchronise both clocks by NTP: `timedatectl`.")
    else:
        yield ok("clock", text)


def check_categories() -> Iterator[Finding]:
    """Compare ARXIV_CATEGORIES with the papers that arrived."""
    now = timezone.now()
    since = (now - MAX_CATEGORY_SILENCE).date()
    recent = Paper.objects.filter(announced_on__gte=since)
    if not recent.exists():
        fix = "Run `manage.py ingest`, or `manage.py backfill --since DATE`."
        yield unknown("categories", "No paper of the last two weeks is stored.", fix)
        return
    seen = {name for row in recent.values_list("categories", flat=True) for name in row}
    silent = [
        category
        for category in settings.ARXIV_CATEGORIES
        if not any(is_selected(name, [category]) for name in seen)
    ]
    if silent:
        text = f"No paper in two weeks: {', '.join(silent)}."
        fix = "Compare ARXIV_CATEGORIES with arXiv's list; remove what is not wanted."
        yield warning("categories", text, fix)
    else:
        number = len(settings.ARXIV_CATEGORIES)
        yield ok("categories", f"All {number} selected categories have papers.")


def check_ingest() -> Iterator[Finding]:
    now = timezone.now()
    empty = monitoring.empty_days(now)
    missing = [day for day in monitoring.missing_days(now) if day not in empty]
    if missing:
        days = ", ".join(str(day) for day in missing[:5])
        fix = f"Run `manage.py backfill --since {min(missing)}`."
        yield failed("ingest", f"{len(missing)} days without papers: {days}.", fix)
    else:
        yield ok("ingest", "No announcement day is missing.")


def check_holidays() -> Iterator[Finding]:
    known_until = arxiv_calendar.holidays_known_until()
    text = f"arXiv's holidays are known until {known_until}."
    if known_until - timezone.now().date() < HOLIDAY_NOTICE:
        fix = "Add next year's to ARXIV_HOLIDAYS: https://info.arxiv.org/help/availability.html"
        yield warning("holidays", text, fix)
    else:
        yield ok("holidays", text)


CHECKS: tuple[Check, ...] = (
    check_postgres,
    check_broker,
    check_processes,
    check_disk,
    check_backup,
    check_clock,
    check_ingest,
    check_categories,
    check_holidays,
    check_alarms,
)
