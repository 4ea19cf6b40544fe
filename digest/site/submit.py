"""Readers submit papers that the listings lack, where READER_SUBMISSIONS allows it."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Link, Subscriber
from digest import tasks
from digest.ingest.reader_requests import submissions
from digest.ingest.reader_requests.submissions import Answer
from digest.models import Paper, Submission, SubmissionRequest
from digest.site.decorators import refuse_if
from digest.site.errors import not_found
from digest.site.link_access import preferences_link_required
from digest.site.request_limits import SUBMISSIONS_PER_NETWORK, refuse_over_limit

MAX_INPUT_LENGTH = 200  # characters; arXiv's URLs have fifty
LISTED_SUBMISSIONS = 50


def refuse_where_disabled(request: HttpRequest) -> HttpResponse | None:
    return None if settings.READER_SUBMISSIONS else not_found(request)


@refuse_if(refuse_where_disabled)
@require_safe
def submit_intro(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/submit_intro.html")


@refuse_if(refuse_where_disabled)
@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def submit(request: HttpRequest, link: Link) -> HttpResponse:
    if request.method == "POST":
        return submit_paper(request, link)
    return render_form(request, link)


def submit_paper(request: HttpRequest, link: Link) -> HttpResponse:
    """Submit the entered paper; redirect where that stored something, so that reloading repeats nothing."""
    if refusal := refuse_over_limit(request, "submissions", SUBMISSIONS_PER_NETWORK):
        return refusal
    entered = request.POST.get("paper", "")[:MAX_INPUT_LENGTH]
    answer = submissions.submit_paper(link.subscriber, entered, timezone.now())
    if answer.submission is None:
        return render_form(request, link, answer, entered)
    if answer.submission.state == Submission.State.CHECKING:
        tasks.enqueue_best_effort(tasks.fetch_reader_requests)
    query = urlencode({"submitted": answer.identifier})
    return redirect(f"{reverse('submit', args=[link.key])}?{query}")


def render_form(
    request: HttpRequest, link: Link, answer: Answer | None = None, entered: str = ""
) -> HttpResponse:
    rows = submission_rows(link.subscriber)
    submitted = request.GET.get("submitted", "")
    context = {
        "key": link.key,
        "entered": entered if answer and answer.kind == "no_identifier" else "",
        "answer": answer,
        "submitted": next(
            (row for row in rows if row["submission"].identifier == submitted), None
        ),
        "max_per_day": submissions.MAX_SUBMISSIONS_PER_DAY,
        "rows": rows,
    }
    return render(request, "pages/submit.html", context)


def submission_rows(reader: Subscriber) -> list[dict[str, Any]]:
    """List this reader's submissions, newest first, and whether each paper is stored by now."""
    requests = SubmissionRequest.objects.filter(subscriber=reader)
    newest = requests.select_related("submission").order_by("-at", "-pk")
    rows = [request.submission for request in newest[:LISTED_SUBMISSIONS]]
    papers = Paper.objects.filter(identifier__in=[row.identifier for row in rows])
    stored = set(papers.values_list("identifier", flat=True))
    return [{"submission": row, "is_stored": row.identifier in stored} for row in rows]
