"""The first page of the control room: today first, and what needs a hand."""

from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Subscriber
from digest.admin import run_summaries
from digest.admin.editions import list_of, numbers, recipients
from digest.ingest import monitoring
from digest.mailer import ledger, progress
from digest.models import Batch, Candidate, Edition, Event, SendingPause, Submission
from digest.ranking import freeze

READINGS, SENDINGS = 8, 3
# A batch in one of these states wants a worker, or an eye.
UNFINISHED = (
    Batch.State.PLANNED,
    Batch.State.CLAIMED,
    Batch.State.SENDING,
    Batch.State.UNKNOWN,
    Batch.State.FAILED,
)


def today(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard shows; a callback of the theme."""
    now = timezone.now()
    return {
        **context,
        "title": f"{timezone.localdate(now):%A, %d %B}",
        "open_editions": [opened(edition) for edition in Edition.objects.open()[:2]],
        "readings": run_summaries.recent(now, READINGS),
        "alarms": monitoring.alarms(now),
        "checked": monitoring.checked(now),
        "may_submit": request.user.has_perm("digest.add_ingestrun"),
        "pauses": SendingPause.objects.in_force()
        .select_related("edition")
        .order_by("pk"),
        "sendings": (sendings := sending_now(now)),
        "is_moving": any(row["progress"].pace for row in sendings),
        "readers": readers(),
        "recipients": recipients(now),
        "waiting_events": Event.objects.filter(acted_at=None).count(),
        "waiting_papers": Submission.objects.waiting().count(),
    }


def opened(edition: Edition) -> dict[str, Any]:
    """An open edition: its numbers, its pins, when it closes."""
    pinned = edition.candidates.filter(pin__isnull=False).order_by("pin")
    return {
        "edition": edition,
        "list": list_of(edition),
        "numbers": numbers(edition),
        "pinned": pinned.select_related("paper"),
        "leaders": leaders(edition),
        "freezes_at": freeze.due_at(edition),
    }


def leaders(edition: Edition) -> QuerySet[Candidate]:
    """What trends most, so that an editor sees at a glance what the day is about."""
    shown = edition.candidates.filter(is_hidden=False).order_by("-trend", "pk")
    return shown.select_related("paper").defer("paper__vector")[:5]


def sending_now(now: datetime) -> list[dict[str, Any]]:
    """The latest frozen editions, newest first."""
    return [sending(edition, now) for edition in Edition.objects.frozen()[:SENDINGS]]


def sending(edition: Edition, now: datetime) -> dict[str, Any]:
    """A frozen edition: its tally, its pace, what does not add up, and its batches that are not finished."""
    moving = progress.of(edition, now)
    batches = Batch.objects.filter(slot__edition=edition, state__in=UNFINISHED)
    states = dict(batches.values_list("state").annotate(Count("pk")).order_by())
    return {
        "edition": edition,
        "tally": moving.tally,
        "progress": moving,
        "mismatch": ledger.mismatch(edition, now, moving.tally),
        "batches": [(state, states[state]) for state in UNFINISHED if state in states],
    }


def readers() -> list[tuple[str, str, int]]:
    """How many readers are in each state: (state, in words, count)."""
    found = dict(
        Subscriber.objects.values_list("state").annotate(Count("pk")).order_by()
    )
    return [
        (state.value, state.label, found.get(state.value, 0))
        for state in Subscriber.State
    ]
