"""Many papers into the database at once: the one place with SQL of PostgreSQL's own."""

import json
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

from django.db import IntegrityError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Field

from digest.models import Paper

# Values of a paper, by the names of its fields.
Row = dict[str, Any]
_Fields = Sequence["Field[Any, Any]"]

_TABLE = Paper._meta.db_table
# Rows above 2 KB are compressed, which took two fifths of the time of an INSERT of papers
# in PostgreSQL's old way. lz4 takes hardly any, but is not in every build.
_LIGHTER = """
    SELECT set_config('default_toast_compression', 'lz4', true) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)
"""
_KEYS = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"


class Overtaken(Exception):
    """Another process has just written one of the new papers."""


def insert(rows: Sequence[Row]) -> dict[str, int]:
    """Write new papers; their keys by identifier. What a row does not name has its default.

    In one order, so that two processes never wait for each other's. Raises Overtaken,
    after which the transaction is of no use.
    """
    ordered = sorted(rows, key=itemgetter("identifier"))
    try:
        return _insert(ordered) if ordered else {}
    except IntegrityError as error:
        raise Overtaken(f"one of {len(ordered)} new papers is known by now") from error


def update(papers: Sequence[Paper], names: Collection[str]) -> None:
    """Write these fields of known papers, which are locked."""
    if connection.vendor != "postgresql":
        Paper.objects.bulk_update(papers, names, batch_size=500)
    elif papers:
        with connection.cursor() as cursor:
            _update(papers, names, cursor)


def _insert(rows: Sequence[Row]) -> dict[str, int]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            return _stream(rows, cursor)
    papers = Paper.objects.bulk_create([Paper(**row) for row in rows])
    return {paper.identifier: paper.pk for paper in papers}


def _stream(rows: Sequence[Row], cursor: CursorWrapper) -> dict[str, int]:
    """With keys that are taken from their sequence beforehand: COPY does not tell any."""
    fields = Paper._meta.concrete_fields
    defaults = {field.attname: field.get_default() for field in fields}
    cursor.execute(_KEYS, [_TABLE, len(rows)])
    keyed = [row | {"id": key} for row, (key,) in zip(rows, cursor, strict=True)]
    _copy(_TABLE, ((defaults | row).values() for row in keyed), fields, cursor)
    return {row["identifier"]: row["id"] for row in keyed}


def _update(
    papers: Sequence[Paper], names: Collection[str], cursor: CursorWrapper
) -> None:
    wanted = {"id", *names}
    fields = [one for one in Paper._meta.concrete_fields if one.attname in wanted]
    rows = ([getattr(paper, field.attname) for field in fields] for paper in papers)
    names = ", ".join(map(_column, fields))
    cursor.execute("DROP TABLE IF EXISTS arriving")
    cursor.execute(
        f"CREATE TEMPORARY TABLE arriving ON COMMIT DROP AS SELECT {names} FROM {_TABLE} LIMIT 0"
    )
    _copy("arriving", rows, fields, cursor)
    columns = [_column(field) for field in fields if not field.primary_key]
    changes = ", ".join(f"{name} = arriving.{name}" for name in columns)
    cursor.execute(
        f"UPDATE {_TABLE} SET {changes} FROM arriving WHERE arriving.id = {_TABLE}.id"
    )


def _copy(
    table: str, rows: Iterable[Iterable[Any]], fields: _Fields, cursor: CursorWrapper
) -> None:
    """As a stream, which costs a third of a long INSERT."""
    names = ", ".join(map(_column, fields))
    cursor.execute(_LIGHTER)
    # Django translates what execute raises, not what a stream does.
    copying = cursor.copy(f"COPY {table} ({names}) FROM STDIN")
    with connection.wrap_database_errors, copying as stream:
        for row in rows:
            # Only lists are not written as they are: they are JSON.
            stream.write_row(
                [json.dumps(one) if isinstance(one, list) else one for one in row]
            )


def _column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(str(field.column))
