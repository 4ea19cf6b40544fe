"""Only one beat enqueues: others wait, and one of them takes over when it ends.

The lock belongs to a session of PostgreSQL, which ends with the process or its machine.
SQLite serves one machine, where it is a lock on a file.
"""

import fcntl
import os
import signal
import time
from typing import IO

import structlog
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

log = structlog.get_logger(__name__)

BEAT_LOCK_ID = 0x62656174
RETRY_WAIT_S = 5.0

# The lock is held as long as these are open.
_held: list[BaseDatabaseWrapper | IO[str]] = []


def wait_for_lock() -> None:
    """Return when no other beat is running; log why it waits."""
    reason = ""
    while True:
        try:
            if try_lock():
                return
            new_reason = "another beat is running"
        except DatabaseError as error:
            new_reason = f"database is unavailable: {error}"
        if new_reason != reason:
            log.warning("beat waits", reason=new_reason)
        reason = new_reason
        time.sleep(RETRY_WAIT_S)


def try_lock() -> bool:
    if is_held():
        return True
    if connections["default"].vendor == "postgresql":
        return lock_in_postgres()
    return lock_file()


def lock_in_postgres() -> bool:
    """Lock in a connection of its own, which Django does not close when it is old."""
    connection = connections.create_connection("default")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [BEAT_LOCK_ID])
            (is_locked,) = cursor.fetchone()
    except BaseException:
        connection.close()
        raise
    if is_locked:
        _held.append(connection)
    else:
        connection.close()
    return bool(is_locked)


def lock_file() -> bool:
    file = (settings.VAR / "beat-lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held.append(file)
    return True


def keep_lock() -> None:
    """Lock again after a restart of PostgreSQL; end this beat if another one was faster.

    Both enqueue until then, a minute at most, which is harmless: a task that is run twice
    finds nothing left to do.
    """
    if is_held():
        return
    _held.clear()
    if not try_lock():
        log.warning("another beat has taken over; this one ends")
        os.kill(os.getpid(), signal.SIGTERM)


def is_held() -> bool:
    if not _held:
        return False
    lock = _held[-1]
    return not isinstance(lock, BaseDatabaseWrapper) or lock.is_usable()
