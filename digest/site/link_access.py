"""What a key in a mailed link opens."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Link, Subscriber
from digest.mailer import retention
from digest.models import Digest, moved_since

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


class Opened(NamedTuple):
    """Whose preferences are open, and by which link; None is the key of a digest.

    Readers forward digests to colleagues, but hardly a mail that says "do not pass it
    on": what cannot be undone needs a link.
    """

    subscriber: Subscriber
    link: Link | None


def opened(key: str, now: datetime) -> Opened | None:
    """Whose preferences this key opens: a live link's, or those of a digest of the last 30 days."""
    if link := Link.objects.get_valid(Link.Purpose.PREFERENCES, key, now):
        return Opened(link.subscriber, link)
    young = Digest.objects.filter(key=key, created_at__gt=now - LIFETIME)
    digest = young.exclude(moved_since()).select_related("subscriber").first()
    return Opened(digest.subscriber, None) if digest else None


def moved_away(digest: Digest) -> bool:
    """Whether somebody else may hold this digest by now: its links lead on, but decide nothing."""
    return Digest.objects.filter(moved_since(), pk=digest.pk).exists()


def reader(key: str, now: datetime) -> Subscriber | None:
    """Whose preferences this key opens, be it a link's or a digest's."""
    found = opened(key, now)
    return found.subscriber if found else None


def by_link(key: str, now: datetime) -> Subscriber | None:
    """Whose preferences this key opens where it is a link's own."""
    found = opened(key, now)
    return found.subscriber if found and found.link else None


def expired(request: HttpRequest) -> HttpResponse:
    """An old or unknown key: offer a fresh one."""
    context = {"digests_kept": retention.days()}
    return render(request, "pages/expired.html", context, status=404)
