import django.contrib.postgres.indexes
from django.db import migrations

from accounts.concurrent_indexes import AddIndexConcurrently


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('digest', '0002_add_thumbnails_and_topics_of_papers'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='paper',
            index=django.contrib.postgres.indexes.GinIndex(fields=['authors'], name='papers_by_author', opclasses=['jsonb_path_ops']),
        ),
    ]
