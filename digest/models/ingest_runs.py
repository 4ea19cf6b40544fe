"""The ledger of ingest: what was read, and what became of it."""

from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import models


class IngestRun(models.Model):
    """One reading of one source, a document or a harvest of many pages: what it
    brought, or why it was refused."""

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
    withdrawn = models.PositiveIntegerField(
        default=0, help_text="Papers that the source withdrew or deleted."
    )
    outcome = models.CharField(
        max_length=200,
        blank=True,
        help_text="What the reading was like: empty as expected, yesterday's batch again, …",
    )
    error = models.TextField(
        blank=True, help_text="What was wrong, why, and what to do."
    )
    window_from = models.DateField(
        "from", null=True, blank=True, help_text="The first day that was asked for."
    )
    window_until = models.DateField(
        "until", null=True, blank=True, help_text="The last day that was asked for."
    )
    part = models.CharField(
        max_length=64, blank=True, help_text="The set of papers that was asked for."
    )
    token = models.CharField(
        max_length=500,
        blank=True,
        help_text="Where a harvest goes on; written with the page before it.",
    )
    pages = models.PositiveIntegerField(default=0, help_text="Pages stored so far.")
    records = models.PositiveIntegerField(
        default=0, help_text="Records on those pages."
    )
    expected_records = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many the source said there are."
    )
    heartbeat_at = models.DateTimeField(
        null=True, help_text="When it last stored a page."
    )
    is_check = models.BooleanField(
        "daily check",
        default=False,
        help_text="A day's check of what the feeds said against OAI-PMH.",
    )
    missed = models.PositiveIntegerField(
        default=0, help_text="Papers that a check brought and the feeds had not."
    )
    corrected = models.PositiveIntegerField(
        default=0,
        help_text="Papers whose text, categories or version a check put right.",
    )
    confirmed = models.PositiveIntegerField(
        default=0, help_text="New papers of the day that a check met."
    )
    unconfirmed = models.PositiveIntegerField(
        default=0, help_text="New papers of the day that OAI-PMH did not have."
    )
    # Short fingerprints: a token that comes again leads round in a circle.
    tokens = models.JSONField(default=list, blank=True, editable=False)
    worker_id = models.CharField(max_length=80, blank=True, editable=False)
    etag = models.CharField(max_length=200, blank=True, editable=False)
    last_modified = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begun = monotonic()

    def __str__(self) -> str:
        return f"{self.source} {self.origin}: {self.state}"

    def moment(self, now: datetime) -> datetime:
        """`now`, the time at which this reading began, and what it has taken since."""
        return now + timedelta(seconds=monotonic() - self.begun)
