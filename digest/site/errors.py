"""Error pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "pages/not_found.html", status=404)


def permission_denied(
    request: HttpRequest, exception: Exception | None = None
) -> HttpResponse:
    return render(request, "pages/permission_denied.html", status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form of another site, or of a browser that keeps no cookies."""
    return render(request, "pages/csrf_failure.html", status=403)


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
