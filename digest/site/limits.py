"""Rate limits on pages and forms that cost computing time, by visitor network."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse

from accounts import rate_limits
from digest.site.errors import too_many

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

# A search takes tens of milliseconds of a core. Two a second from one network is a class
# of students behind one gateway, not one person.
SEARCHES_PER_NETWORK = "120/m"
# A submission may cause a request to arXiv.
SUBMISSIONS_PER_NETWORK = "30/h"
# A megabyte of text takes up to a second of a core to parse.
READING_LISTS_PER_NETWORK = "60/h"


def limit_searches(view: View[P]) -> View[P]:
    """Answer 429 to networks that search too often; requests without a search are not counted."""

    @wraps(view)
    def limited(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        is_search = request.GET.get("q") or request.GET.get("topic")
        if is_search and (
            retry_after_s := rate_limits.hit(
                "searches", rate_limits.client_network(request), SEARCHES_PER_NETWORK
            )
        ):
            return too_many(request, retry_after_s)
        return view(request, *args, **kwargs)

    return limited


def hit_submission(request: HttpRequest) -> int:
    """Count a submission from the visitor's network; return the seconds to wait, or 0."""
    network = rate_limits.client_network(request)
    return rate_limits.hit("submissions", network, SUBMISSIONS_PER_NETWORK)


def hit_reading_list(request: HttpRequest) -> int:
    """Count a reading list from the visitor's network; return the seconds to wait, or 0."""
    network = rate_limits.client_network(request)
    return rate_limits.hit("reading lists", network, READING_LISTS_PER_NETWORK)
