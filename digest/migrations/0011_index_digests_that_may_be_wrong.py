from django.db import migrations, models

from accounts.concurrent_indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("digest", "0010_index_digests_by_block_of_editions")]

    operations = [
        AddIndexConcurrently(
            "digest",
            models.Index(
                fields=["created_at"],
                condition=models.Q(
                    ("reason__in", ["refused", "recipient"]),
                    models.Q(("provider_detail", ""), _negated=True),
                    _connector="OR",
                ),
                name="digests_maybe_wrong",
            ),
        ),
    ]
