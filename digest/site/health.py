"""Whether the site works, for machines that ask; and what robots may read."""

from datetime import datetime, timedelta

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from digest.models import IngestRun

# Votes are read every two hours: a day and a half without success is our fault,
# not a source's bad evening.
STALE = timedelta(hours=36)
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
    """200 while the database answers and listings are read; a new site has read none yet."""
    try:
        newest = newest_ingest()
    except DatabaseError:
        return JsonResponse({"database": "no answer"}, status=503)
    stale = newest is not None and timezone.now() - newest > STALE
    told = {"database": "ok", "ingest": "stale" if stale else "ok", "newest": newest}
    return JsonResponse(told, status=503 if stale else 200)


def newest_ingest() -> datetime | None:
    """When a listing was last read whole."""
    done = IngestRun.objects.filter(state=IngestRun.State.DONE)
    return done.order_by("-started_at").values_list("started_at", flat=True).first()


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ROBOTS, content_type="text/plain; charset=utf-8")
