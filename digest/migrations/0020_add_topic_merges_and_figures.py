import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("digest", "0019_create_experiments"),
    ]

    operations = [
        migrations.AddField(
            model_name="topic",
            name="merged_into",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                help_text="The topic that has its followers now; its pages lead there.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="merged_topics",
                to="digest.topic",
            ),
        ),
        migrations.AlterField(
            model_name="topic",
            name="is_listed",
            field=models.BooleanField(
                default=True,
                help_text="Clear to archive it: it is no longer offered, and its followers keep it.",
                verbose_name="listed",
            ),
        ),
        migrations.CreateModel(
            name="TopicFigures",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("day", models.DateField(help_text="The day of the edition.")),
                (
                    "picks",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Papers in digests that were picked for the topic.",
                    ),
                ),
                (
                    "clicks",
                    models.PositiveIntegerField(
                        default=0, help_text="Those that their reader opened."
                    ),
                ),
                (
                    "disliked",
                    models.PositiveIntegerField(
                        default=0, help_text="Those that their reader wanted less of."
                    ),
                ),
                (
                    "topic",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="figures",
                        to="digest.topic",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "topic figures",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("topic", "day"), name="a_topic_has_figures_once_a_day"
                    )
                ],
            },
        ),
    ]
