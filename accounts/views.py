"""Sign-up, confirmation, unsubscribing and change of address. GET shows, POST acts.

These views use no cookie: the key in the URL is the only credential, and the other forms
are open to everyone. There is nothing to forge, so they need no CSRF token, which a mail
provider's one-click POST and a form on a cached page could not carry.
"""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from accounts import links, rate_limits
from accounts.emails import preferences_path
from accounts.forms import AddressForm, SubscribeForm
from accounts.models import Link, Subscriber

allow_get_and_post = require_http_methods(["GET", "HEAD", "OPTIONS", "POST"])


def render_page(
    request: HttpRequest, name: str, status: int = 200, **context: Any
) -> HttpResponse:
    """Render pages/accounts/<name>, hidden from search engines."""
    response = render(request, f"pages/accounts/{name}.html", context, status=status)
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def render_rate_limited(request: HttpRequest, retry_after_s: int) -> HttpResponse:
    response = render_page(request, "rate_limited", status=429)
    response.headers["Retry-After"] = str(retry_after_s)
    return response


def render_sent(
    request: HttpRequest, email: str = "", retry_url: str = "request_link"
) -> HttpResponse:
    """Render the same page for every address; `email` is only what the visitor typed."""
    return render_page(request, "sent", email=email, retry_url=retry_url)


def find_link(purpose: str, key: str) -> Link | None:
    """Return the link with this key, redeemed or expired ones included."""
    links_of_purpose = Link.objects.select_related("subscriber").filter(purpose=purpose)
    return links_of_purpose.filter(key=strip_nul(key)).first()


def find_mailed_link(key: str) -> Link | None:
    """Return the sign-up or change-of-address link with this key, redeemed ones included."""
    return find_link(Link.Purpose.CONFIRM, key) or find_link(Link.Purpose.ADDRESS, key)


def find_reader(unsubscribe_key: str) -> Subscriber | None:
    readers = Subscriber.objects.filter(unsubscribe_key=strip_nul(unsubscribe_key))
    return readers.first()


def strip_nul(key: str) -> str:
    """Remove NUL characters, which PostgreSQL refuses in text."""
    return key.replace("\0", "")


def is_valid(link: Link, now: datetime) -> bool:
    return link.used_at is None and now < link.expires_at


@csrf_exempt
@allow_get_and_post
def subscribe(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render_page(request, "subscribe", form=SubscribeForm())
    if retry_after_s := rate_limits.hit_form(request):
        return render_rate_limited(request, retry_after_s)
    form = SubscribeForm(request.POST)
    if not form.is_valid():
        return render_page(request, "subscribe", status=400, form=form)
    links.request_signup(form, rate_limits.client_ip(request))
    return render_sent(request, form.cleaned_data["email"], "subscribe")


@csrf_exempt
@never_cache
@allow_get_and_post
def confirm(request: HttpRequest, key: str) -> HttpResponse:
    link, now = find_link(Link.Purpose.CONFIRM, key), timezone.now()
    if link is None:
        return render_page(request, "unknown_link", status=404)
    if not is_valid(link, now):
        return render_page(
            request, "confirmation_expired", link=link, reader=link.subscriber
        )
    if request.method != "POST":
        return render_page(request, "confirm")
    if preferences_link := links.confirm_signup(link, now):
        return redirect(preferences_path(preferences_link.key) + "?welcome=1")
    return render_page(request, "suppressed")


@csrf_exempt
@never_cache
@allow_get_and_post
def unsubscribe(request: HttpRequest, key: str) -> HttpResponse:
    """Unsubscribe (RFC 8058: no cookie, no login, no redirect). Always succeeds."""
    reader = find_reader(key)
    if reader is None:
        # 200, because mail providers hide their unsubscribe button after errors.
        return render_page(request, "unknown_unsubscribe")
    if request.method != "POST":
        return render_page(request, "unsubscribe", reader=reader, key=key)
    if reader.state != Subscriber.State.LEFT:
        reader.unsubscribe(timezone.now())
    return render_page(request, "unsubscribed", reader=reader, key=key)


@csrf_exempt
@never_cache
@require_POST
def mail_preferences_link(request: HttpRequest, key: str) -> HttpResponse:
    """Mail a preferences link to the holder of an unsubscribe key, which opens nothing else."""
    if reader := find_reader(key):
        links.request_preferences_link(reader.email, rate_limits.client_ip(request))
    return render_sent(request)


@csrf_exempt
@allow_get_and_post
def request_link(request: HttpRequest) -> HttpResponse:
    """Mail a preferences link. The response is the same for every address."""
    if request.method != "POST":
        return render_page(request, "request_link", form=AddressForm())
    if retry_after_s := rate_limits.hit_form(request):
        return render_rate_limited(request, retry_after_s)
    form = AddressForm(request.POST)
    if not form.is_valid():
        return render_page(request, "request_link", status=400, form=form)
    links.request_preferences_link(
        form.cleaned_data["email"], rate_limits.client_ip(request)
    )
    return render_sent(request, form.cleaned_data["email"])


@csrf_exempt
@never_cache
@allow_get_and_post
def confirm_address(request: HttpRequest, key: str) -> HttpResponse:
    link, now = find_link(Link.Purpose.ADDRESS, key), timezone.now()
    if link is None:
        return render_page(request, "unknown_link", status=404)
    if not is_valid(link, now):
        return render_page(request, "address_expired", link=link)
    email = link.payload["email"]
    if request.method != "POST":
        return render_page(request, "address", email=email)
    is_changed = links.change_address(link, now)
    name = "address_changed" if is_changed else "address_taken"
    return render_page(request, name, email=email)


@csrf_exempt
@never_cache
@allow_get_and_post
def block_address(request: HttpRequest, key: str) -> HttpResponse:
    """Suppress an address that someone else entered (one click, as RFC 8058)."""
    link = find_mailed_link(key)
    if link is None:
        return render_page(request, "unknown_link", status=404)
    if request.method != "POST":
        return render_page(request, "block", key=key)
    links.block_address(link, timezone.now())
    return render_page(request, "blocked")
