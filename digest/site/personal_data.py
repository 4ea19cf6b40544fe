"""What is kept of a reader: given to them as one document, or erased, by a link that is only theirs."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Subscriber
from digest.models import Candidate
from digest.site.link_access import by_link, expired, private

PERSONAL = [
    *("email", "state", "zone", "hour", "frequency", "weekday", "length"),
    *("fill_mode", "note_when_empty", "learns_from_clicks"),
    *("paused_until", "created_at", "confirmed_at", "left_at"),
    *("consent_text", "consent_how"),
]


@require_http_methods(["GET", "HEAD", "POST"])
@private
def erase(request: HttpRequest, key: str) -> HttpResponse:
    """GET asks, POST deletes the reader and all that is theirs."""
    subscriber = by_link(key, timezone.now())
    if subscriber is None:
        return expired(request)
    if request.method == "POST":
        subscriber.delete()
        return render(request, "pages/erased.html")
    return render(request, "pages/erase.html", {"key": key, "subscriber": subscriber})


@require_safe
@private
def export(request: HttpRequest, key: str) -> HttpResponse:
    """All that we keep of a reader, as one JSON document."""
    subscriber = by_link(key, timezone.now())
    if subscriber is None:
        return expired(request)
    response = JsonResponse(kept_of(subscriber), json_dumps_params={"indent": 2})
    response["Content-Disposition"] = 'attachment; filename="my-paper-round.json"'
    return response


def kept_of(subscriber: Subscriber) -> dict[str, Any]:
    """What a reader may ask to see of themselves: settings, consent, interests, digests, reports, links,
    papers they submitted or want.

    Links without their keys: the file lies about longer than they should.
    """
    follows_ = subscriber.follows.values(
        "interest__kind", "interest__value", "weight", "source", "created_at"
    )
    events = subscriber.digests.filter(events__isnull=False).values(
        "events__kind", "events__at"
    )
    return {
        "reader": {name: getattr(subscriber, name) for name in PERSONAL},
        "interests": list(follows_),
        "digests": digests_of(subscriber),
        "reports": list(events),
        "links": list(
            subscriber.links.values("purpose", "payload", "created_at", "used_at")
        ),
        "submissions": list(
            subscriber.asked.values("submission__identifier", "submission__state", "at")
        ),
        "wanted": list(
            subscriber.pending_papers.values("identifier", "at", "not_found")
        ),
    }


def digests_of(subscriber: Subscriber) -> list[dict[str, Any]]:
    """Each digest with its papers; two queries however many."""
    rows = list(subscriber.digests.select_related("edition").order_by("edition__day"))
    ids = {pick.candidate for row in rows for pick in row.picks}
    known = Candidate.objects.filter(pk__in=ids)
    papers = dict(known.values_list("pk", "paper__identifier"))
    return [
        {
            "edition__day": row.edition.day,
            "created_at": row.created_at,
            "outcome": row.outcome,
            "papers": [papers.get(pick.candidate, "") for pick in row.picks],
        }
        for row in rows
    ]
