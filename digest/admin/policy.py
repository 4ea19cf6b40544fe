"""Content security policy of the admin: unfold needs inline styles and eval, public pages do not."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

INLINE = "'unsafe-inline'"
ADMIN_CSP = {
    "style-src": ["'self'", INLINE],
    "script-src": ["'self'", INLINE, "'unsafe-eval'"],
    # The preview renders a mail in a sandboxed frame of this site.
    "frame-src": ["'self'"],
    "frame-ancestors": ["'self'"],
}


class AdminPolicyMiddleware:
    """Relax the content security policy under /admin/ only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_replace = ADMIN_CSP  # type: ignore[attr-defined]  # read by django-csp
        return response
