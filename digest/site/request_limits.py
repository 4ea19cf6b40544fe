"""Limits on the size and the rate of requests."""

import re
from collections.abc import Callable
from math import ceil

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import rate_limits
from accounts.reader_import import MAX_FILE_BYTES

MAX_FORM_BYTES = 100_000
# Reading lists, webhooks and the admin may send up to DATA_UPLOAD_MAX_MEMORY_SIZE.
LARGE_BODY_PATHS = re.compile(r"/(preferences/[^/]+/papers|webhooks/|admin/)")
READER_IMPORT_PATH = "/admin/accounts/readerimport/add/"
# A search takes tens of milliseconds of a core. Two a second allow for a class of
# students behind one gateway.
SEARCHES_PER_NETWORK = "120/m"
# Each may cost a request to arXiv.
SUBMISSIONS_PER_NETWORK = "30/h"
# Parsing a megabyte of text takes up to a second of a core.
READING_LISTS_PER_NETWORK = "60/h"


class BodyLimitMiddleware:
    """Refuse large bodies by their stated length, before Django writes uploads to disk.

    A body without a stated length is never read: Django treats it as empty.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        limit: int = MAX_FORM_BYTES
        if request.path == READER_IMPORT_PATH:
            limit += MAX_FILE_BYTES
        elif LARGE_BODY_PATHS.match(request.path):
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        stated = request.META.get("CONTENT_LENGTH") or "0"
        if stated.isdecimal() and int(stated) <= limit:
            return self.get_response(request)
        context = {"limit_kb": limit // 1000}
        return render(request, "pages/body_too_large.html", context, status=413)


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
    """Limit searches per network; pages without a query or a form are free."""
    is_search = request.GET.get("q") or request.GET.get("topic")
    if not is_search and request.method != "POST":
        return None
    return refuse_over_limit(request, "searches", SEARCHES_PER_NETWORK)
