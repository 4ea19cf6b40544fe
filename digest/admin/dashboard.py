"""The dashboard: what needs action, open editions, sending, sources, processes, readers and trends."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import AccountMail, Subscriber
from digest import figures
from digest.admin import charts, run_summaries
from digest.admin.editions import count_candidates, count_recipients, list_url
from digest.alarms import MAX_BEAT_AGE, MAX_WORKER_AGE, find_alarms
from digest.celery import app
from digest.ingest import monitoring
from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.arxiv_calendar import Expected
from digest.mailer import progress
from digest.mailer.tally import Tally, reconciliation_error
from digest.models import (
    Batch,
    Candidate,
    DailyFigures,
    Digest,
    Edition,
    Event,
    Heartbeat,
    IngestRun,
    SendingPause,
    Submission,
)
from digest.models.operations import BEAT, worker_heartbeat
from digest.ranking import freeze

LISTED_RUNS, LISTED_FROZEN_EDITIONS, LISTED_OPEN_EDITIONS, LISTED_CANDIDATES = (
    8,
    3,
    2,
    5,
)
TREND_DAYS = (7, 30, 90)
UNFINISHED_STATES = (Batch.State.PLANNED, Batch.State.CLAIMED, Batch.State.SENDING)
# Failed and unknown digests of this period are counted; older ones can no longer be sent.
WRONG_OUTCOME_AGE = timedelta(days=14)

# What an operator does about an alarm, by its kind.
ALARM_ACTIONS = {
    "beat": "Restart beat or the broker, and look for the error in their logs.",
    "freeze": "Check that beat and a worker run, or freeze the edition by hand.",
    "batches": "Check that workers run and that the mail provider answers.",
    "pause": "Resume sending when its cause is gone.",
    "disk": "Free space: see what docs/sending.md says grows, and delete old backups.",
    "clock": "Synchronise both clocks by NTP: timedatectl.",
    "expired": "Nothing to send any more; find out why sending stopped.",
    "Missing": "They are requested again automatically. If that keeps failing, see the failed runs below.",
    "Empty": "If arXiv announced nothing, add the evening before to ARXIV_HOLIDAYS.",
    "Gap": "Fetch them with manage.py backfill.",
    "Lagging": "Papers are requested again automatically; look again in an hour.",
    "Unchecked": "Open the failed daily checks in the list of ingest runs.",
    "Stale": "Check that a worker and beat run, and open the failed runs.",
    "Unread": "Add the categories to ARXIV_CATEGORIES, or tell these readers.",
    "Calendar": "Set ARXIV_HOLIDAYS.",
}
WORKER_ACTION = "Restart the worker, and look for the error in its log."


@dataclass(frozen=True)
class AlarmGroup:
    """Alarms of one kind as one line: what is wrong, what to do, and each case."""

    text: str
    action: str
    details: list[str]


@dataclass(frozen=True)
class SourceState:
    """A source of papers: its state in a word, the level of that word, and details."""

    name: str
    state: str
    level: str  # good, warn or bad
    text: str
    next_at: datetime | None


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """DASHBOARD_CALLBACK of unfold."""
    now = timezone.now()
    frozen_editions = [
        describe_frozen_edition(edition, now)
        for edition in Edition.objects.frozen()[:LISTED_FROZEN_EDITIONS]
    ]
    alarms = [(alarm.kind, alarm.text) for alarm in find_alarms(now)]
    if not shows_recorded_papers():
        alarms += [(alarm.kind, alarm.text) for alarm in monitoring.find_alarms(now)]
    return {
        **context,
        "now": now,
        "title": date_format(timezone.localdate(now), "l, j F"),
        "open_editions": [
            describe_open_edition(edition)
            for edition in Edition.objects.open()[:LISTED_OPEN_EDITIONS]
        ],
        "runs": run_summaries.recent_summaries(now, LISTED_RUNS),
        "alarm_groups": group_alarms(alarms),
        "sources": describe_sources(now),
        "checked": monitoring.check_summary(now),
        "heartbeats": describe_heartbeats(now),
        "may_submit": request.user.has_perm("digest.add_ingestrun"),
        "pauses": SendingPause.objects.in_force()
        .select_related("edition")
        .order_by("pk"),
        "frozen_editions": frozen_editions,
        "is_sending": any(row["pace"] for row in frozen_editions),
        "wrong_outcomes": count_wrong_outcomes(now),
        "readers": count_readers(),
        "recipients": count_recipients(now),
        "failing_mails": AccountMail.objects.filter(attempts__gt=0).count(),
        "waiting_events": Event.objects.filter(processed_at=None).count(),
        "waiting_papers": Submission.objects.waiting().count(),
        **describe_trend(request.GET.get("days", ""), now),
    }


def group_alarms(alarms: Iterable[tuple[str, str]]) -> list[AlarmGroup]:
    """Make one line of all alarms of a kind, in the order of the first of each."""
    by_kind: dict[str, list[str]] = {}
    for kind, text in alarms:
        by_kind.setdefault(kind, []).append(text)
    groups = []
    for kind, texts in by_kind.items():
        action = ALARM_ACTIONS.get(kind, WORKER_ACTION)
        if len(texts) == 1:
            groups.append(AlarmGroup(texts[0], action, []))
        else:
            others = len(texts) - 1
            text = f"{texts[0]} And {others} more like this."
            groups.append(AlarmGroup(text, action, texts[1:]))
    return groups


def next_run(name: str, now: datetime) -> datetime:
    """When beat next enqueues an entry of the schedule."""
    remaining: timedelta = app.conf.beat_schedule[name]["schedule"].remaining_estimate(
        now
    )
    return now + remaining


def shows_recorded_papers() -> bool:
    """Whether this is a demo that has not read arXiv yet: what it lacks is no alarm."""
    feeds = IngestRun.objects.done().of_kind(IngestRun.Kind.FEED)
    return settings.DEMO and not feeds.filter(origin__startswith="http").exists()


def describe_sources(now: datetime) -> list[SourceState]:
    if shows_recorded_papers():
        text = "The demo shows recorded papers until it can read arXiv"
        next_at = next_run("ingest announcements", now)
        return [SourceState("arXiv feeds", "not read yet", "good", text, next_at)]
    return [describe_feed(now), describe_daily_check(now), describe_votes(now)]


def describe_feed(now: datetime) -> SourceState:
    day = arxiv_calendar.today(now)
    number = monitoring.arxiv_announced(day, day).count()
    papers = (
        f"{number:,} paper{'' if number == 1 else 's'} of {date_format(day, 'j F')}"
    )
    if monitoring.todays_feed_done(now):
        state, level = ("complete", "good") if number else ("none today", "good")
    elif arxiv_calendar.is_overdue(day, now):
        state, level = "late", "bad"
    elif arxiv_calendar.expected(day) == Expected.PAPERS:
        state, level = "expected", "warn"
    else:
        state, level = "none expected", "good"
    feeds = IngestRun.objects.of_kind(IngestRun.Kind.FEED).newest_first()
    run = feeds.defer("refused_records", "token_hashes").first()
    last = f"; last read {timezone.localtime(run.started_at):%H:%M}" if run else ""
    note = f", {run.note}" if run and run.note else ""
    next_at = next_run("ingest announcements", now)
    return SourceState("arXiv feeds", state, level, f"{papers}{last}{note}", next_at)


HEALTH_LEVELS = {
    monitoring.Health.OK: "good",
    monitoring.Health.DEGRADED: "warn",
    monitoring.Health.DOWN: "bad",
}


def describe_daily_check(now: datetime) -> SourceState:
    if not settings.ARXIV_OAI_URL:
        return SourceState(
            "arXiv OAI-PMH", "off", "warn", "ARXIV_OAI_URL is empty.", None
        )
    health = monitoring.check_health(now)
    done = IngestRun.objects.done().of_kind(IngestRun.Kind.DAILY_CHECK)
    return SourceState(
        "arXiv OAI-PMH",
        "ok" if health == monitoring.Health.OK else "stale",
        HEALTH_LEVELS[health],
        _last_success("daily check", done.newest_start()),
        next_run("check feeds against OAI-PMH", now),
    )


def describe_votes(now: datetime) -> SourceState:
    health = monitoring.attention_health(now)
    runs = IngestRun.objects.filter(source="huggingface").done()
    return SourceState(
        "Hugging Face",
        "ok" if health == monitoring.Health.OK else "stale",
        HEALTH_LEVELS[health],
        _last_success("reading of votes", runs.newest_start()),
        next_run("collect votes and comments", now),
    )


def _last_success(subject: str, at: datetime | None) -> str:
    if at is None:
        return f"no {subject} yet"
    return f"last {subject} {date_format(timezone.localtime(at), 'j M, H:i')}"


def describe_heartbeats(now: datetime) -> list[dict[str, Any]]:
    """When beat and the workers of each queue last gave a sign of life."""
    times = dict(Heartbeat.objects.values_list("name", "at"))
    processes = [("Beat", BEAT, MAX_BEAT_AGE)] + [
        (f"Worker of the queue {queue}", worker_heartbeat(queue), MAX_WORKER_AGE)
        for queue in settings.WORKER_QUEUES
    ]
    return [
        {
            "label": label,
            "at": times.get(name),
            "is_late": name not in times or times[name] <= now - max_age,
        }
        for label, name, max_age in processes
    ]


def describe_trend(given: str, now: datetime) -> dict[str, Any]:
    """Yesterday's funnel, and the charts and tables of the chosen period."""
    days = int(given) if given in map(str, TREND_DAYS) else TREND_DAYS[1]
    yesterday = timezone.localdate(now) - timedelta(days=1)
    rows = figures.load_figures(yesterday, days)
    newest = DailyFigures.objects.filter(day__lte=yesterday, planned__gt=0).first()
    dates = [row.day for row in rows]
    mails = [
        charts.Series("accepted", [row.accepted for row in rows], "a"),
        charts.Series("opened", [row.clicked for row in rows], "b"),
    ]
    readers = [
        charts.Series("gained", [row.gained for row in rows], "a"),
        charts.Series("lost", [-row.lost for row in rows], "c"),
    ]
    return {
        "trend_days": days,
        "trend_choices": TREND_DAYS,
        "trend_rows": list(reversed(rows)),
        "trend_total": figures.sum_figures(rows),
        "has_trend": any(row.pk for row in rows),
        "mail_chart": charts.bar_chart(
            f"Mails accepted and opened a day, last {days} days", dates, mails
        ),
        "reader_chart": charts.bar_chart(
            f"Readers gained and lost a day, last {days} days", dates, readers
        ),
        "funnel": newest and funnel_steps(newest),
        "funnel_day": newest and newest.day,
    }


def funnel_steps(row: DailyFigures) -> list[tuple[str, int, float | None]]:
    """Each step of the mails of one edition, and its share of those accepted."""

    def share(number: int) -> float | None:
        return 100 * number / row.accepted if row.accepted else None

    reported = [
        ("Delivered", row.delivered),
        ("Bounced", row.bounced),
        ("Complained", row.complained),
        ("Opened a link", row.clicked),
        ("Unsubscribed that day", row.lost),
    ]
    first = [("Planned", row.planned, None), ("Accepted", row.accepted, None)]
    return [*first, *((name, number, share(number)) for name, number in reported)]


def count_wrong_outcomes(now: datetime) -> dict[str, int]:
    """Count the failed and unknown digests that may still need a decision."""
    rows = Digest.objects.went_wrong(now - WRONG_OUTCOME_AGE)
    return rows.count_outcomes()


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
    """Tally, pace, reconciliation error and unfinished batches of a frozen edition.

    Once all its batches are done, the daily figures replace counting its digests.
    """
    batches = Batch.objects.filter(slot__edition=edition, state__in=UNFINISHED_STATES)
    states = dict(batches.values_list("state").annotate(Count("pk")).order_by())
    row = {
        "edition": edition,
        "batches": [
            (state, states[state]) for state in UNFINISHED_STATES if state in states
        ],
    }
    if not states:
        tally = finished_tally(edition)
        mismatch = reconciliation_error(edition, now, tally)
        return {**row, "tally": tally, "pace": 0, "mismatch": mismatch}
    sending = progress.progress_of(edition, now)
    return {
        **row,
        "tally": sending.tally,
        "pace": sending.pace,
        "time_left": sending.time_left,
        "mismatch": reconciliation_error(edition, now, sending.tally),
    }


def finished_tally(edition: Edition) -> Tally:
    """The outcomes of an edition whose batches are done: nobody waits for a digest.

    The figures count them once the edition has expired; before, the database does.
    """
    counted = DailyFigures.objects.filter(day=edition.day).first()
    if counted and edition.expired(counted.computed_at):
        return Tally(
            recipients=counted.planned,
            accepted=counted.accepted,
            failed=counted.failed,
            unknown=counted.unknown,
        )
    counts = Digest.objects.filter(edition=edition).count_outcomes()
    return Tally(
        recipients=sum(counts.values()),
        accepted=counts.get(Digest.Outcome.ACCEPTED, 0),
        failed=counts.get(Digest.Outcome.FAILED, 0),
        unknown=counts.get(Digest.Outcome.UNKNOWN, 0),
        skipped=counts.get(Digest.Outcome.SKIPPED, 0),
        waiting=counts.get(Digest.Outcome.PENDING, 0),
    )


def count_readers() -> list[tuple[str, str, int]]:
    counts = dict(
        Subscriber.objects.values_list("state").annotate(Count("pk")).order_by()
    )
    return [
        (state.value, state.label, counts.get(state.value, 0))
        for state in Subscriber.State
    ]
