"""Delivery events posted by the mail provider."""

from types import ModuleType

import httpx
import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from digest import tasks
from digest.feedback import (
    postmark_webhook,
    record,
    sendgrid_webhook,
    ses_webhook,
)

log = structlog.get_logger(__name__)

PROVIDERS: dict[str, ModuleType] = {
    module.SOURCE: module
    for module in (sendgrid_webhook, ses_webhook, postmark_webhook)
}


@csrf_exempt
@require_POST
def receive_events(request: HttpRequest, source: str) -> HttpResponse:
    """Verify and store events, then process them.

    Answers 503 if they cannot be verified: the key is missing or malformed, or SNS is not
    reachable. Providers repeat refused posts for hours.
    """
    provider = PROVIDERS[source]
    if not provider.is_configured():
        return HttpResponse(status=503)
    try:
        if not provider.is_genuine(request.headers, request.body):
            return HttpResponse(status=403)
        reports = provider.parse_post(request.body)
    except (sendgrid_webhook.MalformedKey, httpx.HTTPError) as error:
        log.error("events refused", source=source, error=str(error))
        return HttpResponse(status=503)
    except ValueError:
        return HttpResponse(status=400)
    record.record_reports(reports, source, timezone.now())
    tasks.enqueue_best_effort(tasks.process_feedback)
    return HttpResponse(status=204)
