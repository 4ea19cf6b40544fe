"""The mails that a demo writes to files instead of sending them."""

import email
import email.policy
import ipaddress
from email.message import EmailMessage
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from digest.jinja import linkify
from digest.site.decorators import (
    private_page,
    refuse_if,
    replace_mail_policy,
    replace_policy,
)
from digest.site.errors import not_found

LISTED_MAILS = 200


def refuse_strangers(request: HttpRequest) -> HttpResponse | None:
    """Hide mails outside the demo and from strangers, because they hold readers' keys."""
    if settings.DEMO and is_trusted(request):
        return None
    return not_found(request)


def is_trusted(request: HttpRequest) -> bool:
    """Whether the visitor is an editor who may change readers, or uses this machine without a proxy.

    A site on HTTPS has a proxy, whether or not that adds X-Forwarded-For.
    """
    if request.user.has_perm("accounts.change_subscriber"):
        return True
    proxied = (
        settings.BEHIND_PROXY or settings.HTTPS or "X-Forwarded-For" in request.headers
    )
    return not proxied and is_loopback(request.META.get("REMOTE_ADDR", ""))


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def mail_files() -> list[Path]:
    paths = settings.MAIL_DIR.glob("*.eml")
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path), reverse=True)


def read_mail(path: Path) -> EmailMessage:
    with path.open("rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # the default policy makes these
    return message


def find_mail(name: str) -> EmailMessage | None:
    path = {path.name: path for path in mail_files()}.get(name)
    return read_mail(path) if path else None


def mail_headers(message: EmailMessage) -> dict[str, str]:
    return {name: str(message.get(name, "")) for name in ("subject", "to", "date")}


def mail_body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part else ""


@require_safe
@private_page
@refuse_if(refuse_strangers)
def mailbox(request: HttpRequest) -> HttpResponse:
    paths = mail_files()[:LISTED_MAILS]
    context = {
        "mails": [{"name": p.name} | mail_headers(read_mail(p)) for p in paths],
        "folder": settings.MAIL_DIR,
    }
    return render(request, "pages/mailbox.html", context)


@require_safe
@private_page
@refuse_if(refuse_strangers)
def mailbox_message(request: HttpRequest, name: str) -> HttpResponse:
    message = find_mail(name)
    if message is None:
        return not_found(request)
    context = mail_headers(message) | {
        "name": name,
        "has_html": bool(mail_body(message, "html")),
        "text": linkify(mail_body(message, "plain")),
    }
    response = render(request, "pages/mailbox_message.html", context)
    return replace_policy(response, frame_src=["'self'"])


@require_safe
@private_page
@refuse_if(refuse_strangers)
@xframe_options_sameorigin
def mailbox_frame(request: HttpRequest, name: str) -> HttpResponse:
    message = find_mail(name)
    html = mail_body(message, "html") if message else ""
    if not html:
        return not_found(request)
    response = HttpResponse(leave_frame(html))
    return replace_mail_policy(response, frame_ancestors=["'self'"])


def leave_frame(html: str) -> str:
    """Make links open in the whole window, because our own pages refuse to be framed."""
    target = '<base target="_top">'
    before, head, after = html.partition("<head>")
    return f"{before}{head}{target}{after}" if head else target + html
