"""The corridor, top to bottom: each step one task, each task a few lines."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import Task
from django.utils import timezone

from accounts.models import Subscriber
from digest import follows
from digest.celery import app
from digest.feedback import implicit_follows, process_events, prune_interests
from digest.ingest import daily_check, oai_harvest, prune_runs, rerun, run_source
from digest.ingest.reader_requests import pending_papers, submissions
from digest.mailer import (
    circuit_breaker,
    deliver,
    ledger,
    plan,
    resend,
    retention,
    shutdown,
    welcome,
)
from digest.mailer.ledger import Tally
from digest.models import Edition, IngestRun, Paper, Slot
from digest.ranking import choose, embeddings, freeze, rank_edition

log = structlog.get_logger()

# A task of sending ends after this and enqueues itself again, so that events, listings
# and freezes get their turn while a large edition leaves.
TURN_SECONDS = 60.0
# A request for this that waited longer finds others at work.
WORTHLESS_SECONDS = 50
# So long the numbers of an edition are verified: its weekly readers' last one included.
VERIFIED_FOR = timedelta(days=6)


def soon(task: Task[Any, None], *arguments: Any) -> None:
    """Enqueue what beat will see to anyway: a broker that is away must not fail a page."""
    try:
        task.delay(*arguments)
    except task.OperationalError as error:
        log.warning("broker away", task=task.name, error=str(error))


# Listings become papers, papers an open edition.


@app.task
def ingest() -> None:
    """Ask for today's announcements until they are here; rank the newest day again."""
    now = timezone.now()
    if run_source.poll(now):
        rank_newest(now)


@app.task
def ingest_check() -> None:
    """Once a day: ask OAI-PMH whether the feeds told everything, and told it right."""
    now = timezone.now()
    if daily_check.check(now):
        rank_newest(now)


@app.task
def ingest_gaps() -> None:
    """Fill in days and categories that the announcements left out."""
    now = timezone.now()
    if oai_harvest.fill_gaps(now):
        rank_newest(now)


@app.task
def ingest_left() -> None:
    """Go on with what a dead worker or a broker that was away left lying."""
    now = timezone.now()
    if rerun.take_up(now):
        rank_newest(now)


@app.task
def ingest_again(run_id: int) -> None:
    """Read again what a run read, or go on where it stopped."""
    now = timezone.now()
    rerun.run_again(IngestRun.objects.get(pk=run_id), now)
    rank_newest(now)


@app.task
def trim_ledger() -> None:
    """Every night: forget old readings that brought nothing."""
    log.info("ledger trimmed", runs=prune_runs.trim(timezone.now()))


@app.task
def ingest_submitted(run_id: int) -> None:
    """Take in the one paper that an editor asked for."""
    now = timezone.now()
    run_source.submit(IngestRun.objects.get(pk=run_id), now)
    rank_newest(now)


@app.task
def ingest_brought() -> None:
    """Look up what readers submitted; fetch what editors approved, and readers' own lists."""
    now = timezone.now()
    submissions.tidy(now)
    submissions.look_up(now)
    if submissions.fetch_approved(now):
        rank_newest(now)
    if any(run.new for run in pending_papers.fetch(now)):
        embeddings.refresh()  # a reader who looks now should not wait for vectors


@app.task
def ingest_attention() -> None:
    """Read votes, comments and stars, and rank the newest day again."""
    now = timezone.now()
    run_source.collect_attention(now)
    rank_newest(now)


def rank_newest(now: datetime) -> Edition | None:
    """Fill and re-score the edition of the newest announced day, unless it froze."""
    newest = Paper.objects.newest_day(now)
    if newest is None or Edition.objects.frozen().filter(day=newest).exists():
        return None
    return rank_edition.rank_edition(newest, now)


# A frozen edition becomes mail.


@app.task
def tick() -> None:
    """Every quarter hour: freeze what is due, plan who is due, and have it sent."""
    now = timezone.now()
    for edition in freeze.freeze_due(now):
        log.info("edition frozen", day=edition.day.isoformat())
    plan.plan_due(now)
    welcome.plan_welcomes(now)
    verify(now)
    drain.delay()


def verify(now: datetime) -> None:
    """Say loudly where recipients are not accepted + failed + unknown + skipped."""
    for edition in Edition.objects.frozen().filter(frozen_at__gt=now - VERIFIED_FOR):
        if wrong := ledger.mismatch(edition, now):
            log.error("an edition does not add up", day=str(edition.day), wrong=wrong)


@app.task
def drain() -> None:
    """Send whatever is planned, for a while; what a killed drain left is taken up here."""
    resend.resend_due(timezone.now())
    if not send_planned(seconds=TURN_SECONDS) and not shutdown.asked():
        drain.apply_async(expires=WORTHLESS_SECONDS)


def send_planned(
    edition: Edition | None = None,
    report: Callable[[], None] | None = None,
    seconds: float = float("inf"),
) -> bool:
    """Claim, choose, mail: batch after batch, until none is free; False where time ran out first."""
    end = time.monotonic() + seconds
    ledger.reclaim(timezone.now())
    while time.monotonic() < end and not shutdown.asked():
        batch = ledger.claim_next(timezone.now(), edition)
        if batch is None:
            return True
        digests = choose.assemble(batch, timezone.now())
        deliver.deliver(batch, digests, timezone.now())
        circuit_breaker.check(timezone.now())
        if report:
            report()
    return False


def send(
    edition: Edition,
    subscriber: Subscriber | None,
    now: datetime,
    report: Callable[[], None] | None = None,
    wait: Callable[[], None] | None = None,
) -> Tally:
    """Freeze this edition and mail it now: to one reader, or to all who have not had it.

    With `wait`, which is called until then, also what another worker holds or held
    when it died.
    """
    freeze.freeze(edition, now)
    edition.refresh_from_db()
    if subscriber:
        plan.plan_one(edition, subscriber, now, Slot.Kind.MANUAL)
    else:
        plan.plan_everyone(edition, now)
    send_planned(edition, report)
    while wait and ledger.held(edition) and not shutdown.asked():
        wait()
        send_planned(edition, report)
    return ledger.tally(edition)


# Readers come, click and leave.


def on_confirmed(
    sender: Any, subscriber: Subscriber, requested_interests: Any, **_: Any
) -> None:
    """A reader confirmed: follow what they asked for, and send the welcome digest at once."""
    follows.follow_requested(subscriber, requested_interests)
    soon(send_welcome, subscriber.pk)


@app.task
def send_welcome(subscriber_id: int) -> None:
    """Mail the latest frozen edition to a new reader; without one, the tick after the first freeze does."""
    subscriber = Subscriber.objects.get(pk=subscriber_id)
    if edition := Edition.objects.frozen().order_by("day").last():
        plan.plan_one(edition, subscriber, timezone.now(), Slot.Kind.WELCOME)
        send_planned(edition)


@app.task
def act_on_events() -> None:
    """Act on what the provider reported and on yesterday's clicks."""
    process_events.act(timezone.now())


@app.task
def forget() -> None:
    """Keep nothing of what readers got, opened or followed once it no longer counts."""
    now = timezone.now()
    log.info("digests forgotten", count=retention.trim(now))
    log.info("candidates forgotten", count=retention.thin(now))
    implicit_follows.trim(now)
    log.info("interests forgotten", count=prune_interests.forget(now))
