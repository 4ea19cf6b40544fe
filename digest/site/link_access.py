"""What the key in a mailed link opens.

A preferences link opens everything of its reader. A digest's key opens that digest,
feedback on its papers and nothing else, because readers forward digests.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.models import Link
from digest.models import Digest, moved_since
from digest.models.digests import DIGEST_KEY_LIFETIME
from digest.site.decorators import private_page


def preferences_link_required(
    view: Callable[Concatenate[HttpRequest, Link, ...], HttpResponse],
) -> Callable[..., HttpResponse]:
    """Call the view with the valid preferences link of this key; offer a new link to other keys."""

    @private_page
    def wrapper(
        request: HttpRequest, key: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        link = Link.objects.get_valid(Link.Purpose.PREFERENCES, key, timezone.now())
        if link is None:
            return request_link(request, key)
        return view(request, link, *args, **kwargs)

    return wraps(view)(wrapper)


def request_link(request: HttpRequest, key: str) -> HttpResponse:
    """Offer to mail a preferences link: to the reader of a digest, or to an address to be entered."""
    digest = valid_digest(key)
    if digest is None:
        return link_expired(request)
    context = {"unsubscribe_key": digest.subscriber.unsubscribe_key}
    return render(request, "pages/link_required.html", context, status=403)


def sent_digest(key: str) -> Digest | None:
    """Return the digest of this key, unless it was skipped."""
    digests = Digest.objects.select_related("edition", "subscriber")
    return digests.sent().filter(key=key).first()


def valid_digest(key: str) -> Digest | None:
    """Return the digest that this key still opens; a change of address closes earlier ones."""
    digest = sent_digest(key)
    if digest is None or is_key_expired(digest):
        return None
    return digest


def is_key_expired(digest: Digest) -> bool:
    if timezone.now() - digest.created_at >= DIGEST_KEY_LIFETIME:
        return True
    return Digest.objects.filter(moved_since(), pk=digest.pk).exists()


def link_expired(request: HttpRequest) -> HttpResponse:
    """Answer an unknown or expired key with a form that mails a new link."""
    return render(request, "pages/link_expired.html", status=404)
