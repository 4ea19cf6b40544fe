from django.db import migrations

from accounts.concurrent_indexes import AddIndexConcurrently
from digest.models.digests import BlockRangeIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("digest", "0015_add_suggested_topics")]

    operations = [
        AddIndexConcurrently(
            "digest", BlockRangeIndex(fields=["batch"], name="digests_by_batch")
        ),
    ]
