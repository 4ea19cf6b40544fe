"""The dashboard: open editions, sending, readers and ingest, with what needs action."""

from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import AccountMail, Subscriber
from digest.admin import run_summaries
from digest.admin.editions import count_candidates, count_recipients, list_url
from digest.alarms import find_alarms
from digest.ingest import monitoring
from digest.mailer import progress
from digest.mailer.tally import reconciliation_error
from digest.models import Batch, Candidate, Edition, Event, SendingPause, Submission
from digest.ranking import freeze

LISTED_RUNS, LISTED_FROZEN_EDITIONS, LISTED_OPEN_EDITIONS, LISTED_CANDIDATES = (
    8,
    3,
    2,
    5,
)
UNFINISHED_STATES = (Batch.State.PLANNED, Batch.State.CLAIMED, Batch.State.SENDING)


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """DASHBOARD_CALLBACK of unfold."""
    now = timezone.now()
    frozen_editions = [
        describe_frozen_edition(edition, now)
        for edition in Edition.objects.frozen()[:LISTED_FROZEN_EDITIONS]
    ]
    return {
        **context,
        "title": date_format(timezone.localdate(now), "l, j F"),
        "open_editions": [
            describe_open_edition(edition)
            for edition in Edition.objects.open()[:LISTED_OPEN_EDITIONS]
        ],
        "runs": run_summaries.recent_summaries(now, LISTED_RUNS),
        "alarms": find_alarms(now),
        "ingest_alarms": monitoring.find_alarms(now),
        "checked": monitoring.check_summary(now),
        "may_submit": request.user.has_perm("digest.add_ingestrun"),
        "pauses": SendingPause.objects.in_force()
        .select_related("edition")
        .order_by("pk"),
        "frozen_editions": frozen_editions,
        "is_sending": any(row["progress"].pace for row in frozen_editions),
        "readers": count_readers(),
        "recipients": count_recipients(now),
        "failing_mails": AccountMail.objects.filter(attempts__gt=0).count(),
        "waiting_events": Event.objects.filter(processed_at=None).count(),
        "waiting_papers": Submission.objects.waiting().count(),
    }


def describe_open_edition(edition: Edition) -> dict[str, Any]:
    pinned = edition.candidates.filter(pin__isnull=False).order_by("pin")
    return {
        "edition": edition,
        "list_url": list_url(edition),
        "counts": count_candidates(edition),
        "pinned": pinned.select_related("paper"),
        "top": top_candidates(edition),
        "freezes_at": freeze.due_at(edition),
    }


def top_candidates(edition: Edition) -> QuerySet[Candidate]:
    visible = edition.candidates.filter(is_hidden=False).order_by("-trend", "pk")
    rows = visible.select_related("paper").defer("paper__vector", "paper__dense_vector")
    return rows[:LISTED_CANDIDATES]


def describe_frozen_edition(edition: Edition, now: datetime) -> dict[str, Any]:
    """Tally, pace, reconciliation error and unfinished batches of a frozen edition."""
    sending = progress.progress_of(edition, now)
    batches = Batch.objects.filter(slot__edition=edition, state__in=UNFINISHED_STATES)
    states = dict(batches.values_list("state").annotate(Count("pk")).order_by())
    return {
        "edition": edition,
        "tally": sending.tally,
        "progress": sending,
        "mismatch": reconciliation_error(edition, now, sending.tally),
        "batches": [
            (state, states[state]) for state in UNFINISHED_STATES if state in states
        ],
    }


def count_readers() -> list[tuple[str, str, int]]:
    counts = dict(
        Subscriber.objects.values_list("state").annotate(Count("pk")).order_by()
    )
    return [
        (state.value, state.label, counts.get(state.value, 0))
        for state in Subscriber.State
    ]
