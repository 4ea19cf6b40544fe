"""Leave the index of blocks to find a batch's digests, and more space for their updates.

Dropping an index takes a moment only.
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

# With half of a page, the last of its 18 rows found no space for its accepted version.
FILLFACTOR_PERCENT = 45


def set_fillfactor(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"ALTER TABLE digest_digest SET (fillfactor = {FILLFACTOR_PERCENT})"
        )


class Migration(migrations.Migration):
    dependencies = [("digest", "0016_index_digests_by_block_of_batches")]

    operations = [
        migrations.AlterField(
            "digest",
            "batch",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="digests",
                to="digest.batch",
            ),
        ),
        migrations.AlterField(
            "digest",
            "message_id",
            models.CharField(
                blank=True,
                help_text="The provider's id for this mail; empty where it has none (SMTP).",
                max_length=120,
            ),
        ),
        migrations.RunPython(set_fillfactor, migrations.RunPython.noop),
    ]
