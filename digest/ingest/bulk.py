"""Many papers into the database at once: the one place with SQL of PostgreSQL's own."""

import json
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

from django.db import connection
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


def insert(rows: Sequence[Row]) -> dict[str, int]:
    """Write new papers; the keys of those that were written, by identifier.

    One that another process has just written is left as it is. In one order, so that
    two processes never wait for each other's. What a row does not name has its default.
    """
    ordered = sorted(rows, key=itemgetter("identifier"))
    if not ordered:
        return {}
    if connection.vendor != "postgresql":
        return _create(ordered)
    with connection.cursor() as cursor:
        return _insert(ordered, cursor)


def update(papers: Sequence[Paper], names: Collection[str]) -> None:
    """Write these fields of known papers, which are locked."""
    if connection.vendor != "postgresql":
        Paper.objects.bulk_update(papers, names, batch_size=500)
    elif papers:
        with connection.cursor() as cursor:
            _update(papers, names, cursor)


def _create(rows: Sequence[Row]) -> dict[str, int]:
    """SQLite has one writer at a time: nobody comes between the question and the rows."""
    names = [row["identifier"] for row in rows]
    known = Paper.objects.filter(identifier__in=names)
    taken = set(known.values_list("identifier", flat=True))
    papers = [Paper(**row) for row in rows if row["identifier"] not in taken]
    return {paper.identifier: paper.pk for paper in Paper.objects.bulk_create(papers)}


def _insert(rows: Sequence[Row], cursor: CursorWrapper) -> dict[str, int]:
    fields = [field for field in Paper._meta.concrete_fields if not field.primary_key]
    defaults = {field.attname: field.get_default() for field in fields}
    names = ", ".join(map(_column, fields))
    _arrive(((defaults | row).values() for row in rows), fields, cursor)
    cursor.execute(
        f"INSERT INTO {_TABLE} ({names}) SELECT {names} FROM arriving"
        " ON CONFLICT DO NOTHING RETURNING identifier, id"
    )
    return dict(cursor.fetchall())


def _update(
    papers: Sequence[Paper], names: Collection[str], cursor: CursorWrapper
) -> None:
    wanted = {"id", *names}
    fields = [one for one in Paper._meta.concrete_fields if one.attname in wanted]
    rows = ([getattr(paper, field.attname) for field in fields] for paper in papers)
    _arrive(rows, fields, cursor)
    columns = [_column(field) for field in fields if not field.primary_key]
    changes = ", ".join(f"{name} = arriving.{name}" for name in columns)
    cursor.execute(
        f"UPDATE {_TABLE} SET {changes} FROM arriving WHERE arriving.id = {_TABLE}.id"
    )


def _arrive(
    rows: Iterable[Iterable[Any]], fields: _Fields, cursor: CursorWrapper
) -> None:
    """Into a table of this transaction's own, as a stream (COPY).

    That costs a third of a long INSERT, but knows neither conflicts nor changes.
    """
    names = ", ".join(map(_column, fields))
    cursor.execute(_LIGHTER)
    cursor.execute("DROP TABLE IF EXISTS arriving")
    cursor.execute(
        f"CREATE TEMPORARY TABLE arriving ON COMMIT DROP AS SELECT {names} FROM {_TABLE} LIMIT 0"
    )
    with cursor.copy(f"COPY arriving ({names}) FROM STDIN") as stream:
        for row in rows:
            stream.write_row([_written(value) for value in row])


def _column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(str(field.column))


def _written(value: Any) -> Any:
    """Only lists are not written as they are: they are JSON."""
    return json.dumps(value) if isinstance(value, list) else value
