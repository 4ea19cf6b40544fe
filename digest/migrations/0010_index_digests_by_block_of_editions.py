from django.db import migrations

from accounts.concurrent_indexes import AddIndexConcurrently
from digest.models.digests import BlockRangeIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("digest", "0009_store_terms_search_rows_and_groups")]

    operations = [
        AddIndexConcurrently(
            "digest", BlockRangeIndex(fields=["edition"], name="digests_by_edition")
        ),
    ]
