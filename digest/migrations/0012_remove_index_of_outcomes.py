from django.db import migrations

from accounts.concurrent_indexes import RemoveIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("digest", "0011_index_digests_that_may_be_wrong")]

    operations = [
        RemoveIndexConcurrently("digest", "digests_that_went_wrong"),
    ]
