"""The ledger of ingest: what was read, and what became of it."""

from django.db import models


class IngestRun(models.Model):
    """One document read from one source: what it brought, or why it was refused."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    source = models.CharField(
        max_length=16,
        help_text="arxiv, huggingface, or unknown where the content did not say.",
    )
    origin = models.CharField(
        max_length=500, help_text="The address or the file that was read."
    )
    state = models.CharField(max_length=7, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    new = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    signals = models.PositiveIntegerField(
        default=0, help_text="New measurements of attention."
    )
    error = models.TextField(
        blank=True, help_text="What was wrong, why, and what to do."
    )

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.source} {self.origin}: {self.state}"
