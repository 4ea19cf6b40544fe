"""Measure planning, counting and pruning at scale: what grows with the number of readers.

    make bench PART=planning                     100,000 readers
    make bench PART=planning READERS=1000000     a million

Generated readers in 38 time zones, all of whose digests of one edition are accepted. The
ticks of 26 hours plan them; then the edition is counted, and pruned past its retention.
"""

import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

READERS = int(os.environ.get("READERS") or 100_000)
FROZEN_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
TICKS = 4 * 26
# One for each UTC offset in use and daylight saving time rule of importance.
ZONES = [
    "Pacific/Midway",
    "Pacific/Honolulu",
    "Pacific/Marquesas",
    "America/Anchorage",
    "America/Los_Angeles",
    "America/Denver",
    "America/Phoenix",
    "America/Chicago",
    "America/Mexico_City",
    "America/New_York",
    "America/Bogota",
    "America/Halifax",
    "America/Caracas",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Argentina/Buenos_Aires",
    "Atlantic/South_Georgia",
    "Atlantic/Azores",
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "Africa/Lagos",
    "Europe/Helsinki",
    "Africa/Cairo",
    "Europe/Moscow",
    "Asia/Tehran",
    "Asia/Dubai",
    "Asia/Kabul",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Dhaka",
    "Asia/Yangon",
    "Asia/Bangkok",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Adelaide",
    "Australia/Sydney",
]
# Columns of the generated rows; all others are copied from one row that the models made.
READER_COLUMNS = {
    "email": "'reader' || n || '@example.org'",
    "address_hash": "md5(n::text)",
    "unsubscribe_key": "left(md5('key' || n), 22)",
    "zone": "(%(zones)s::text[])[1 + n %% cardinality(%(zones)s::text[])]",
    "hour": "CASE n %% 10 WHEN 0 THEN 18 WHEN 1 THEN 6 ELSE 7 END",
    "frequency": "CASE n %% 20 WHEN 0 THEN 'weekly' WHEN 1 THEN 'weekdays' ELSE 'daily' END",
    "weekday": "4",
}
DIGEST_COLUMNS = {
    "subscriber_id": "reader::bigint",
    "edition_id": "slot.edition_id",
    "batch_id": "batch.id",
    "key": "left(md5('d' || reader), 22)",
    "message_id": "md5(reader)",
}
FROM_NUMBERS = "generate_series(1, %(readers)s) AS n"
FROM_BATCHES = """
    digest_batch AS batch JOIN digest_slot AS slot ON slot.id = batch.slot_id,
    jsonb_array_elements_text(batch.readers) AS reader
"""

Result = dict[str, float | int]
Made = TypeVar("Made")


def measure() -> dict[str, Result]:
    from django.core.management import call_command
    from django.db import connection

    import tests.environment  # noqa: F401  PostgreSQL, and Django on it
    from accounts.models import Subscriber
    from digest.mailer import plan, retention, tally
    from digest.models import Batch, Digest, Edition

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE accounts_subscriber, digest_edition RESTART IDENTITY CASCADE"
        )
    edition = Edition.objects.create(
        day=FROZEN_AT.date(), state="frozen", frozen_at=FROZEN_AT
    )
    confirmed_at = FROZEN_AT - timedelta(days=9)
    template = Subscriber.objects.create(
        email="first@example.org", state="active", confirmed_at=confirmed_at
    )
    _generate(template, READER_COLUMNS, FROM_NUMBERS)
    template.delete()
    before = _peak_mb()
    ticks = [
        _timed(lambda at=at: plan.plan_due(at))[1]
        for at in (FROZEN_AT + timedelta(minutes=15) * n for n in range(TICKS))
    ]
    planned = Batch.objects.count()
    _, missed = _timed(lambda: plan.plan_missed(FROZEN_AT + timedelta(hours=26)))
    waiting, count_waiting = _timed(lambda: tally.count_outcomes(edition))
    batch = Batch.objects.create(slot=edition.slots.first(), readers=[])
    first = Digest.objects.create(
        subscriber=Subscriber.objects.first(),
        edition=Edition.objects.create(day=FROZEN_AT.date() - timedelta(days=1)),
        batch=batch,
        packed_picks=bytes(90),
        created_at=FROZEN_AT,
        outcome="accepted",
        outcome_at=FROZEN_AT,
    )
    _generate(first, DIGEST_COLUMNS, FROM_BATCHES)
    first.delete()
    Batch.objects.update(state=Batch.State.DONE)
    digest_mb, batch_mb = _table_mb("digest_digest"), _table_mb("digest_batch")
    done, count_done = _timed(lambda: tally.count_outcomes(edition))
    late = FROZEN_AT + timedelta(days=4)
    error, reconcile = _timed(lambda: tally.reconciliation_error(edition, late))
    assert waiting.waiting == done.accepted == done.recipients, (waiting, done)
    assert not error, error
    pruned, prune = _timed(lambda: _prune(retention.prune_digests))
    assert pruned == done.accepted
    assert not Digest.objects.exists()
    return {
        "planning": {
            "readers": READERS,
            "planned": done.recipients,
            "batches": planned,
            "all_ticks_s": sum(ticks),
            "largest_tick_s": max(ticks),
            "missed_s": missed,
            "count_waiting_s": count_waiting,
            "count_done_s": count_done,
            "reconcile_s": reconcile,
            "prune_s": prune,
            "pruned_per_second": pruned / prune,
            "digest_bytes": digest_mb * 1e6 / done.recipients,
            "batch_bytes_per_digest": batch_mb * 1e6 / done.recipients,
            "python_peak_mb": _peak_mb() - before,
        }
    }


def _generate(template: Any, columns: dict[str, str], source: str) -> None:
    """Insert a row for each of `source`, like the template but for these columns."""
    from django.db import connection

    table, pk = template._meta.db_table, template._meta.pk.column
    names = [f.column for f in template._meta.concrete_fields if not f.primary_key]
    values = ", ".join(columns.get(name, f'template."{name}"') for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {values}"
            f" FROM {table} AS template, {source} WHERE template.{pk} = %(template)s",
            {"zones": ZONES, "readers": READERS, "template": template.pk},
        )
        cursor.execute(f"ANALYZE {table}")


def _prune(prune: Callable[[datetime], int]) -> int:
    from django.test import override_settings

    with override_settings(DIGESTS_KEPT=30):
        return prune(FROZEN_AT + timedelta(days=31))


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.monotonic()
    made = work()
    return made, time.monotonic() - start


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _table_mb(table: str) -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s)", [table])
        return float(cursor.fetchone()[0]) / 1e6
