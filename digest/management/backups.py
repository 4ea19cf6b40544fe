"""Back up the database to a file, and restore it without mailing anybody twice."""

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from accounts import erasure
from digest.management import online_migration
from digest.models import Heartbeat, SendingPause
from digest.models.operations import BACKUP

SQLITE_HEADER = b"SQLite format 3\0"
# PostgreSQL closes the connections of processes that were stopped a moment later.
MAX_CLOSING_S = 5.0
# Where the schema waits until its replacement is complete.
OLD_SCHEMA = "replaced_by_restore"


class BackupError(Exception):
    """The text says what to do."""


def back_up(path: Path) -> None:
    """Write the whole database to a file that appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        if connection.vendor == "postgresql":
            run_program("pg_dump", "--format=custom", f"--file={draft}")
        else:
            copy_sqlite(Path(connection.settings_dict["NAME"]), draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    Heartbeat.objects.record(BACKUP, timezone.now())


def delete_old_backups(folder: Path, kept: int) -> int:
    """Delete all but the newest backups that were named by default; return their number."""
    backups = sorted(folder.glob("paper-round-*.backup"))
    old = backups[:-kept] if kept else []
    for path in old:
        path.unlink()
    return len(old)


def default_path(now: datetime) -> Path:
    return backup_folder() / f"paper-round-{now:%Y-%m-%d-%H%M%S}.backup"


def backup_folder() -> Path:
    folder: Path = settings.VAR / "backups"
    return folder


def restore(path: Path, now: datetime) -> int:
    """Replace the database by a backup, pause sending, and repeat erasures; return their number.

    A backup lacks the digests that were sent after it: workers would send them again.
    Nothing else may be connected, so that none starts between the steps.
    """
    check_file(path)
    if connection.vendor == "postgresql":
        refuse_other_connections()
        replace_schema(path)
    else:
        connection.close()
        copy_sqlite(path, Path(connection.settings_dict["NAME"]))
    online_migration.migrate()
    reason = f"Restored from {path.name}: resume when its editions have expired."
    SendingPause.objects.trigger(reason, now, is_automatic=False)
    own = erasure.erasures_path()
    number = erasure.repeat_erasures([own] if own.exists() else [])
    call_command("check", verbosity=0)
    return number


def replace_schema(path: Path) -> None:
    """Restore into an empty schema; after a failure, the old one is back in its place."""
    put_back_schema()
    execute_sql(f"ALTER SCHEMA public RENAME TO {OLD_SCHEMA}", "CREATE SCHEMA public")
    connection.close()
    try:
        run_program(
            "pg_restore",
            *("--no-owner", "--single-transaction", "--exit-on-error"),
            *(f"--dbname={connection.settings_dict['NAME']}", str(path)),
        )
    except BackupError:
        put_back_schema()
        raise
    execute_sql(f"DROP SCHEMA {OLD_SCHEMA} CASCADE")


def put_back_schema() -> None:
    """Undo a restore that failed or was killed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [OLD_SCHEMA])
        is_unfinished = cursor.fetchone() is not None
    if is_unfinished:
        execute_sql(
            "DROP SCHEMA IF EXISTS public CASCADE",
            f"ALTER SCHEMA {OLD_SCHEMA} RENAME TO public",
        )


def execute_sql(*statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def check_file(path: Path) -> None:
    """Raise BackupError unless this is a whole backup of this kind of database."""
    try:
        with path.open("rb") as file:
            header = file.read(len(SQLITE_HEADER))
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}.") from error
    if connection.vendor == "sqlite" and header != SQLITE_HEADER:
        raise BackupError(f"{path} is no backup of SQLite.")
    if connection.vendor == "sqlite":
        check_sqlite(path)
    else:
        # Reads all of it: the table of contents alone is at the start of a cut file.
        run_program("pg_restore", f"--file={os.devnull}", str(path))


def check_sqlite(path: Path) -> None:
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as backup:
            (result,) = backup.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        raise BackupError(f"{path} is damaged: {result}.")


def count_other_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        (number,) = cursor.fetchone()
    return int(number)


def refuse_other_connections() -> None:
    """Wait a moment for connections that are closing; raise BackupError if any stays open."""
    deadline = time.monotonic() + MAX_CLOSING_S
    while (number := count_other_connections()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if number:
        raise BackupError(
            f"{number} other connections are open: stop web, workers and beat first."
        )


def copy_sqlite(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(source)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def run_program(name: str, *arguments: str) -> None:
    """Run a program of PostgreSQL with the connection of DATABASE_URL."""
    database = connection.settings_dict
    variables = {
        "PGHOST": database["HOST"],
        "PGPORT": str(database["PORT"]),
        "PGUSER": database["USER"],
        "PGPASSWORD": database["PASSWORD"],
        "PGDATABASE": database["NAME"],
        "PGSSLMODE": database.get("OPTIONS", {}).get("sslmode", ""),
    }
    set_variables = {key: value for key, value in variables.items() if value}
    try:
        result = subprocess.run(
            [find_program(name), *arguments],
            env=os.environ | set_variables,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise BackupError(f"{name} is missing: install postgresql-client.") from None
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise BackupError(f"{name}: {lines[-1] if lines else result.returncode}")


def find_program(name: str) -> str:
    """Return the newest version installed: an older one refuses a newer server."""
    debian = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(
        debian, key=lambda path: int(path.parts[4].split(".")[0]), default=None
    )
    return str(newest) if newest else shutil.which(name) or name
