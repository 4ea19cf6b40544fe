"""The control room's content security policy: its theme needs inline styles and eval, public pages never do."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

INLINE = "'unsafe-inline'"
POLICY = {
    "style-src": ["'self'", INLINE],
    "script-src": ["'self'", INLINE, "'unsafe-eval'"],
    # A preview shows a mail in a sandboxed frame of our own.
    "frame-src": ["'self'"],
    "frame-ancestors": ["'self'"],
}


class AdminPolicyMiddleware:
    """Loosens the policy under /admin/ only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_replace = POLICY  # type: ignore[attr-defined]  # django-csp's own seam
        return response
