from django.db import migrations, models
from django.db.models.functions import StrIndex, Substr

from accounts.concurrent_indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0006_create_reader_imports")]

    operations = [
        AddIndexConcurrently(
            "subscriber",
            models.Index(
                Substr("email", StrIndex("email", models.Value("@")) + 1),
                name="readers_by_domain",
            ),
        ),
    ]
