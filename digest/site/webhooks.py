"""Delivery events posted by the mail provider."""

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from digest import tasks
from digest.feedback import record, sendgrid_webhook

log = structlog.get_logger(__name__)


@csrf_exempt
@require_POST
def sendgrid(request: HttpRequest) -> HttpResponse:
    """Verify and store events, then process them; 503 without a valid verification key."""
    if not settings.SENDGRID_WEBHOOK_KEY:
        return HttpResponse(status=503)
    try:
        if not sendgrid_webhook.is_genuine(request.headers, request.body):
            return HttpResponse(status=403)
        events = sendgrid_webhook.parse_post(request.body)
    except sendgrid_webhook.MalformedKey as error:
        log.error("events refused", error=str(error))  # SendGrid repeats them for a day
        return HttpResponse(status=503)
    except ValueError:
        return HttpResponse(status=400)
    record.record_reports(events, "sendgrid", timezone.now())
    tasks.enqueue_best_effort(tasks.process_feedback)
    return HttpResponse(status=204)
