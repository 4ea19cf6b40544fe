"""What a key in a mailed link opens."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Link, Subscriber
from digest.models import Digest

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

# A digest may lie in an inbox as long as a link to preferences lives.
LIFETIME = timedelta(days=30)


def private(view: View[P]) -> View[P]:
    """A page whose address holds a key: not indexed, not cached.

    Its Referrer-Policy stays the site's same-origin, which tells no other site the
    address. no-referrer would make browsers send "Origin: null" with every form, and
    Django's check against forged requests would refuse them all.
    """

    @wraps(view)
    def kept(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response["X-Robots-Tag"] = "noindex, nofollow"
        response["Cache-Control"] = "private, no-store"
        return response

    return kept


def reader(key: str, now: datetime) -> Subscriber | None:
    """Whose preferences this key opens: a live link's, or those of a digest of the last 30 days."""
    if link := Link.objects.live(Link.Purpose.PREFERENCES, key, now):
        return link.subscriber
    young = Digest.objects.filter(key=key, created_at__gt=now - LIFETIME)
    digest = young.select_related("subscriber").first()
    return digest.subscriber if digest else None


def expired(request: HttpRequest) -> HttpResponse:
    """An old or unknown key: offer a fresh one."""
    return render(request, "pages/expired.html", status=404)
