"""Error pages, and the rate limits whose excess is one of them."""

from math import ceil

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import rate_limits

# A search takes tens of milliseconds of a core. Two a second allow for a class of
# students behind one gateway.
SEARCHES_PER_NETWORK = "120/m"
# Each may cost a request to arXiv.
SUBMISSIONS_PER_NETWORK = "30/h"
# Parsing a megabyte of text takes up to a second of a core.
READING_LISTS_PER_NETWORK = "60/h"


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "pages/not_found.html", status=404)


def permission_denied(
    request: HttpRequest, exception: Exception | None = None
) -> HttpResponse:
    return render(request, "pages/permission_denied.html", status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form of another site, or of a browser that keeps no cookies."""
    return render(request, "pages/csrf_failure.html", status=403)


def refuse_over_limit(
    request: HttpRequest, group: str, rate: str
) -> HttpResponse | None:
    """Count one request of this network; return a 429 page when it is over the rate."""
    retry_after_s = rate_limits.hit(group, rate_limits.client_network(request), rate)
    if not retry_after_s:
        return None
    context = {"minutes": ceil(retry_after_s / 60)}
    response = render(request, "pages/too_many_requests.html", context, status=429)
    response["Retry-After"] = str(retry_after_s)
    return response


def refuse_frequent_searches(request: HttpRequest) -> HttpResponse | None:
    """Limit searches per network; pages without a query are free."""
    if not (request.GET.get("q") or request.GET.get("topic")):
        return None
    return refuse_over_limit(request, "searches", SEARCHES_PER_NETWORK)


# No template, stylesheet or row: any of them may be what failed.
SERVER_ERROR_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Something went wrong</title>
<main>
<h1>Something went wrong</h1>
<p>The error was on our side and has been logged. Try again in a minute, or go to the <a href="/">front page</a>.</p>
</main>
</html>
"""


def server_error(request: HttpRequest) -> HttpResponse:
    headers = {"Cache-Control": "no-store"}
    return HttpResponse(SERVER_ERROR_HTML, status=500, headers=headers)
