"""What the mail provider tells us: genuine, then kept, then acted on."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from digest import tasks
from digest.feedback import record
from digest.feedback import sendgrid_webhook as reports

# SendGrid posts at most 768 KB.
LARGEST = 2_000_000  # bytes


@csrf_exempt
@require_POST
def sendgrid(request: HttpRequest) -> HttpResponse:
    """204 kept, 403 not genuine, 413 too large, 400 unreadable, 503 we cannot tell: no key is set."""
    if not settings.SENDGRID_WEBHOOK_KEY:
        return HttpResponse(status=503)
    if size(request) > LARGEST:
        return HttpResponse(status=413)
    if not reports.genuine(request.headers, request.body):
        return HttpResponse(status=403)
    try:
        told = reports.parse(request.body)
    except ValueError:
        return HttpResponse(status=400)
    record.record(told, "sendgrid", timezone.now())
    tasks.enqueue_best_effort(tasks.process_feedback)
    return HttpResponse(status=204)


def size(request: HttpRequest) -> int:
    stated = request.META.get("CONTENT_LENGTH") or "0"
    return int(stated) if stated.isdigit() else LARGEST + 1
