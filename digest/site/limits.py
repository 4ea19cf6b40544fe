"""How often one network may ask what costs us work."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse

from accounts import rate_limits
from digest.site.errors import too_many

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

# A question costs tens of milliseconds of a core: two a second from one network is
# a class of students behind one gateway, not a person.
QUESTIONS = "120/m"
# A submission may cost arXiv a question: a lab behind one gateway, not a program.
SUBMISSIONS = "30/h"
# A megabyte of text costs up to a second of a core to read.
LISTS = "60/h"


def questions_limited(view: View[P]) -> View[P]:
    """Refuse a network that asks too often; pages without a question are free."""

    @wraps(view)
    def limited(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        asks = request.GET.get("q") or request.GET.get("topic")
        if asks and rate_limits.used_up(
            "questions", rate_limits.network(request), QUESTIONS
        ):
            return too_many(request)
        return view(request, *args, **kwargs)

    return limited


def submissions_used_up(request: HttpRequest) -> bool:
    """Whether too many papers were submitted from this visitor's network."""
    return rate_limits.used_up("submissions", rate_limits.network(request), SUBMISSIONS)


def lists_used_up(request: HttpRequest) -> bool:
    """Whether too many lists of papers came from this visitor's network."""
    return rate_limits.used_up("lists", rate_limits.network(request), LISTS)
