"""Migration operations that build indexes while the previous release reads and writes.

PostgreSQL builds and drops them concurrently, SQLite as usual. A migration that uses them
has `atomic = False` and a single operation, so that it can be run again after an
interruption.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.postgres import operations as postgres
from django.db.migrations.operations import AddIndex, RemoveIndex


class AddIndexConcurrently(AddIndex):
    """Add an index without blocking writes to its table.

    An interrupted build leaves an invalid index, which the next attempt replaces.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        name = schema_editor.quote_name(self.index.name)
        operation = postgres.AddIndexConcurrently(self.model_name, self.index)
        with unlimited_lock_wait(schema_editor):
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        operation = postgres.AddIndexConcurrently(self.model_name, self.index)
        operation.database_backwards(app_label, schema_editor, from_state, to_state)


class RemoveIndexConcurrently(RemoveIndex):
    """Remove an index without blocking reads and writes of its table."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        operation = postgres.RemoveIndexConcurrently(self.model_name, self.name)
        with unlimited_lock_wait(schema_editor):
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        operation = postgres.RemoveIndexConcurrently(self.model_name, self.name)
        operation.database_backwards(app_label, schema_editor, from_state, to_state)


@contextmanager
def unlimited_lock_wait(schema_editor: Any) -> Iterator[None]:
    """Wait for transactions as long as they run: unlike ALTER TABLE, this wait blocks nobody."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        (lock_timeout,) = cursor.fetchone()
    schema_editor.execute("SET lock_timeout = 0")
    yield
    schema_editor.execute(f"SET lock_timeout = '{lock_timeout}'")
