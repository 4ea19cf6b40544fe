"""Pages for what cannot be shown. Each says what to do next."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """No such page; also the site's own answer to every unknown address."""
    return render(request, "pages/not_found.html", status=404)


def too_many(request: HttpRequest, retry_after_s: int) -> HttpResponse:
    response = render(request, "pages/too_many.html", status=429)
    response["Retry-After"] = str(retry_after_s)
    return response


def refused(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Who is logged in may not do this."""
    return render(request, "pages/refused.html", status=403)


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token: of another site, or of a browser that keeps no cookies."""
    return render(request, "pages/forged.html", status=403)


# Style and all in one: whatever broke may have been a template.
BROKEN = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Something broke</title>
<main>
<h1>Something broke here</h1>
<p>It is not your fault, and it is in our log. Please try again in a minute, or go to the <a href="/">front page</a>.</p>
</main>
</html>
"""


def broken(request: HttpRequest) -> HttpResponse:
    """The last resort: needs no row, no template and no session."""
    return HttpResponse(BROKEN, status=500, headers={"Cache-Control": "no-store"})
