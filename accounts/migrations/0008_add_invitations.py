
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_index_readers_by_domain"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="subscriber",
            options={
                "permissions": [("invite_subscriber", "Can invite readers")],
                "verbose_name": "reader",
            },
        ),
        migrations.AlterField(
            model_name="accountmail",
            name="kind",
            field=models.CharField(
                choices=[
                    ("sign_up", "sign-up"),
                    ("invitation", "invitation"),
                    ("preferences", "preferences link"),
                    ("address", "change of address"),
                    ("move_notice", "notice to the previous address"),
                    ("staff_password", "link to set a staff password"),
                    ("saved_papers", "papers saved this week"),
                ],
                max_length=16,
            ),
        ),
    ]
