"""Health checks for monitoring."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from digest.alarms import log_alarms
from digest.ingest import monitoring
from digest.ingest.sources import arxiv_calendar
from digest.installation import INSTALLATION_HEADER, installation_id
from digest.models import IngestRun, SendingPause

# A missing Friday still counts on Monday.
RECENT_DAYS = timedelta(days=4)
PAUSED_AUTOMATICALLY = "paused automatically"


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Answer 503 when the database, ingest or sending needs an operator.

    Ingest is bad when no listing was read for MAX_ATTENTION_AGE or a recent day has no
    papers; a new site has read none yet. The daily check and the votes are degraded
    after a day without success, and bad after two. Sending is bad when the circuit breaker paused
    it. `alarms` are dead processes, overdue freezes, waiting batches and forgotten pauses.
    `missing` also lists older days, and `empty` those with an empty feed, which raise no
    alarm; `checked` summarises the daily checks of the last week.
    """
    now = timezone.now()
    try:
        last_ingest, missing = last_ingest_at(), monitoring.missing_days(now)
        checked, sending = monitoring.check_summary(now), sending_status()
        empty = monitoring.empty_days(now)
        daily_check = monitoring.check_health(now)
        attention = monitoring.attention_health(now)
        alarms = log_alarms(now)
    except DatabaseError:
        return JsonResponse({"database": "unavailable"}, status=503)
    is_stale = (
        last_ingest is not None and now - last_ingest > monitoring.MAX_ATTENTION_AGE
    )
    today = arxiv_calendar.today(now)
    is_missing = any(today - day < RECENT_DAYS for day in missing if day not in empty)
    ingest = "stale" if is_stale else "a day is missing" if is_missing else "ok"
    status = {
        "database": "ok",
        "ingest": ingest,
        "sending": sending,
        "alarms": [alarm.text for alarm in alarms],
        "newest": last_ingest,
        "missing": missing,
        "empty": sorted(empty),
        "daily_check": daily_check,
        "attention": attention,
        "checked": asdict(checked),
        "holidays_known_until": arxiv_calendar.holidays_known_until(),
    }
    safety_nets = {daily_check, attention}
    is_healthy = ingest == "ok" and sending != PAUSED_AUTOMATICALLY and not alarms
    if not is_healthy or monitoring.Health.DOWN in safety_nets:
        return JsonResponse({"status": "failing", **status}, status=503)
    is_degraded = monitoring.Health.DEGRADED in safety_nets
    return JsonResponse({"status": "degraded" if is_degraded else "ok", **status})


class AliveMiddleware:
    """Answer /alive first of all: without the database, for any Host, over plain HTTP.

    Container health checks use it, so it must not fail for a reason that a restart of
    this process does not fix.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/alive" and request.method in ("GET", "HEAD"):
            return HttpResponse(
                "alive\n",
                content_type="text/plain; charset=utf-8",
                headers={
                    "Cache-Control": "no-store",
                    INSTALLATION_HEADER: installation_id(),
                },
            )
        return self.get_response(request)


def sending_status() -> str:
    """Say whether a sending pause is in force; its reason is for the admin only."""
    pauses = SendingPause.objects.in_force().values_list("is_automatic", flat=True)
    if any(pauses):
        return PAUSED_AUTOMATICALLY
    return "paused manually" if pauses else "ok"


def last_ingest_at() -> datetime | None:
    done = IngestRun.objects.filter(state=IngestRun.State.DONE)
    return done.order_by("-started_at").values_list("started_at", flat=True).first()
