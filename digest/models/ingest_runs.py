"""Ingest runs: what was read from a source, and the result."""

from datetime import datetime
from typing import Self

from django.db import models
from django.utils import timezone


class IngestRunQuerySet(models.QuerySet["IngestRun"]):
    """Ingest runs by kind, state and time."""

    def done(self) -> Self:
        return self.filter(state=IngestRun.State.DONE)

    def failed(self) -> Self:
        return self.filter(state=IngestRun.State.FAILED)

    def running(self) -> Self:
        return self.filter(state=IngestRun.State.RUNNING)

    def of_kind(self, *kinds: str) -> Self:
        return self.filter(kind__in=kinds)

    def started_between(self, first: datetime, last: datetime) -> Self:
        """Both ends included; excludes runs that a wrong clock dated in the future."""
        return self.filter(started_at__range=(first, last))

    def newest_first(self) -> Self:
        return self.order_by("-started_at", "-pk")

    def oldest_start(self) -> datetime | None:
        return self.order_by("started_at").values_list("started_at", flat=True).first()

    def newest_start(self) -> datetime | None:
        return self.newest_first().values_list("started_at", flat=True).first()


class IngestRun(models.Model):
    """One reading of one source: a document, or a harvest of many pages."""

    class Kind(models.TextChoices):
        FEED = "feed", "arXiv feed"
        DAILY_CHECK = "daily_check", "daily check"
        HARVEST = "harvest", "OAI-PMH harvest"
        PAPER = "paper", "single paper"
        PENDING_PAPERS = "pending_papers", "papers of reading lists"
        HUGGINGFACE = "huggingface", "Hugging Face list"
        DOCUMENT = "document", "document"

    class State(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    class FeedState(models.TextChoices):
        COMPLETE = "complete", "complete"
        PARTLY_STALE = "partly_stale", "stale in some categories"
        STALE = "stale", "stale"
        LATE = "late", "late"
        EMPTY = "empty", "empty"
        EMPTY_AS_EXPECTED = "empty_expected", "empty as expected"
        UNCHANGED = "unchanged", "unchanged"
        INCOMPLETE = "incomplete", "incomplete"

    class Failure(models.TextChoices):
        UNREACHABLE = "unreachable", "source did not answer"
        RATE_LIMITED = "rate_limited", "source limits our requests"
        REFUSED = "refused", "document refused"
        STOPPED = "stopped", "stopped"

    # Feed states in which the feed listed papers of its own day.
    FEED_STATES_WITH_PAPERS = (
        FeedState.COMPLETE,
        FeedState.PARTLY_STALE,
        FeedState.INCOMPLETE,
    )
    # Failures after which another request to the same source is pointless for now.
    SOURCE_FAILURES = (Failure.UNREACHABLE, Failure.RATE_LIMITED)

    kind = models.CharField(max_length=16, choices=Kind.choices)
    source = models.CharField(
        max_length=16,
        help_text="arxiv, huggingface, or unknown where the content did not say.",
    )
    origin = models.CharField(
        max_length=500, help_text="The address or the file that was read."
    )
    state = models.CharField(max_length=7, choices=State.choices, default=State.RUNNING)
    failure = models.CharField(
        max_length=12, choices=Failure.choices, blank=True, help_text="Why it failed."
    )
    feed_state = models.CharField(
        max_length=16,
        choices=FeedState.choices,
        blank=True,
        help_text="Whether the feed had the papers of its day.",
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    new = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    samples = models.PositiveIntegerField(
        default=0, help_text="New attention samples: votes, comments and stars."
    )
    withdrawn = models.PositiveIntegerField(
        default=0, help_text="Papers that the source withdrew or deleted."
    )
    restored = models.PositiveIntegerField(
        default=0,
        help_text="Withdrawn papers that were published again in a new version.",
    )
    note = models.CharField(
        max_length=200,
        blank=True,
        help_text="The result in words: empty as expected, yesterday's papers again, …",
    )
    error = models.TextField(blank=True, help_text="What failed, why, and what to do.")
    categories = models.JSONField(
        default=list, blank=True, help_text="The arXiv categories that were requested."
    )
    window_from = models.DateField(
        "from", null=True, blank=True, help_text="The first requested day."
    )
    window_until = models.DateField(
        "until", null=True, blank=True, help_text="The last requested day."
    )
    set_spec = models.CharField(
        "OAI-PMH set", max_length=64, blank=True, help_text="The requested set."
    )
    paper_identifier = models.CharField(
        "paper", max_length=64, blank=True, help_text="The requested paper."
    )
    token = models.CharField(
        max_length=500,
        blank=True,
        help_text="Resumption token of the next page; saved together with the page before it.",
    )
    pages = models.PositiveIntegerField(default=0, help_text="Pages stored so far.")
    records = models.PositiveIntegerField(
        default=0, help_text="Records on those pages."
    )
    expected_records = models.PositiveIntegerField(
        null=True, blank=True, help_text="The total that the source announced."
    )
    heartbeat_at = models.DateTimeField(
        null=True, help_text="When it last stored a page."
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="How often a harvest was started or resumed."
    )
    missed = models.PositiveIntegerField(
        default=0, help_text="Papers in OAI-PMH that the feeds had not listed."
    )
    corrected = models.PositiveIntegerField(
        default=0,
        help_text="Papers whose text, categories or version the daily check corrected.",
    )
    confirmed = models.PositiveIntegerField(
        default=0, help_text="New papers of the day that OAI-PMH has too."
    )
    unconfirmed = models.PositiveIntegerField(
        default=0, help_text="New papers of the day that OAI-PMH does not have."
    )
    refused_records = models.JSONField(
        default=list,
        blank=True,
        help_text="Records that could not be read: identifier and reason of each.",
    )
    # Hashes of the tokens so far: a repeated token means an endless loop.
    token_hashes = models.JSONField(default=list, blank=True, editable=False)
    worker_id = models.CharField(max_length=80, blank=True, editable=False)
    etag = models.CharField(max_length=200, blank=True, editable=False)
    last_modified = models.CharField(max_length=64, blank=True, editable=False)

    objects = IngestRunQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.origin}: {self.state}"

    @property
    def lost_source(self) -> bool:
        return self.failure in self.SOURCE_FAILURES

    def finish(self, state: str) -> None:
        """Set state and end; a clock that was set back never ends a run before its start."""
        self.state, self.finished_at = state, max(self.started_at, timezone.now())
