from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("digest", "0017_remove_index_of_batches"),
    ]

    operations = [
        migrations.AddField(
            model_name="edition",
            name="stopped_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When an operator stopped it: readers without it do not get it any more.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="digest",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", ""),
                    ("nothing", "nothing new that matches"),
                    ("left", "unsubscribed or paused"),
                    ("suppressed", "bounced or complained before"),
                    ("expired", "the edition expired"),
                    ("stopped", "the edition was stopped"),
                    ("refused", "refused by the provider"),
                    ("recipient", "refused for this recipient"),
                ],
                default="",
                max_length=10,
                verbose_name="reason for outcome",
            ),
        ),
    ]
