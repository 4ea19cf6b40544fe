"""Any run once more: the same window, the same day, the same paper, the same file."""

from datetime import datetime
from pathlib import Path

from django.conf import settings

from digest.ingest import collect, harvest
from digest.models import IngestRun


def run_again(run: IngestRun, now: datetime) -> list[IngestRun]:
    """Read again what this run read, as a run of its own.

    A harvest that stopped in the middle goes on there instead. Storing the same
    again changes nothing, so it is always safe.
    """
    if run.source == "huggingface" and run.window_from:
        return [collect.collect_day(run.window_from, now)]
    if run.window_from:
        return [harvest.harvest_again(run, now)]
    if run.part:
        return [collect.submit(collect.submitted(run.part, now), now)]
    if run.origin.startswith(settings.ARXIV_FEED_URL):
        return collect.collect_announcements(now)
    return collect.collect([Path(run.origin)], now)
