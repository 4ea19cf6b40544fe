"""Upgrade from release 0.1.0 while its web server and workers go on."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django_migration_linter import MigrationLinter

from digest.management import online_migration
from tests.conftest import ROOT

RECORDED = Path(__file__).parent / "recorded" / "upgrade"
# Rows of every table, and the statements of that release's code, one a line.
OLD_ROWS, OLD_STATEMENTS = (
    RECORDED / "rows-0.1.0.sql",
    RECORDED / "statements-0.1.0.sql",
)
RELEASED = [("accounts", "0001_initial"), ("digest", "0001_initial")]
# No operation of a migration may hold a lock that stops the old code for longer.
MAX_LOCK_WAIT_S = 5

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="upgrades of a running site need PostgreSQL",
)


def count_rows():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(accounts|digest)_'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        counts = {}
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            (counts[table],) = cursor.fetchone()
    return counts


@contextmanager
def old_database(django_db_blocker):
    """A database with the schema and rows of 0.1.0 instead of the one of the tests."""
    original = connection.settings_dict["NAME"]
    name = f"{original}_upgrade"
    with django_db_blocker.unblock():
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.settings_dict["NAME"] = name
        try:
            MigrationExecutor(connection).migrate(RELEASED)
            with connection.cursor() as cursor:
                cursor.execute(OLD_ROWS.read_text())
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = original
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def upgrade(django_db_setup, django_db_blocker):
    """Migrate the old database while the old code writes; yield what happened."""
    with old_database(django_db_blocker):
        before = count_rows()
        with old_code_writing() as writer:
            online_migration.migrate()
        yield before, writer


@contextmanager
def old_code_writing():
    writer = Writer()
    writer.start()
    try:
        yield writer
    finally:
        writer.stopping.set()
        writer.join(60)


class Writer(threading.Thread):
    """Runs writes of the old code, each in its transaction, until it is stopped."""

    STATEMENTS = (
        "UPDATE digest_digest SET outcome = 'accepted', outcome_at = now()",
        "UPDATE digest_batch SET last_position = last_position + 1, lease_until = now()",
        "UPDATE digest_paper SET votes = votes + 1, updated_at = now()",
        "UPDATE digest_candidate SET trend = trend, breakdown = '{}'",
        "UPDATE accounts_subscriber SET hour = (hour + 1) % 24",
        "INSERT INTO digest_heartbeat (name, at) VALUES ('worker celery', now())"
        " ON CONFLICT (name) DO UPDATE SET at = excluded.at",
        "INSERT INTO digest_attentionsample (source, kind, value, at, paper_id)"
        " SELECT 'huggingface', 'votes', 1, clock_timestamp(), min(id) FROM digest_paper",
    )

    def __init__(self):
        super().__init__()
        self.stopping, self.errors, self.rounds = threading.Event(), [], 0

    def run(self):
        writing = connections.create_connection("default")
        writing.inc_thread_sharing()
        try:
            with writing.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{MAX_LOCK_WAIT_S}s'")
                while not self.stopping.is_set():
                    for statement in self.STATEMENTS:
                        cursor.execute(statement)
                    self.rounds += 1
        except Exception as error:
            self.errors.append(str(error))
        finally:
            writing.close()


def test_old_code_writes_while_migrations_run(upgrade):
    _, writer = upgrade

    assert writer.errors == []
    assert writer.rounds > 0


def test_rows_of_the_old_release_stay(upgrade):
    before, _ = upgrade
    after = count_rows()

    added = {"digest_heartbeat", "digest_attentionsample"}  # by the writer
    assert len(before) > 20
    assert {t: after.get(t) for t in before if t not in added} == {
        table: number for table, number in before.items() if table not in added
    }


def test_models_read_the_rows_of_the_old_release(upgrade):
    for label in ("accounts", "digest"):
        for model in apps.get_app_config(label).get_models():
            list(model.objects.all())


def test_migration_waits_for_a_transaction_without_blocking_others(
    upgrade, monkeypatch
):
    """ALTER TABLE behind an open transaction gives up its place and tries again."""
    monkeypatch.setattr(online_migration, "LOCK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(online_migration, "RETRY_WAIT_S", 0.1)
    attempts = []
    other = connections.create_connection("default")

    def alter_table(*_, **__):
        attempts.append(len(attempts))
        if len(attempts) == 3:
            other.rollback()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE digest_heartbeat ADD COLUMN note text")
            cursor.execute("ALTER TABLE digest_heartbeat DROP COLUMN note")

    monkeypatch.setattr(online_migration, "call_command", alter_table)
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT * FROM digest_heartbeat")
    online_migration.migrate()
    other.close()

    assert attempts == [0, 1, 2]


def old_statements():
    return OLD_STATEMENTS.read_text().splitlines()


def test_statements_of_the_old_release_are_valid_on_the_new_schema(upgrade):
    """Every column and table that the old code names exists, with a type that it can use."""
    failures = []
    with connection.cursor() as cursor:
        for statement in old_statements():
            try:
                cursor.execute(f"EXPLAIN {statement}")
            except Exception as error:
                failures.append(f"{str(error).splitlines()[0]}: {statement[:200]}")

    assert failures == []


def test_no_new_column_stops_inserts_of_the_old_release(upgrade):
    """A column that the old code does not name is nullable or has a default in the database."""
    inserted = old_insert_columns()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL"
            " AND is_identity = 'NO'"
        )
        required = cursor.fetchall()

    assert len(inserted) > 15
    missing = {
        f"{table}.{column}"
        for table, column in required
        for columns in inserted.get(table, [])
        if column not in columns
    }
    assert missing == set()


def old_insert_columns():
    """The columns that each INSERT of the old code names, by table."""
    columns = {}
    for statement in old_statements():
        if not statement.startswith("INSERT INTO"):
            continue
        table = statement.split('"')[1]
        names = statement.partition("(")[2].partition(")")[0]
        columns.setdefault(table, set()).add(
            frozenset(n.strip(' "') for n in names.split(","))
        )
    return columns


@pytest.mark.django_db(transaction=True)
def test_linted_migrations_can_run_beside_the_old_code():
    linter = MigrationLinter(
        str(ROOT),
        include_apps=["accounts", "digest"],
        all_warnings_as_errors=True,
        ignore_initial_migrations=True,
        no_cache=True,
    )

    linter.lint_all_migrations()

    assert linter.nb_total > 0
    assert not linter.has_errors
