"""Bulk statements for papers and digests: on PostgreSQL COPY and UNNEST, elsewhere their portable forms.

This module has the only vendor-specific SQL. Both forms of a function write the same rows.
"""

import json
import time
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Case, F, Field, Func, IntegerField, QuerySet, Value, When
from django.db.models.fields.related import ForeignObject
from django.db.models.lookups import In, Lookup

from accounts.models import Subscriber, new_key
from digest.models import Batch, Digest, Paper
from digest.models.digests import DatabaseNow

# Hexadecimal digits of a key that are the time of its digest, until the year 2106.
KEY_TIME_DIGITS = 8
# Values of a paper by field name.
Row = dict[str, Any]
_Fields = Sequence["Field[Any, Any]"]

_TABLE = Paper._meta.db_table
# PostgreSQL compresses rows above 2 KB. Its default method took two fifths of an INSERT
# of papers; lz4 takes hardly any time but is not in every build.
_USE_LZ4 = """
    SELECT set_config('default_toast_compression', 'lz4', true) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)
"""
_NEXT_KEYS = (
    "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
)


class ConcurrentInsert(Exception):
    """Another process has inserted one of the new papers; the transaction is unusable."""


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def insert_papers(rows: Sequence[Row]) -> dict[str, int]:
    """Insert new papers and return their primary keys by identifier.

    Missing fields get their defaults. Rows are inserted in identifier order to avoid
    deadlocks. Raises ConcurrentInsert.
    """
    ordered = sorted(rows, key=itemgetter("identifier"))
    try:
        return _insert(ordered) if ordered else {}
    except IntegrityError as error:
        raise ConcurrentInsert(f"one of {len(ordered)} new papers exists") from error


def update_papers(papers: Sequence[Paper], names: Collection[str]) -> None:
    if not is_postgresql():
        Paper.objects.bulk_update(papers, names, batch_size=500)
    elif papers:
        with connection.cursor() as cursor:
            _update_by_copy(papers, names, cursor)


def insert_digests(digests: Sequence[Digest]) -> list[Digest]:
    """Insert digests of a batch and return them by id.

    Left out are those whose reader has one of this edition or was erased meanwhile.
    """
    for digest, key in zip(digests, ascending_keys(len(digests)), strict=True):
        digest.key = key
    if not digests or (is_postgresql() and _copy_digests(digests)):
        return list(digests)
    with transaction.atomic():
        readers = Subscriber.objects.filter(pk__in=[d.subscriber_id for d in digests])
        locked = readers.select_for_update(no_key=True).order_by("pk")
        existing = set(locked.values_list("pk", flat=True))
        remaining = [digest for digest in digests if digest.subscriber_id in existing]
        for digest in remaining:
            digest.pk = None
        Digest.objects.bulk_create(remaining, ignore_conflicts=True)
        keys = [digest.key for digest in remaining]
        return list(Digest.objects.filter(key__in=keys).order_by("pk"))


def ascending_keys(number: int) -> list[str]:
    """Return new keys of digests, in the order in which their index is written.

    They begin with the time and are sorted, so that they are appended to the index: random
    ones change a page of it each, and split it. 84 bits are random.
    """
    seconds = f"{int(time.time()):0{KEY_TIME_DIGITS}x}"
    keys = (new_key()[KEY_TIME_DIGITS:] for _ in range(number))
    return sorted(f"{seconds}{key}" for key in keys)


def record_accepted(message_ids: Sequence[tuple[int, str]]) -> None:
    """Record digests as accepted, with the provider's id of each, by primary key.

    An acceptance is a fact, also if another worker resolved the batch meanwhile; only a
    failure that an event reported stands.
    """
    if not message_ids:
        return
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute(
                _RECORD_ACCEPTED, list(map(list, zip(*message_ids, strict=True)))
            )
        return
    ids = [pk for pk, _ in message_ids]
    by_id = [When(pk=pk, then=Value(message_id)) for pk, message_id in message_ids]
    rows = Digest.objects.filter(pk__in=ids).exclude(outcome=Digest.Outcome.FAILED)
    rows.update(
        outcome=Digest.Outcome.ACCEPTED,
        reason=Digest.Reason.NONE,
        provider_detail="",
        message_id=Case(*by_id),
        outcome_at=DatabaseNow(),
    )


# Foreign keys are checked at the end of a transaction, unless one asks before.
_CHECK_REFERENCES = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
_RECORD_ACCEPTED = f"""
    UPDATE {Digest._meta.db_table} AS digest
    SET outcome = 'accepted', reason = '', provider_detail = '',
        message_id = result.message_id, outcome_at = statement_timestamp()
    FROM unnest(%s::bigint[], %s::text[]) AS result (id, message_id)
    WHERE digest.id = result.id AND digest.outcome <> 'failed'
"""


@ForeignObject.register_lookup
@Field.register_lookup
class AnyOf(Lookup):
    """`field__any_of=values`: like `__in`, but PostgreSQL gets them as one array.

    Hundreds of literals cost more to write and parse than reading their rows.
    """

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return In(self.lhs, list(self.rhs)).as_sql(compiler, connection)

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        sql, parameters = self.process_lhs(compiler, connection)
        return f"{sql} = ANY(%s)", [*parameters, list(self.rhs)]


class JsonArrayLength(Func):
    """The number of elements of a JSON array."""

    function = "json_array_length"
    output_field = IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return super().as_sql(compiler, connection, function="jsonb_array_length")


def count_without_digest(batches: QuerySet[Batch]) -> int:
    """Count the readers that these batches name who exist and have no digest of the edition.

    In the database, because an edition may have millions of readers.
    """
    elements = "json_each(batch.readers) AS reader"
    if connection.vendor == "postgresql":
        elements = "jsonb_array_elements(batch.readers) AS reader (value)"
    rows = batches.order_by().annotate(edition=F("slot__edition_id"))
    named = rows.values("edition", "readers")
    sql, parameters = named.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_WITHOUT_DIGEST.format(sql, elements), parameters)
        return int(cursor.fetchone()[0])


# DISTINCT, because a reader may be in two batches of an edition.
_COUNT_WITHOUT_DIGEST = f"""
    SELECT count(*) FROM (
        SELECT DISTINCT batch.edition AS edition, CAST(reader.value AS bigint) AS id
        FROM ({{}}) AS batch, {{}}
    ) AS planned
    JOIN {Subscriber._meta.db_table} AS subscriber ON subscriber.id = planned.id
    WHERE NOT EXISTS (
        SELECT 1 FROM {Digest._meta.db_table} AS digest
        WHERE digest.subscriber_id = planned.id AND digest.edition_id = planned.edition
    )
"""


def _copy_digests(digests: Sequence[Digest]) -> bool:
    """Insert with COPY, ids included; False, without any row, if one of them exists or its reader does not."""
    table, fields = Digest._meta.db_table, Digest._meta.concrete_fields
    rows = ([getattr(digest, field.attname) for field in fields] for digest in digests)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_NEXT_KEYS, [table, len(digests)])
            for digest, (pk,) in zip(digests, cursor, strict=True):
                digest.pk = pk
            _copy_rows(table, rows, fields, cursor)
            cursor.execute(_CHECK_REFERENCES)
    except IntegrityError:
        return False
    return True


def _insert(rows: Sequence[Row]) -> dict[str, int]:
    if is_postgresql():
        with connection.cursor() as cursor:
            return _insert_by_copy(rows, cursor)
    papers = Paper.objects.bulk_create([Paper(**row) for row in rows])
    return {paper.identifier: paper.pk for paper in papers}


def _insert_by_copy(rows: Sequence[Row], cursor: CursorWrapper) -> dict[str, int]:
    """Insert with keys drawn from the sequence beforehand: COPY returns none."""
    fields = Paper._meta.concrete_fields
    defaults = {field.attname: field.get_default() for field in fields}
    cursor.execute(_USE_LZ4)
    cursor.execute(_NEXT_KEYS, [_TABLE, len(rows)])
    keyed = [row | {"id": key} for row, (key,) in zip(rows, cursor, strict=True)]
    _copy_rows(_TABLE, ((defaults | row).values() for row in keyed), fields, cursor)
    return {row["identifier"]: row["id"] for row in keyed}


def _update_by_copy(
    papers: Sequence[Paper], names: Collection[str], cursor: CursorWrapper
) -> None:
    attnames = {"id", *names}
    fields = [
        field for field in Paper._meta.concrete_fields if field.attname in attnames
    ]
    rows = ([getattr(paper, field.attname) for field in fields] for paper in papers)
    columns = ", ".join(map(_quote_column, fields))
    cursor.execute(_USE_LZ4)
    cursor.execute("DROP TABLE IF EXISTS arriving")
    cursor.execute(
        f"CREATE TEMPORARY TABLE arriving ON COMMIT DROP AS SELECT {columns} FROM {_TABLE} LIMIT 0"
    )
    _copy_rows("arriving", rows, fields, cursor)
    changed = [_quote_column(field) for field in fields if not field.primary_key]
    assignments = ", ".join(f"{name} = arriving.{name}" for name in changed)
    cursor.execute(
        f"UPDATE {_TABLE} SET {assignments} FROM arriving WHERE arriving.id = {_TABLE}.id"
    )


def _copy_rows(
    table: str, rows: Iterable[Iterable[Any]], fields: _Fields, cursor: CursorWrapper
) -> None:
    """Stream rows into a table, at a third of the cost of a long INSERT."""
    columns = ", ".join(map(_quote_column, fields))
    # Django translates the errors of execute(), not those of a stream.
    copying = cursor.copy(f"COPY {table} ({columns}) FROM STDIN")
    with connection.wrap_database_errors, copying as stream:
        for row in rows:
            # Lists are JSON columns; psycopg adapts every other value.
            stream.write_row(
                [json.dumps(cell) if isinstance(cell, list) else cell for cell in row]
            )


def _quote_column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(str(field.column))
