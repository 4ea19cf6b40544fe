"""The mails that the files transport wrote, for whoever runs this on their own machine."""

import email
import email.policy
import ipaddress
from collections.abc import Callable
from email.message import EmailMessage
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from digest.site.errors import not_found
from digest.site.link_access import private
from digest.site.linkify import linked
from digest.site.policy import policy

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

# One page of mails.
NEWEST = 200
FRAMED = {
    "style-src": ["'unsafe-inline'"],
    "script-src": ["'none'"],
    "frame-ancestors": ["'self'"],
}


def embedded_only(view: View[P]) -> View[P]:
    """For the files transport, and for this machine or a trusted editor: mails hold readers' keys."""

    @wraps(view)
    def guarded(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        if settings.MAIL_TRANSPORT != "files" or not may_look(request):
            return not_found(request)
        return view(request, *args, **kwargs)

    return guarded


def may_look(request: HttpRequest) -> bool:
    """Whether somebody at this machine asks, not through a proxy; or an editor who may change readers.

    A site on HTTPS always has something before it, be it one that does not say so.
    """
    trusted = request.user.has_perm("accounts.change_subscriber")
    said = settings.BEHIND_PROXY or "X-Forwarded-For" in request.headers
    direct = not said and not settings.HTTPS
    return trusted or (direct and is_loopback(request.META.get("REMOTE_ADDR", "")))


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def files() -> list[Path]:
    """The mails, newest first."""
    found = [(path.stat().st_mtime, path) for path in settings.MAIL_DIR.glob("*.eml")]
    return [path for _, path in sorted(found, reverse=True)]


def read(path: Path) -> EmailMessage:
    with path.open("rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # the default policy makes these
    return message


def find(name: str) -> EmailMessage | None:
    """The mail of this name, if the folder itself lists it."""
    path = {path.name: path for path in files()}.get(name)
    return read(path) if path else None


def headers(message: EmailMessage) -> dict[str, str]:
    return {name: str(message.get(name, "")) for name in ("subject", "to", "date")}


def body(message: EmailMessage, kind: str) -> str:
    """The body of this kind, plain or html, or ""."""
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part else ""


@require_safe
@private
@embedded_only
def mailbox(request: HttpRequest) -> HttpResponse:
    mails = [headers(read(path)) | {"name": path.name} for path in files()[:NEWEST]]
    context = {"mails": mails, "folder": settings.MAIL_DIR}
    return render(request, "pages/mailbox.html", context)


@require_safe
@private
@embedded_only
@policy({"frame-src": ["'self'"]})
def mail(request: HttpRequest, name: str) -> HttpResponse:
    message = find(name)
    if message is None:
        return not_found(request)
    context = headers(message) | {
        "name": name,
        "has_html": bool(body(message, "html")),
        "text": linked(body(message, "plain")),
    }
    return render(request, "pages/mail.html", context)


@require_safe
@private
@embedded_only
@xframe_options_sameorigin
@policy(FRAMED)
def mail_body(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML body alone, for the frame; its links open in the window around it."""
    message = find(name)
    html = body(message, "html") if message else ""
    if not html:
        return not_found(request)
    return HttpResponse(in_whole_window(html))


def in_whole_window(html: str) -> str:
    """Our own pages refuse to be framed, so links of a framed mail must leave the frame."""
    target = '<base target="_top">'
    before, head, after = html.partition("<head>")
    return f"{before}{head}{target}{after}" if head else target + html
