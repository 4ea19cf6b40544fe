"""Whether the site works, for machines that ask; and what robots may read."""

from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from digest.ingest import monitoring
from digest.ingest.sources import arxiv_calendar
from digest.models import IngestRun, SendingPause

# Votes are read every two hours: a day and a half without success is our fault,
# not a source's bad evening.
STALE = timedelta(hours=36)
YOUNG = timedelta(days=4)  # a gap of Friday is still one on Monday
STANDS_STILL = "stands still"
ROBOTS = "User-agent: *\n" + "".join(
    f"Disallow: {path}\n"
    for path in (
        *("/admin/", "/d/", "/digests/", "/preferences/", "/confirm/"),
        *("/unsubscribe/", "/address/", "/mailbox", "/papers?q="),
    )
)


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """200 while the database answers, listings are read, no expected day lacks papers and no brake fell by itself.

    A new site has read none yet. `missing` are the days of the last weeks that should
    have brought papers; only young ones count, for an old gap is for an eye, not an alarm.
    `checked` is what OAI-PMH told otherwise than the feeds in the last week.
    """
    now = timezone.now()
    try:
        newest, missing = newest_ingest(), monitoring.missing(now)
        checked, sending = monitoring.checked(now), how_sending_goes()
    except DatabaseError:
        return JsonResponse({"database": "no answer"}, status=503)
    stale = newest is not None and now - newest > STALE
    young = any(arxiv_calendar.today(now) - day < YOUNG for day in missing)
    ingest = "stale" if stale else "a day is missing" if young else "ok"
    told = {
        "database": "ok",
        "ingest": ingest,
        "sending": sending,
        "newest": newest,
        "missing": missing,
        "checked": asdict(checked),
        "holidays_known_until": arxiv_calendar.holidays_known_until(),
    }
    well = ingest == "ok" and sending != STANDS_STILL
    return JsonResponse(told, status=200 if well else 503)


@require_safe
@never_cache
def alive(request: HttpRequest) -> JsonResponse:
    """200 while this program and its database answer: for whatever restarts programs.

    A day that arXiv owes us is an alarm, and no reason to restart anything.
    """
    try:
        IngestRun.objects.exists()
    except DatabaseError:
        return JsonResponse({"database": "no answer"}, status=503)
    return JsonResponse({"database": "ok"})


def how_sending_goes() -> str:
    """Whether a brake is in force. Why is for the admin and the log: whoever asks here may be anybody."""
    pulled = SendingPause.objects.in_force().values_list("is_automatic", flat=True)
    return STANDS_STILL if any(pulled) else "stopped by hand" if pulled else "ok"


def newest_ingest() -> datetime | None:
    """When a listing was last read whole."""
    done = IngestRun.objects.filter(state=IngestRun.State.DONE)
    return done.order_by("-started_at").values_list("started_at", flat=True).first()


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ROBOTS, content_type="text/plain; charset=utf-8")
