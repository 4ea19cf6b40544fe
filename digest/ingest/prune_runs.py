"""Delete old ingest runs that no later run or alarm needs."""

from datetime import datetime, timedelta

from django.db.models import Max, Q

from digest.models import IngestRun
from digest.models.ingest_runs import IngestRunQuerySet

Kind, State = IngestRun.Kind, IngestRun.State

# About 200 runs a day add no paper; three months answer any question about a day.
RUNS_WITHOUT_PAPERS_KEPT = timedelta(days=90)
FAILED_RUNS_KEPT = timedelta(days=365)


def prune_runs(now: datetime) -> int:
    """Delete old runs that added no paper; return their number.

    Runs that added papers are kept: they are few and say where papers came from. So are
    the runs that later runs read. No row references a run.
    """
    runs = IngestRun.objects.filter(new=0).filter(
        Q(state=State.DONE, started_at__lt=now - RUNS_WITHOUT_PAPERS_KEPT)
        | Q(state=State.FAILED, started_at__lt=now - FAILED_RUNS_KEPT)
    )
    deleted, _ = runs.exclude(pk__in=_runs_in_use()).delete()
    return deleted


def _runs_in_use() -> set[int]:
    """Primary keys of the newest done run, of the first arXiv run, where the record
    starts, and of the newest done run of each feed and each set's daily check."""
    done = IngestRun.objects.done()
    arxiv = IngestRun.objects.filter(source="arxiv").order_by("started_at", "pk")
    feeds = done.of_kind(Kind.FEED).exclude(feed_state=IngestRun.FeedState.UNCHANGED)
    checks = done.of_kind(Kind.DAILY_CHECK)
    single = {run.pk for run in (done.newest_first().first(), arxiv.first()) if run}
    return (
        single | _newest_of_each(feeds, "origin") | _newest_of_each(checks, "set_spec")
    )


def _newest_of_each(runs: IngestRunQuerySet, column: str) -> set[int]:
    rows = runs.order_by().values(column).annotate(newest=Max("pk"))
    return {row["newest"] for row in rows}
