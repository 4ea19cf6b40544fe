"""Leave digests only indexes that an acceptance does not change, and space for its update.

Dropping an index takes a moment only. The unique constraint of `subscriber` and `edition`
replaces the index of `subscriber`; nothing looks for the beginning of a key.
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

TABLE = "digest_digest"
# An accepted digest is a new version of its row in the same page.
FILLFACTOR_PERCENT = 50


def drop_prefix_index_of_keys(apps: Any, schema_editor: Any) -> None:
    """Drop the second index that Django creates for a unique text column, and set the fillfactor."""
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, TABLE)
    for name, constraint in constraints.items():
        if constraint["columns"] == ["key"] and not constraint["unique"]:
            schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")
    schema_editor.execute(
        f"ALTER TABLE {TABLE} SET (fillfactor = {FILLFACTOR_PERCENT})"
    )


class Migration(migrations.Migration):
    dependencies = [("digest", "0012_remove_index_of_outcomes")]

    operations = [
        migrations.AlterField(
            "digest",
            "edition",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="digests",
                to="digest.edition",
            ),
        ),
        migrations.AlterField(
            "digest",
            "subscriber",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="digests",
                to="accounts.subscriber",
            ),
        ),
        migrations.AlterField(
            "digest",
            "message_id",
            models.CharField(
                blank=True, help_text="The provider's id for this mail.", max_length=120
            ),
        ),
        migrations.RunPython(drop_prefix_index_of_keys, migrations.RunPython.noop),
    ]
