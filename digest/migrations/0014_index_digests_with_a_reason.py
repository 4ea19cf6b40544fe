from django.db import migrations, models

from accounts.concurrent_indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("digest", "0013_remove_indexes_of_digests")]

    operations = [
        AddIndexConcurrently(
            "digest",
            models.Index(
                fields=["-id"],
                condition=models.Q(("reason", ""), _negated=True),
                name="digests_with_a_reason",
            ),
        ),
    ]
