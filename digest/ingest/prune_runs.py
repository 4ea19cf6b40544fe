"""The ledger, kept readable: rows that tell nothing any more go."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, Q, QuerySet

from digest.ingest.run_source import UNCHANGED
from digest.models import IngestRun

# Two hundred readings a day, nearly all of which bring no paper: three months of them
# answer any question about a day that a reader may still ask.
QUIET = timedelta(days=90)
# Why something failed last winter may matter in the next.
FAILED = timedelta(days=365)


def trim(now: datetime) -> int:
    """Delete old runs that brought no paper; how many there were.

    Runs that brought papers stay for good: they are few, and the account of where
    papers came from. However old, so do those that others read. No other row points
    to a run.
    """
    old = IngestRun.objects.filter(new=0).filter(
        Q(state=IngestRun.State.DONE, started_at__lt=now - QUIET)
        | Q(state=IngestRun.State.FAILED, started_at__lt=now - FAILED)
    )
    deleted, _ = old.exclude(pk__in=_read_by_others()).delete()
    return deleted


def _read_by_others() -> set[int]:
    """Whole readings that tell when anything was read at all, whether a feed changed,
    since when a check has to look; and the first of arXiv, where our record begins."""
    done = IngestRun.objects.filter(state=IngestRun.State.DONE).order_by("-started_at")
    feeds = done.filter(origin__startswith=settings.ARXIV_FEED_URL)
    arxiv = IngestRun.objects.filter(source="arxiv").order_by("started_at", "pk")
    kept = {row.pk for row in (done.first(), arxiv.first()) if row}
    return kept | _newest(feeds, "origin") | _newest(done.filter(is_check=True), "part")


def _newest(rows: QuerySet[IngestRun], each: str) -> set[int]:
    """The newest of each; a later row has a higher number."""
    found = rows.exclude(outcome=UNCHANGED).order_by().values(each)
    return {row["newest"] for row in found.annotate(newest=Max("pk"))}
