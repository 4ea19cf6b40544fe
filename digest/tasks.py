"""The Celery tasks of the pipeline, in its order. `digest.celery` schedules them."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import Task
from django.conf import settings
from django.utils import timezone

from accounts.models import Subscriber
from digest import alarms, figures, follows
from digest.celery import app
from digest.feedback import (
    experiment_results,
    imap,
    implicit_follows,
    process_events,
)
from digest.ingest import (
    daily_check,
    monitoring,
    oai_harvest,
    prune_runs,
    rerun,
    run_source,
    thumbnails,
)
from digest.ingest.reader_requests import pending_papers, submissions
from digest.mailer import (
    calls,
    circuit_breaker,
    claims,
    deliver,
    plan,
    recording,
    resend,
    retention,
    saved_papers,
    shutdown,
)
from digest.mailer.tally import Tally, count_outcomes, reconciliation_error
from digest.models import Batch, Digest, Edition, Heartbeat, IngestRun, Paper, Slot
from digest.models.operations import worker_heartbeat

# Tasks import digest.ranking when they run: it needs numpy, scipy and scikit-learn, which
# the web process and beat then do not load at start.

log = structlog.get_logger()

# send_batches ends after this time and enqueues itself again, so that events, listings
# and freezes are not delayed by a large edition.
SEND_TURN_SECONDS = 60.0
# A queued request that is older is dropped: beat has enqueued another one.
SEND_REQUEST_EXPIRES_SECONDS = 50
# Covers the last digests of weekly readers.
RECONCILE_EDITIONS_FOR = timedelta(days=6)


def enqueue_best_effort(task: Task[Any, None], *arguments: Any) -> None:
    """Enqueue a task, or log that the broker is down.

    For tasks that beat also schedules, so that no page fails without the broker.
    """
    try:
        task.delay(*arguments)
    except task.OperationalError as error:
        log.warning("broker is down", task=task.name, error=str(error))


@app.task
def record_worker_heartbeat(queue: str) -> None:
    Heartbeat.objects.record(worker_heartbeat(queue), timezone.now())


# Ingest: listings become papers, papers become candidates of the open edition.


@app.task
def ingest_announcements() -> None:
    """Fetch today's announcements unless they are stored; rank the newest edition."""
    now = timezone.now()
    runs = run_source.poll_feed(now)
    log_runs("announcements read", runs)
    if any(run.feed_state == IngestRun.FeedState.INCOMPLETE for run in runs):
        daily_check.run_daily_check(now)
    if runs:
        rank_newest_edition(now)


@app.task
def run_daily_check() -> None:
    """Compare the feeds with OAI-PMH, once per day."""
    now = timezone.now()
    runs = daily_check.run_daily_check(now)
    log_runs("feeds compared with OAI-PMH", runs)
    if runs:
        rank_newest_edition(now)


@app.task
def fill_missing_days() -> None:
    """Fetch days and categories that the feeds did not deliver from OAI-PMH; log what is still missing."""
    now = timezone.now()
    if oai_harvest.fill_gaps(now):
        rank_newest_edition(now)
    if missing := set(monitoring.missing_days(now)) - monitoring.empty_days(now):
        log.error("days without papers", days=sorted(map(str, missing)))


@app.task
def resume_abandoned_runs() -> None:
    """Resume ingest runs of dead workers and runs that were never enqueued."""
    now = timezone.now()
    if rerun.resume_abandoned(now):
        rank_newest_edition(now)


@app.task
def rerun_ingest_run(run_id: int) -> None:
    now = timezone.now()
    rerun.run_again(IngestRun.objects.get(pk=run_id), now)
    rank_newest_edition(now)


@app.task
def prune_ingest_runs() -> None:
    log.info("ingest runs pruned", count=prune_runs.prune_runs(timezone.now()))


@app.task
def fetch_submitted_paper(run_id: int) -> None:
    now = timezone.now()
    run_source.fetch_paper(IngestRun.objects.get(pk=run_id), now)
    rank_newest_edition(now)


@app.task
def fetch_reader_requests() -> None:
    """Look up submissions; fetch approved ones and the papers of reading lists."""
    now = timezone.now()
    submissions.close_needless(now)
    submissions.look_up_submissions(now)
    if submissions.fetch_approved(now):
        rank_newest_edition(now)
    if any(run.new for run in pending_papers.fetch_pending(now)):
        from digest.ranking import embeddings

        embeddings.refresh()  # so that previews use the new papers at once


@app.task
def collect_attention() -> None:
    """Fetch votes, comments and stars; rank the newest edition."""
    now = timezone.now()
    log_runs("votes read", run_source.ingest_attention(now))
    rank_newest_edition(now)


@app.task
def fetch_thumbnails() -> None:
    log.info("thumbnails fetched", count=thumbnails.fetch_thumbnails(timezone.now()))


def rank_newest_edition(now: datetime) -> Edition | None:
    """Fill and score the edition of the newest announcement day, unless it is frozen."""
    from digest.ranking import paper_topics, rank_edition

    newest = Paper.objects.newest_day(now)
    if newest is None or Edition.objects.frozen().filter(day=newest).exists():
        return None
    edition = rank_edition.rank_edition(newest, now)
    if edition:
        paper_topics.store_paper_topics(edition)
        number = edition.candidates.count()
        log.info("edition ranked", edition=str(edition.day), candidates=number)
    return edition


def log_runs(event: str, runs: Sequence[IngestRun]) -> None:
    """Log what the runs of a task found; nothing if there was none to do."""
    failed = [run for run in runs if run.state == IngestRun.State.FAILED]
    if runs:
        log.info(
            event,
            runs=len(runs),
            records=sum(run.records for run in runs),
            new=sum(run.new for run in runs),
            **({"failed": len(failed), "error": failed[0].error} if failed else {}),
        )


# Mailer: a frozen edition becomes mail.


@app.task
def freeze_and_plan() -> None:
    """Freeze due editions, plan due readers, and start sending. Runs every 15 minutes."""
    from digest.ranking import freeze

    now = timezone.now()
    for edition in freeze.freeze_due(now):
        number = edition.candidates.count()
        log.info("edition frozen", edition=str(edition.day), candidates=number)
    slots = [*plan.plan_due(now), *plan.plan_missed(now)]
    if welcomes := plan.plan_welcomes(now):
        slots.append(welcomes)
    for slot in slots:
        log.info(
            "readers planned",
            edition=str(slot.edition.day),
            at=f"{slot.at:%Y-%m-%dT%H:%MZ}",
            kind=slot.kind,
            batches=slot.batches.count(),
        )
    saved_papers.queue_friday_mails(now)
    figures.queue_weekly_reports(now)
    log_reconciliation_errors(now)
    alarms.log_alarms(now)
    send_batches.delay()


def log_reconciliation_errors(now: datetime) -> None:
    """Log editions whose recipients differ from accepted + failed + unknown + skipped."""
    for edition in Edition.objects.frozen().filter(
        frozen_at__gt=now - RECONCILE_EDITIONS_FOR
    ):
        if mismatch := reconciliation_error(edition, now):
            log.error(
                "edition does not reconcile", day=str(edition.day), mismatch=mismatch
            )


@app.task
def send_batches() -> None:
    """Send planned and reclaimed batches for a limited time, then enqueue the rest."""
    resend.resend_due(timezone.now())
    if (
        not send_planned_batches(seconds=SEND_TURN_SECONDS)
        and not shutdown.is_requested()
    ):
        send_batches.apply_async(expires=SEND_REQUEST_EXPIRES_SECONDS)


def send_planned_batches(
    edition: Edition | None = None,
    report: Callable[[], None] | None = None,
    seconds: float = float("inf"),
    slot: Slot | None = None,
) -> bool:
    """Claim batches, of one edition or slot if given, choose papers and deliver, until no batch is free.

    Return False if `seconds` or a shutdown ended it before.
    """
    from digest.ranking import choose

    end = time.monotonic() + seconds
    is_done = False

    def claim_batches() -> Iterator[tuple[Batch, Iterator[list[Digest]]]]:
        nonlocal is_done
        while time.monotonic() < end and not shutdown.is_requested():
            batch = claims.claim_next(edition, slot)
            if batch is None:
                is_done = True
                return
            yield batch, choose.assemble_blocks(batch, timezone.now())

    claims.resolve_abandoned_batches()
    with calls.open_pool() as pool, defer_garbage_collection():
        for batch, counts in deliver.deliver_batches(claim_batches(), pool):
            log.info(
                "batch sent",
                edition=str(batch.slot.edition.day),
                batch=batch.pk,
                readers=len(batch.readers),
                **describe(counts),
            )
            circuit_breaker.check_failure_rates(timezone.now())
            gc.collect(0)  # what this batch left, and nothing older
            if report:
                report()
    return is_done


@contextmanager
def defer_garbage_collection() -> Iterator[None]:
    """Leave reference cycles to explicit calls of gc.collect.

    Python would search all rows of a prepared edition for cycles again and again, a fifth
    of the time of sending.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def describe(counts: recording.DeliveryCounts) -> dict[str, int]:
    names = ("accepted", "failed", "unknown", "skipped", "waiting")
    return {name: number for name in names if (number := getattr(counts, name))}


@app.task
def send_edition_now(edition_id: int) -> None:
    """Plan a frozen edition for all readers without it, whatever their hour, and start sending."""
    edition = Edition.objects.sendable().filter(pk=edition_id).first()
    if edition:
        plan.plan_all(edition, timezone.now())
        send_batches.delay()


def send_edition(
    edition: Edition,
    subscriber: Subscriber | None,
    now: datetime,
    report: Callable[[], None] | None = None,
    wait: Callable[[], None] | None = None,
) -> Tally:
    """Freeze an edition and mail it now, to one reader or to everyone without a digest.

    Failed digests are sent again.

    `wait` is called while other workers hold batches; without it, those are left to them.
    """
    from digest.ranking import freeze

    freeze.freeze(edition, now)
    edition.refresh_from_db()
    resend.resend_failed(edition, now, subscriber)
    if subscriber:
        plan.plan_reader(edition, subscriber, now, Slot.Kind.MANUAL)
    else:
        plan.plan_all(edition, now)
    send_planned_batches(edition, report)
    while wait and claims.has_active_batches(edition) and not shutdown.is_requested():
        wait()
        send_planned_batches(edition, report)
    return count_outcomes(edition)


# Readers: sign-up, events, retention.


def follow_and_welcome(
    sender: Any, subscriber: Subscriber, requested_interests: Any, **_: Any
) -> None:
    """Receive `accounts.signals.confirmed`: store the interests, enqueue the welcome digest."""
    follows.follow_requested(subscriber, requested_interests)
    enqueue_best_effort(send_welcome_digest, subscriber.pk)


@app.task
def send_welcome_digest(subscriber_id: int) -> None:
    """Mail the latest frozen edition to a new reader, if there is one."""
    subscriber = Subscriber.objects.get(pk=subscriber_id)
    if edition := Edition.objects.sendable().order_by("day").last():
        now = timezone.now()
        if slot := plan.plan_reader(edition, subscriber, now, Slot.Kind.WELCOME):
            send_planned_batches(edition, slot=slot)


@app.task
def process_feedback() -> None:
    """Apply events of the mail provider, and yesterday's clicks."""
    if number := process_events.process_pending(timezone.now()):
        log.info("events processed", count=number)


@app.task
def poll_bounce_mailbox() -> None:
    """Read what was reported by mail, if a mailbox is configured."""
    if settings.BOUNCE_IMAP_URL:
        try:
            imap.poll_mailbox(timezone.now())
        except imap.MailboxUnavailable as error:
            log.warning("bounce mailbox is unavailable", error=str(error))
    process_events.process_pending(timezone.now())


@app.task
def prune_reader_data() -> None:
    """Delete digests, candidates, implicit follows and interests past their retention.

    Then compares some stored groups of example papers with newly computed ones.
    """
    from digest.feedback import prune_interests
    from digest.ranking import reader_profiles

    now = timezone.now()
    log.info("digests pruned", count=retention.prune_digests(now))
    log.info("candidates pruned", count=retention.prune_candidates(now))
    implicit_follows.prune_opened(now)
    log.info("interests pruned", count=prune_interests.prune_interests(now))
    reader_profiles.check_some_groups(now)


@app.task
def update_daily_figures() -> None:
    """Count the mails and readers of the last days for the dashboard and reports."""
    now = timezone.now()
    log.info("daily figures updated", days=figures.update_figures(now))
    experiment_results.update_results(now)
