"""What the mail provider, or our own redirect, reported."""

from django.db import models

from digest.models.digests import Digest


class Event(models.Model):
    """One report, kept first and acted on second."""

    source = models.CharField(
        max_length=16, help_text="sendgrid, or click for our own redirect."
    )
    key = models.CharField(max_length=120, help_text="The source's own name for it.")
    semantic_key = models.CharField(
        max_length=64,
        help_text="A hash of what it says: providers repeat events under new names.",
    )
    kind = models.CharField(
        max_length=24, help_text="delivered, bounce, spamreport, click, …"
    )
    digest = models.ForeignKey(
        Digest, models.SET_NULL, null=True, related_name="events"
    )
    payload = models.JSONField(default=dict)
    at = models.DateTimeField(help_text="When it happened, as the source says.")
    received_at = models.DateTimeField(auto_now_add=True)
    acted_at = models.DateTimeField(
        null=True, help_text="When it was acted on; empty while it waits."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "key"], name="an_event_is_kept_once"
            ),
            models.UniqueConstraint(
                fields=["source", "semantic_key"], name="an_event_is_acted_on_once"
            ),
        ]
        indexes = [
            models.Index(
                "received_at",
                condition=models.Q(acted_at=None),
                name="events_that_wait",
            ),
            models.Index(
                "received_at",
                condition=models.Q(kind__in=["bounce", "dropped", "spamreport"]),
                name="events_that_are_bad",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M}"
