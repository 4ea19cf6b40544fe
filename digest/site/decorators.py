"""View decorators and response headers shared by the public pages."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def private_page(view: View[P]) -> View[P]:
    """Keep a page whose address holds a key out of caches and search indexes.

    Its Referrer-Policy stays the site's same-origin. With no-referrer, browsers send
    "Origin: null" with every form and Django's CSRF check refuses them all.
    """

    @wraps(view)
    def wrapper(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response["X-Robots-Tag"] = "noindex, nofollow"
        response["Cache-Control"] = "private, no-store"
        return response

    return wrapper


def refuse_if(
    check: Callable[[HttpRequest], HttpResponse | None],
) -> Callable[[View[P]], View[P]]:
    """Answer with the response of `check`; call the view where it returns None."""

    def decorator(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(
            request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponse:
            return check(request) or view(request, *args, **kwargs)

        return wrapper

    return decorator


def replace_policy(response: HttpResponse, **directives: list[str]) -> HttpResponse:
    """Replace directives of the site's Content-Security-Policy for one response."""
    named = {name.replace("_", "-"): sources for name, sources in directives.items()}
    response._csp_replace = named  # type: ignore[attr-defined]  # read by django-csp's middleware
    return response


def replace_mail_policy(
    response: HttpResponse, **directives: list[str]
) -> HttpResponse:
    return replace_policy(
        response, style_src=["'unsafe-inline'"], script_src=["'none'"], **directives
    )
