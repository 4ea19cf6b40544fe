"""Readers submit papers that the listings left out, where the operator lets them."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Subscriber
from digest import tasks
from digest.ingest.reader_requests import submissions
from digest.ingest.reader_requests.submissions import Answer
from digest.models import Paper, Submission, SubmissionRequest
from digest.site.errors import not_found, too_many
from digest.site.limits import hit_submission
from digest.site.link_access import expired, opened, private

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

LONGEST = 200  # signs; an address of arXiv has fifty
OWN = 50  # submissions on a reader's page: ten days of as many as they may


def where_allowed(view: View[P]) -> View[P]:
    """No such page where readers may not submit."""

    @wraps(view)
    def allowed(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        if not settings.READER_SUBMISSIONS:
            return not_found(request)
        return view(request, *args, **kwargs)

    return allowed


@where_allowed
@require_safe
def about(request: HttpRequest) -> HttpResponse:
    """For whoever comes without a key: how to get one."""
    return render(request, "pages/submit_about.html")


@where_allowed
@require_http_methods(["GET", "HEAD", "POST"])
@private
def submit(request: HttpRequest, key: str) -> HttpResponse:
    """GET shows the form and what became of a reader's papers; POST submits one."""
    found = opened(key, timezone.now())
    if found is None:
        return expired(request)
    if request.method == "POST":
        return answered(request, found.subscriber, key)
    return show(request, found.subscriber, key)


def answered(request: HttpRequest, reader: Subscriber, key: str) -> HttpResponse:
    """Submit what was typed; where that changed something, the answer has an address of its own."""
    if retry_after_s := hit_submission(request):
        return too_many(request, retry_after_s)
    typed = request.POST.get("paper", "")[:LONGEST]
    answer = submissions.ask(reader, typed, timezone.now())
    if answer.submission is None:
        return show(request, reader, key, answer, typed)
    if answer.submission.state == Submission.State.CHECKING:
        tasks.enqueue_best_effort(tasks.fetch_reader_requests)
    here = reverse("submit", args=[key])
    return redirect(f"{here}?{urlencode({'asked': answer.identifier})}")


def show(
    request: HttpRequest,
    reader: Subscriber,
    key: str,
    answer: Answer | None = None,
    typed: str = "",
) -> HttpResponse:
    mine, asked = own(reader), request.GET.get("asked", "")
    context = {
        "key": key,
        "typed": typed if answer and answer.kind == "none" else "",
        "answer": answer,
        "thanks": next((one for one in mine if one["row"].identifier == asked), None),
        "a_day": submissions.A_DAY,
        "own": mine,
    }
    return render(request, "pages/submit.html", context)


def own(reader: Subscriber) -> list[dict[str, Any]]:
    """What this reader asked for, the latest first, and whether it is here by now."""
    asked = SubmissionRequest.objects.filter(subscriber=reader).select_related(
        "submission"
    )
    rows = [one.submission for one in asked.order_by("-at", "-pk")[:OWN]]
    known = Paper.objects.filter(identifier__in=[row.identifier for row in rows])
    here = set(known.values_list("identifier", flat=True))
    return [{"row": row, "is_here": row.identifier in here} for row in rows]
