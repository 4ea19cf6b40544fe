"""Migrate the database while the previous release goes on reading and writing."""

import time

import structlog
from django.core.management import call_command
from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

log = structlog.get_logger(__name__)

# While ALTER TABLE waits for a lock, every later query of that table waits behind it: so
# it waits for a moment only, and tries again when the transaction before it has ended.
LOCK_TIMEOUT_S = 3
RETRY_WAIT_S = 2.0
MAX_ATTEMPTS = 60
# Identifies the advisory lock by which setups on several machines wait for each other.
SETUP_LOCK_ID = 0x50617065


def migrate() -> None:
    """Apply the migrations of this release, one process at a time."""
    if connection.vendor != "postgresql":
        call_command("migrate", verbosity=0, interactive=False)
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [SETUP_LOCK_ID])
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
        migrate_between_locks()
        # After an exception the process ends, and with it the session.
        cursor.execute("RESET lock_timeout")
        cursor.execute("SELECT pg_advisory_unlock(%s)", [SETUP_LOCK_ID])


def migrate_between_locks() -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            call_command("migrate", verbosity=0, interactive=False)
            return
        except OperationalError as error:
            if attempt == MAX_ATTEMPTS or not isinstance(
                error.__cause__, LockNotAvailable
            ):
                raise
            log.warning("migration waits for a lock", attempt=attempt)
            time.sleep(RETRY_WAIT_S)
