"""DigestLinks in and out. GET shows, POST acts.

None of them rests on a cookie: what one may do is in the key of its address, or open
to anybody. So there is nothing to forge, and no form here needs a token: a mail
provider's one-click POST and a sign-up on a cached page carry none.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from accounts import links, rate_limits
from accounts.forms import AddressForm, SubscribeForm
from accounts.models import Link, Subscriber

asks_or_acts = require_http_methods(["GET", "HEAD", "OPTIONS", "POST"])


def page(
    request: HttpRequest, name: str, status: int = 200, **known: Any
) -> HttpResponse:
    """A page of this family; search engines keep out."""
    answer = render(request, f"pages/accounts/{name}.html", known, status=status)
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


def sent(
    request: HttpRequest, email: str = "", again: str = "fresh_link"
) -> HttpResponse:
    """The one answer to every address. `email`: as typed just now, never one that we knew."""
    in_files = settings.MAIL_TRANSPORT == "files"
    return page(request, "sent", mailbox=in_files, email=email, again=again)


def find(purpose: str, key: str) -> Link | None:
    """The link that this key belongs to, open or closed."""
    known = Link.objects.select_related("subscriber")
    return known.filter(purpose=purpose, key=comparable(key)).first()


def comparable(key: str) -> str:
    """The key as the database takes it: PostgreSQL refuses text that holds a NUL."""
    return key.replace("\0", "")


def is_open(link: Link, now: datetime) -> bool:
    return link.used_at is None and now < link.expires_at


@csrf_exempt
@asks_or_acts
def subscribe(request: HttpRequest) -> HttpResponse:
    """Sign up. The answer is the same for every address."""
    if request.method != "POST":
        return page(request, "subscribe", form=SubscribeForm())
    if rate_limits.network_is_busy(request):
        return page(request, "busy", status=429)
    form = SubscribeForm(request.POST)
    if not form.is_valid():
        return page(request, "subscribe", status=400, form=form)
    links.ask_to_join(form)
    return sent(request, form.cleaned_data["email"], "subscribe")


@csrf_exempt
@never_cache
@asks_or_acts
def confirm(request: HttpRequest, key: str) -> HttpResponse:
    """Confirm a sign-up, and go on to the preferences."""
    link, now = find(Link.Purpose.CONFIRM, key), timezone.now()
    if link is None:
        return page(request, "unknown", status=404)
    if not is_open(link, now):
        return page(request, "closed", link=link, reader=link.subscriber)
    if request.method != "POST":
        return page(request, "confirm")
    if preferences := links.confirm(link, now):
        return redirect(reverse("preferences", args=[preferences.key]) + "?welcome=1")
    return page(request, "forbidden")


def leaver(key: str) -> Subscriber | None:
    """Whose mails carry this key."""
    return Subscriber.objects.filter(unsubscribe_key=comparable(key)).first()


@csrf_exempt
@never_cache
@asks_or_acts
def unsubscribe(request: HttpRequest, key: str) -> HttpResponse:
    """Leave (RFC 8058: no cookie, no login, no redirect). It always succeeds."""
    reader = leaver(key)
    if reader is None:  # 200: a provider that sees an error offers no way to leave
        return page(request, "nobody")
    if request.method != "POST":
        return page(request, "unsubscribe", reader=reader, key=key)
    if reader.state != Subscriber.State.LEFT:
        reader.leave(timezone.now())
    return page(request, "left", reader=reader, key=key)


@csrf_exempt
@never_cache
@require_POST
def instead(request: HttpRequest, key: str) -> HttpResponse:
    """Mail the preferences to a reader who is leaving: the key that leaves opens nothing else."""
    if reader := leaver(key):
        links.ask_fresh(reader.email)
    return sent(request)


@csrf_exempt
@asks_or_acts
def fresh_link(request: HttpRequest) -> HttpResponse:
    """Ask for a way into one's preferences. The answer is the same for every address."""
    if request.method != "POST":
        return page(request, "fresh", form=AddressForm())
    if rate_limits.network_is_busy(request):
        return page(request, "busy", status=429)
    form = AddressForm(request.POST)
    if not form.is_valid():
        return page(request, "fresh", status=400, form=form)
    links.ask_fresh(form.cleaned_data["email"])
    return sent(request, form.cleaned_data["email"])


@csrf_exempt
@never_cache
@asks_or_acts
def address(request: HttpRequest, key: str) -> HttpResponse:
    """Confirm a change of address."""
    link, now = find(Link.Purpose.ADDRESS, key), timezone.now()
    if link is None:
        return page(request, "unknown", status=404)
    if not is_open(link, now):
        return page(request, "address_closed", link=link)
    if request.method != "POST":
        return page(request, "address", email=link.payload["email"])
    moved = links.move(link, now)
    return page(request, "moved" if moved else "taken", email=link.payload["email"])
