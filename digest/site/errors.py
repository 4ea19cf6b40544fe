"""Pages for what cannot be shown. Each says what to do next."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """No such page; also the site's own answer to every unknown address."""
    return render(request, "pages/not_found.html", status=404)


def too_many(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/too_many.html", status=429)


def broken(request: HttpRequest) -> HttpResponse:
    """The last resort: needs no row, no template and no session."""
    text = "<!doctype html><title>Something broke</title><h1>Something broke here</h1><p>It is not your fault. Please try again in a minute.</p>"
    return HttpResponse(text, status=500)
