"""Run an ingest run again, resume abandoned runs, and say what happens next to a run."""

from datetime import datetime, timedelta
from pathlib import Path

from django.utils import timezone

from digest.ingest import oai_harvest, run_source
from digest.ingest.reader_requests import pending_papers
from digest.ingest.sources import arxiv_calendar
from digest.models import IngestRun

Kind, State = IngestRun.Kind, IngestRun.State

# A task that has not started by then was lost: the broker was down when it was enqueued.
MAX_QUEUE_TIME = timedelta(minutes=10)
# A source that is down costs two minutes a run; the next round resumes the others.
MAX_RESUMED_RUNS = 5


def run_again(run: IngestRun, now: datetime) -> list[IngestRun]:
    """Repeat this run as a new run.

    An interrupted harvest is resumed instead, and a paper that was never fetched is
    fetched by its own run. Storing the same again changes nothing, so this is safe.
    """
    match run.kind:
        case Kind.HUGGINGFACE:
            assert run.window_from
            return [run_source.ingest_huggingface_day(run.window_from, now)]
        case Kind.DAILY_CHECK | Kind.HARVEST:
            return [oai_harvest.repeat_harvest(run, now)]
        case Kind.PAPER:
            return [run_source.fetch_paper(_paper_run(run, now), now)]
        case Kind.PENDING_PAPERS:
            return pending_papers.fetch_pending(now, again=True)
        case Kind.FEED:
            return run_source.ingest_feed(now)
        case _:
            return run_source.ingest_documents([Path(run.origin)], now)


def _paper_run(run: IngestRun, now: datetime) -> IngestRun:
    """The run itself while it waits for a worker, else a new run of the same paper."""
    if run.state == State.RUNNING:
        return run
    return run_source.create_paper_run(run.paper_identifier, now)


def resume_abandoned(now: datetime) -> list[IngestRun]:
    """Resume harvests whose worker ended, and fetch papers whose task was lost.

    A harvest whose token has expired is closed as failed instead: the next check or
    search for gaps covers its days.
    """
    running = IngestRun.objects.running().order_by("started_at")
    abandoned = [run for run in running if is_abandoned(run, now)]
    return [_resume_run(run, now) for run in abandoned[:MAX_RESUMED_RUNS]]


def is_abandoned(run: IngestRun, now: datetime) -> bool:
    if run.state != State.RUNNING or run.started_at > now:
        return False
    if run.worker_id and oai_harvest.is_worker_dead(run.worker_id):
        return True
    last_activity = run.heartbeat_at or run.started_at
    return last_activity < now - max(MAX_QUEUE_TIME, oai_harvest.LEASE_TIME)


def _resume_run(run: IngestRun, now: datetime) -> IngestRun:
    if run.kind == Kind.PAPER:
        return run_source.fetch_paper(run, now) if _claim_paper_run(run) else run
    is_harvest = run.kind in (Kind.HARVEST, Kind.DAILY_CHECK)
    if not is_harvest or run.started_at < now - oai_harvest.TOKEN_LIFETIME:
        return _close_run(run)
    return oai_harvest.resume_harvest(run, now)


def _claim_paper_run(run: IngestRun) -> bool:
    now = timezone.now()
    rows = IngestRun.objects.running().filter(pk=run.pk)
    free = rows.filter(oai_harvest.expired_lease(now))
    claim = {"heartbeat_at": now, "worker_id": oai_harvest.worker_id()}
    return free.update(**claim) == 1


def _close_run(run: IngestRun) -> IngestRun:
    run.finish(State.FAILED)
    run.failure = IngestRun.Failure.STOPPED
    run.error = f"{oai_harvest.WORKER_DIED} and the run was not resumed in time"
    run.save(update_fields=["state", "failure", "error", "finished_at"])
    return run


def next_step(run: IngestRun, now: datetime) -> str:
    """Say what happens to a run that is not done; the times are those of the schedule."""
    if run.state == State.DONE:
        return ""
    if run.state == State.FAILED:
        return _next_step_of_failed(run, now)
    if is_abandoned(run, now):
        return "No worker is running it: it is resumed within ten minutes."
    if run.kind == Kind.PAPER:
        return "Waiting for a worker."
    total = f" of {run.expected_records:,}" if run.expected_records else ""
    return f"Running: {run.records:,}{total} records so far."


def _next_step_of_failed(run: IngestRun, now: datetime) -> str:
    is_today = arxiv_calendar.today(run.started_at) == arxiv_calendar.today(now)
    match run.kind:
        case Kind.FEED if is_today:
            return "Repeated every 20 minutes while papers of the day are missing."
        case Kind.HUGGINGFACE if is_today:
            return "Repeated within two hours."
        case Kind.PENDING_PAPERS:
            return "Papers that readers still wait for are requested within two hours."
        case Kind.DAILY_CHECK if is_today:
            return "Resumed within the hour."
        case Kind.DAILY_CHECK:
            return "The next daily check covers its days."
        case Kind.FEED | Kind.HUGGINGFACE:
            return "Later runs have replaced it."
        case Kind.HARVEST if run.window_until is None:
            return "Resumed three times a day while days are missing."
        case Kind.HARVEST:
            return "The same backfill resumes it, and so does “Run again”."
        case _:
            return "“Run again” repeats it."
