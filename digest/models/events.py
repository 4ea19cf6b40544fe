"""Events: what the mail provider and our own redirect report."""

from datetime import date

from django.db import models

from digest.models.digests import Digest


class Event(models.Model):
    """One reported event, stored first and processed second."""

    source = models.CharField(
        max_length=16, help_text="sendgrid, or click for our own redirect."
    )
    key = models.CharField(max_length=120, help_text="The source's id of the event.")
    semantic_key = models.CharField(
        max_length=64,
        help_text="A hash of its content: providers repeat events under new ids.",
    )
    kind = models.CharField(
        max_length=24, help_text="delivered, bounce, spamreport, click, …"
    )
    digest = models.ForeignKey(
        Digest, models.SET_NULL, null=True, related_name="events"
    )
    payload = models.JSONField(default=dict)
    at = models.DateTimeField(help_text="When it happened, according to the source.")
    received_at = models.DateTimeField(auto_now_add=True)
    processed_at = models.DateTimeField(
        null=True, help_text="When it was processed; empty while it waits."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "key"], name="an_event_is_stored_once"
            ),
            models.UniqueConstraint(
                fields=["source", "semantic_key"], name="an_event_is_processed_once"
            ),
        ]
        indexes = [
            models.Index(
                "received_at",
                condition=models.Q(processed_at=None),
                name="events_to_process",
            ),
            models.Index(
                "received_at",
                condition=models.Q(kind__in=["bounce", "dropped", "spamreport"]),
                name="events_that_are_bad",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M}"


class ForeignEventCount(models.Model):
    """How many events a source reported on one day that belong to other mail streams of its account."""

    source = models.CharField(max_length=16)
    day = models.DateField()
    number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "day"], name="foreign_events_are_counted_by_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.number} from {self.source} on {self.day}"

    @classmethod
    def add(cls, source: str, day: date, number: int) -> None:
        row, _ = cls.objects.get_or_create(source=source, day=day)
        cls.objects.filter(pk=row.pk).update(number=models.F("number") + number)
