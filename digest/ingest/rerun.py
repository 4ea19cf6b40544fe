"""Any run once more: the same window, the same day, the same paper, the same file."""

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from digest.ingest import oai_harvest, run_source, worker_identity
from digest.ingest.reader_requests import pending_papers
from digest.ingest.sources import arxiv_calendar
from digest.models import IngestRun

# A task that has not begun by then was lost: the broker was away when it was asked for.
WAITING = timedelta(minutes=10)
# A source that is away costs two minutes a run; the next round takes up the others.
AT_ONCE = 5


class Road(StrEnum):
    """Which way a run goes, as its row tells."""

    FEED = "feed"
    LIST = "list"
    CHECK = "check"
    WINDOW = "window"
    PAPER = "paper"
    WANTED = "wanted"
    DOCUMENT = "document"


def road(run: IngestRun) -> Road:
    """Which way this run went, and goes if it is run again."""
    if run.source == "huggingface" and run.window_from:
        return Road.LIST
    if run.window_from:
        return Road.CHECK if run.is_check else Road.WINDOW
    if run.part:
        return Road.WANTED if run.part == pending_papers.PART else Road.PAPER
    is_feed = run.origin.startswith(settings.ARXIV_FEED_URL)
    return Road.FEED if is_feed else Road.DOCUMENT


def run_again(run: IngestRun, now: datetime) -> list[IngestRun]:
    """Read again what this run read, as a run of its own.

    A harvest that stopped in the middle goes on there instead, and a paper that was
    never fetched is fetched by its own run. Storing the same again changes nothing,
    so it is always safe.
    """
    match road(run):
        case Road.LIST:
            assert run.window_from
            return [run_source.collect_day(run.window_from, now)]
        case Road.CHECK | Road.WINDOW:
            return [oai_harvest.harvest_again(run, now)]
        case Road.PAPER:
            return [run_source.submit(_waiting(run, now), now)]
        case Road.WANTED:
            return pending_papers.fetch(now, again=True)
        case Road.FEED:
            return run_source.collect_announcements(now)
        case Road.DOCUMENT:
            return run_source.collect([Path(run.origin)], now)


def _waiting(run: IngestRun, now: datetime) -> IngestRun:
    if run.state == IngestRun.State.RUNNING:
        return run
    return run_source.submitted(run.part, now)


def take_up(now: datetime) -> list[IngestRun]:
    """Go on with what a dead worker left running, and with papers that nobody fetched.

    A harvest that lay for most of a day is closed instead: its token has expired, and
    the next check or search for gaps covers its days.
    """
    running = IngestRun.objects.filter(state=IngestRun.State.RUNNING)
    lying = [run for run in running.order_by("started_at") if is_lying(run, now)]
    return [_take_up(run, now) for run in lying[:AT_ONCE]]


def is_lying(run: IngestRun, now: datetime) -> bool:
    """Whether this run says that it is running, and nobody is at it."""
    if run.state != IngestRun.State.RUNNING or run.started_at > now:
        return False
    if run.worker_id and worker_identity.is_gone(run.worker_id):
        return True
    since = run.heartbeat_at or run.started_at
    return since < now - max(WAITING, oai_harvest.IDLE)


def _take_up(run: IngestRun, now: datetime) -> IngestRun:
    if road(run) == Road.PAPER:
        return run_source.submit(run, now) if _claim(run) else run
    if run.window_from is None or run.started_at < now - oai_harvest.FRESH:
        return _close(run, now)
    return oai_harvest.go_on(run, now)


def _claim(run: IngestRun) -> bool:
    """Whether no other worker takes this paper up."""
    at = timezone.now()
    ours = IngestRun.objects.filter(pk=run.pk, state=IngestRun.State.RUNNING)
    free = ours.filter(oai_harvest.abandoned(at))
    return free.update(heartbeat_at=at, worker_id=worker_identity.me()) == 1


def _close(run: IngestRun, now: datetime) -> IngestRun:
    run.state, run.error = (
        IngestRun.State.FAILED,
        f"{oai_harvest.DIED} and nobody went on",
    )
    run.finished_at = now
    run.save(update_fields=["state", "error", "finished_at"])
    return run


def what_next(run: IngestRun, now: datetime) -> str:
    """What becomes of a run that is not done, in words; the times are the timetable's."""
    if run.state == IngestRun.State.DONE:
        return ""
    if run.state == IngestRun.State.FAILED:
        return _after_failure(run, now)
    if is_lying(run, now):
        return "Nobody is at it: it is taken up within ten minutes."
    if road(run) == Road.PAPER:
        return "Waits for a worker."
    of = f" of {run.expected_records:,}" if run.expected_records else ""
    return f"At work: {run.records:,}{of} records so far."


def _after_failure(run: IngestRun, now: datetime) -> str:
    today = arxiv_calendar.today(run.started_at) == arxiv_calendar.today(now)
    match road(run):
        case Road.FEED if today:
            return "Asked again every 20 minutes while papers of the day are missing."
        case Road.LIST if today:
            return "Asked again within two hours."
        case Road.WANTED:
            return "What readers still wait for is asked for again within two hours."
        case Road.CHECK if today:
            return "Goes on within the hour."
        case Road.CHECK:
            return "The check after it covers its days."
        case Road.FEED | Road.LIST:
            return "Later rounds asked again."
        case Road.WINDOW if run.window_until is None:
            return "While days are missing, it goes on three times a day."
        case Road.WINDOW:
            return "The same backfill takes it up; so does “Read again”."
        case _:
            return "“Read again” tries once more."
