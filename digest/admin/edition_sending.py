"""Sending of one edition: its recipients, and what an operator can do about them."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from accounts.admin_base import ModelAdmin, render_page
from accounts.models import Subscriber
from digest import tasks
from digest.mailer import plan, progress, resend, retention
from digest.mailer.forecast import Forecast, forecast_recipients
from digest.mailer.tally import Tally, count_outcomes
from digest.models import Batch, Digest, Edition, SendingPause, Slot, bulk
from digest.models.digests import DigestQuerySet
from digest.ranking import freeze

LISTED_PROBLEMS, LISTED_HISTORY, LISTED_ZONES = 20, 20, 4
# Answers of the provider that are read to count equal ones; they may differ by address.
MAX_READ_ANSWERS = 2_000
MAX_REASON_CHARS = 300
ADDRESS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")
REFRESH_SECONDS = 15
# Between the machine that froze an edition and the one that chose its digests.
MAX_CLOCK_DIFFERENCE = timedelta(hours=1)

Outcome = Digest.Outcome


class Refused(Exception):
    """The action is not possible now; the message says why."""


@dataclass(frozen=True)
class Action:
    """What an operator can do on the page: its button, what to confirm, and its effect.

    `run` returns what was done, in words for the page and the history. It raises Refused.
    """

    label: str
    warning: str
    permission: str
    run: Callable[[Edition, str, datetime], str]
    needs_reason: bool = False


def send_now(edition: Edition, reason: str, now: datetime) -> str:
    number = count_unserved(edition, now)
    if edition.is_open or edition.stopped_at or not number:
        raise Refused("Nothing to send: no reader is waiting for this edition.")
    try:
        tasks.send_edition_now.delay(edition.pk)
    except tasks.send_edition_now.OperationalError as error:
        raise Refused(
            f"The task queue does not answer ({error}), so nothing was sent. Try again when Redis is up."
        ) from error
    return f"Sending now to {count_readers(number)}"


def pause(edition: Edition, reason: str, now: datetime) -> str:
    pauses = SendingPause.objects
    if not pauses.trigger(reason, now, edition, is_automatic=False):
        raise Refused("This edition is already paused.")
    return f"Paused sending: {reason}"


def resume(edition: Edition, reason: str, now: datetime) -> str:
    number = SendingPause.objects.filter(edition=edition).release(now)
    if not number:
        raise Refused("This edition is not paused.")
    tasks.enqueue_best_effort(tasks.send_batches)
    return "Resumed sending"


def stop(edition: Edition, reason: str, now: datetime) -> str:
    if not Edition.objects.stop(edition.pk, now):
        raise Refused("This edition is open or was stopped before.")
    SendingPause.objects.filter(edition=edition).release(now)
    tasks.enqueue_best_effort(tasks.send_batches)  # which record the skipped readers
    return f"Stopped sending: {reason}"


def send_failed_again(edition: Edition, reason: str, now: datetime) -> str:
    number = resend.resend_failed(edition, now)
    return report_resent(number, "failed")


def send_unknown_again(edition: Edition, reason: str, now: datetime) -> str:
    ids = list(edition.digests.unknown().values_list("pk", flat=True))
    number = resend.resend_digests(edition, ids, now, Slot.Kind.MANUAL)
    return report_resent(number, "unknown")


def report_resent(number: int, outcome: str) -> str:
    if not number:
        raise Refused(f"No {outcome} digest can be sent again.")
    tasks.enqueue_best_effort(tasks.send_batches)
    return f"Sending {count_digests(number)} again, {outcome} before"


def mark_unknown_accepted(edition: Edition, reason: str, now: datetime) -> str:
    ids = list(edition.digests.unknown().values_list("pk", flat=True))
    if not (number := resend.mark_accepted(ids, now)):
        raise Refused("No digest of this edition is unknown.")
    return f"Marked {count_digests(number)} as accepted"


SENDING, DIGESTS = "digest.change_sendingpause", "digest.change_digest"
ACTIONS = {
    "send_now": Action(
        "Send now",
        "All readers without this edition get it now, whatever their hour. Mail that was sent cannot be called back.",
        SENDING,
        send_now,
    ),
    "pause": Action(
        "Pause",
        "No more mail of this edition is sent until you resume. Mails being sent this second still go out.",
        SENDING,
        pause,
        needs_reason=True,
    ),
    "resume": Action(
        "Resume", "Sending continues where it was paused.", SENDING, resume
    ),
    "stop": Action(
        "Stop for good",
        "Readers without this edition never get it. This cannot be undone. The next edition is not affected.",
        SENDING,
        stop,
        needs_reason=True,
    ),
    "send_failed": Action(
        "Send failed again",
        "These digests were refused, so no reader gets one twice. Refused addresses are left out.",
        DIGESTS,
        send_failed_again,
    ),
    "send_unknown": Action(
        "Send unknown again",
        "Readers whose digest had arrived after all get it twice.",
        DIGESTS,
        send_unknown_again,
    ),
    "mark_accepted": Action(
        "Mark unknown as accepted",
        "They count as delivered and are never sent again. Look one up at the provider first.",
        DIGESTS,
        mark_unknown_accepted,
    ),
}


def show_page(
    model_admin: ModelAdmin, request: HttpRequest, edition: Edition
) -> HttpResponse:
    """GET shows the page; POST asks to confirm an action, and with `sure` runs it."""
    if request.method == "POST":
        return act(model_admin, request, edition)
    now = timezone.now()
    response = render_page(
        model_admin,
        request,
        "admin/edition_sending.html",
        title=f"Sending of {date_format(edition.day, 'l, j F')}",
        edition=edition,
        actions=available_actions(edition, request, now),
        history=list_history(edition),
        **recipients_context(edition, now),
        **problems_context(edition, request),
    )
    if edition.frozen_at and has_unfinished_batches(edition):
        response["Refresh"] = str(REFRESH_SECONDS)
    return response


def act(
    model_admin: ModelAdmin, request: HttpRequest, edition: Edition
) -> HttpResponse:
    name, now = request.POST.get("action", ""), timezone.now()
    page = HttpResponseRedirect(sending_url(edition))
    if name not in available_actions(edition, request, now):
        messages.warning(request, "That is not possible any more.")
        return page
    action = ACTIONS[name]
    reason = " ".join(request.POST.get("reason", "").split())[:MAX_REASON_CHARS]
    if "sure" not in request.POST or (action.needs_reason and not reason):
        return confirm(model_admin, request, edition, name, now)
    try:
        message = action.run(edition, reason, now)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return page
    model_admin.log_change(request, edition, f"{message}.")
    messages.success(request, f"{message}.")
    return page


def confirm(
    model_admin: ModelAdmin,
    request: HttpRequest,
    edition: Edition,
    name: str,
    now: datetime,
) -> HttpResponse:
    action = ACTIONS[name]
    return render_page(
        model_admin,
        request,
        "admin/confirm_sending.html",
        title=f"{action.label}?",
        edition=edition,
        name=name,
        action=action,
        number=count_affected(edition, name, now),
        max_reason_chars=MAX_REASON_CHARS,
        is_incomplete="sure" in request.POST,
    )


def count_affected(edition: Edition, name: str, now: datetime) -> str:
    """The readers or digests of an action, in words; "" where it has none of its own."""
    match name:
        case "send_now":
            return count_readers(count_unserved(edition, now))
        case "send_failed":
            return count_digests(resend.failed_digests(edition).count())
        case "send_unknown" | "mark_accepted":
            return count_digests(edition.digests.unknown().count())
        case "stop":
            waiting = count_outcomes(edition).waiting + count_unserved(edition, now)
            return f"at most {count_readers(waiting)}"
    return ""


def available_actions(
    edition: Edition, request: HttpRequest, now: datetime
) -> dict[str, Action]:
    """The actions that this user may take in the present state of the edition."""
    is_frozen, is_stopped = not edition.is_open, edition.stopped_at is not None
    is_kept = not retention.is_past_retention(edition, now)
    is_paused = SendingPause.objects.in_force().filter(edition=edition).exists()
    is_live = is_frozen and not is_stopped and is_kept
    problems = count_problems(edition) if is_frozen else Counter[str]()
    possible = {
        "send_now": is_live and not is_paused,
        "pause": not is_stopped and not is_paused and is_kept,
        "resume": is_paused,
        "stop": is_live and not edition.expired(now),
        "send_failed": is_live and problems[Outcome.FAILED] > 0,
        "send_unknown": is_live and problems[Outcome.UNKNOWN] > 0,
        "mark_accepted": problems[Outcome.UNKNOWN] > 0,
    }
    return {
        name: action
        for name, action in ACTIONS.items()
        if possible[name] and request.user.has_perm(action.permission)
    }


def recipients_context(edition: Edition, now: datetime) -> dict[str, Any]:
    """Before the freeze a forecast; afterwards the outcomes, and a forecast of what is not planned yet."""
    frozen_at = edition.frozen_at or max(freeze.due_at(edition), now)
    forecast = forecast_recipients(edition, frozen_at, now)
    context: dict[str, Any] = {
        "freezes_at": frozen_at,
        "forecast": forecast,
        "hours": list_hours(forecast, edition, now),
        "left_out": left_out(forecast),
        "listed_zones": LISTED_ZONES,
        "pauses": SendingPause.objects.blocking(edition.pk).select_related("edition"),
    }
    if edition.is_open:
        return context
    if retention.is_past_retention(edition, now):
        return {**context, "deleted_after_days": retention.retention_days()}
    sending = (
        progress.progress_of(edition, now)
        if has_unfinished_batches(edition)
        else progress.Progress(count_outcomes(edition))
    )
    unplanned = sum(row["expected"] for row in context["hours"] if row["at"] > now)
    return {
        **context,
        "sending": sending,
        "outcomes": list_outcomes(sending.tally),
        "unplanned": 0 if edition.stopped_at else unplanned,
    }


def list_outcomes(tally: Tally) -> list[tuple[str, int]]:
    names = ("accepted", "waiting", "skipped", "failed", "unknown")
    return [(name, getattr(tally, name)) for name in names]


def list_hours(
    forecast: Forecast, edition: Edition, now: datetime
) -> list[dict[str, Any]]:
    """The quarter hours with readers: those planned, with their progress, and those expected."""
    hours: dict[datetime, dict[str, Any]] = {}
    slots = (
        edition.slots.filter(kind=Slot.Kind.HOUR)
        .annotate(
            readers=Sum(bulk.JsonArrayLength("batches__readers")),
            waiting=Count("batches", filter=~Q(batches__state=Batch.State.DONE)),
        )
        .values_list("at", "readers", "waiting")
    )
    for at, readers, waiting in slots:
        if readers:
            hours[at] = {"planned": readers, "unfinished_batches": waiting}
    for hour in forecast.hours:
        if hour.at > now or edition.is_open or hour.at in hours:
            row = hours.setdefault(hour.at, {})
            row |= {"expected": hour.readers, "zones": hour.zones}
    default = {"planned": 0, "expected": 0, "unfinished_batches": 0, "zones": []}
    return [{"at": at, **default, **hours[at]} for at in sorted(hours)]


def left_out(forecast: Forecast) -> list[tuple[str, int]]:
    """Readers who do not get the edition, by reason."""
    State = Subscriber.State
    states = dict(
        Subscriber.objects.exclude(state=State.ACTIVE)
        .values_list("state")
        .annotate(Count("pk"))
        .order_by()
    )
    return [
        ("get mail on other days", forecast.other_day),
        ("paused", forecast.paused),
        ("suppressed", forecast.suppressed),
        ("not confirmed", states.get(State.PENDING, 0)),
        ("unsubscribed", states.get(State.LEFT, 0)),
    ]


def problems_of(edition: Edition) -> DigestQuerySet:
    """Failed and unknown digests, by the index of what may be wrong since the freeze."""
    since = plan.freeze_time(edition) - MAX_CLOCK_DIFFERENCE
    return Digest.objects.went_wrong(since).filter(edition=edition)


def count_problems(edition: Edition) -> Counter[str]:
    return Counter(problems_of(edition).count_outcomes())


def problems_context(edition: Edition, request: HttpRequest) -> dict[str, Any]:
    """Failed and unknown digests by the provider's words, for users who may view digests."""
    if edition.is_open or not request.user.has_perm("digest.view_digest"):
        return {}
    problems = problems_of(edition)
    latest = problems.select_related("subscriber", "batch").defer("batch__readers")
    return {
        "answers": group_answers(problems),
        "problems": latest.order_by("-created_at", "-pk")[:LISTED_PROBLEMS],
        "problem_count": problems.count(),
        "listed_problems": LISTED_PROBLEMS,
    }


def group_answers(problems: QuerySet[Digest]) -> list[tuple[str, str, str, int]]:
    """Outcome, reason, the provider's words without addresses, and the number of digests."""
    columns = ("outcome", "reason", "provider_detail")
    counted = problems.values_list(*columns).annotate(n=Count("pk")).order_by("-n")
    groups: Counter[tuple[str, str, str]] = Counter()
    for outcome, reason, detail, number in counted[:MAX_READ_ANSWERS]:
        label = Digest.Reason(reason).label
        groups[outcome, label, ADDRESS.sub("…", detail)] += number
    return [(*group, n) for group, n in groups.most_common(LISTED_PROBLEMS)]


def list_history(edition: Edition) -> QuerySet[LogEntry]:
    """What staff did about this edition, newest first."""
    label = {"content_type__app_label": "digest", "content_type__model": "edition"}
    entries = LogEntry.objects.filter(**label, object_id=str(edition.pk))
    return entries.select_related("user").order_by("-pk")[:LISTED_HISTORY]


def has_unfinished_batches(edition: Edition) -> bool:
    return Batch.objects.filter(slot__edition=edition).unfinished().exists()


def count_unserved(edition: Edition, now: datetime) -> int:
    """Readers without a digest of a frozen edition who would be mailed now."""
    if edition.is_open:
        return 0
    unserved = plan.unserved_readers(edition, now)
    return Subscriber.objects.not_suppressed().filter(pk__in=unserved).count()


def count_readers(number: int) -> str:
    return f"{number:,} reader{'' if number == 1 else 's'}"


def count_digests(number: int) -> str:
    return f"{number:,} digest{'' if number == 1 else 's'}"


def sending_url(edition: Edition) -> str:
    return reverse("admin:digest_edition_sending", args=[edition.pk])
