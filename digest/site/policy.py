"""Content security policies of single pages, where they differ from the site's."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def policy(directives: dict[str, list[str]]) -> Callable[[View[P]], View[P]]:
    """Replace these directives for one view; django-csp's own decorators lose the view's type."""

    def decorator(view: View[P]) -> View[P]:
        @wraps(view)
        def own(
            request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponse:
            response = view(request, *args, **kwargs)
            response._csp_replace = directives  # type: ignore[attr-defined]  # django-csp's own seam
            return response

        return own

    return decorator
