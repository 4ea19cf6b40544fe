"""Account mails. None of them contains text that a visitor typed; invitations name a staff member."""

from email.utils import make_msgid, parseaddr
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import css_inline
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMultiAlternatives
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.addresses import ascii_domain
from accounts.models import Link, Subscriber, User


class MailRefusedError(OSError):
    """The provider refuses this mail for good, for a reason that is not its recipient."""


class RecipientRefusedError(OSError):
    """The provider refuses this recipient for good."""


INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


def send_link(link: Link) -> None:
    match link.purpose:
        case Link.Purpose.CONFIRM:
            path = reverse("confirm", args=[link.key])
            invited_by = link.payload.get("invited_by", "")
            context = {"invited_by": invited_by, **block_context(link)}
            send("confirm", link.subscriber.email, path, **context)
        case Link.Purpose.ADDRESS:
            path = reverse("confirm_address", args=[link.key])
            send("address", link.payload["email"], path, **block_context(link))
        case Link.Purpose.PREFERENCES:
            send_preferences_link(link)


def send_preferences_link(link: Link) -> None:
    context = {
        "is_active": link.subscriber.is_active,
        "has_requested_interests": bool(link.payload.get("requested_interests")),
    }
    path = preferences_path(link.key)
    send("preferences_link", link.subscriber.email, path, **context)


def send_move_notice(old_email: str) -> None:
    """Notify the previous address, without naming the new one."""
    send("moved", old_email, reverse("subscribe"))


def send_staff_password_link(user: User) -> None:
    """Mail a password reset, or an invitation to an editor who has no password yet."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    path = reverse("admin:set_password", args=[token, uid])
    send(
        "staff_password", user.email, path, is_invitation=not user.has_usable_password()
    )


def send_saved_papers(reader: Subscriber, payload: dict[str, Any]) -> None:
    """Mail what a reader saved this week; unsubscribing stops it as it stops digests."""
    papers = [
        {"title": title, "url": settings.SITE_URL + path, "note": note}
        for title, path, note in payload["papers"]
    ]
    context = {
        "papers": papers,
        "number": payload["number"],
        "unsubscribe_url": settings.SITE_URL
        + reverse("unsubscribe", args=[reader.unsubscribe_key]),
    }
    send("saved_papers", reader.email, payload["path"], **context)


def send_staff_report(email: str, payload: dict[str, Any]) -> None:
    """Mail the week's figures, and how to stop them, to an editor or operator."""
    papers = [
        {"title": title, "url": settings.SITE_URL + path, "readers": number}
        for title, path, number in payload["papers"]
    ]
    context = {
        "period": payload["period"],
        "numbers": payload["numbers"],
        "papers": papers,
        "stop_url": settings.SITE_URL + reverse("admin:accounts_user_weekly_report"),
    }
    send("staff_report", email, reverse("admin:index"), **context)


def preferences_path(key: str) -> str:
    return resolve_url(settings.PREFERENCES_URL_NAME, key)


def block_context(link: Link) -> dict[str, str]:
    """Return the link by which someone whom a stranger signed up stops all mail."""
    return {"block_url": settings.SITE_URL + reverse("block_address", args=[link.key])}


def send(name: str, to: str, path: str, **context: Any) -> None:
    render_message(name, to, path, **context).send()


def render_message(
    name: str, to: str, path: str, **context: Any
) -> EmailMultiAlternatives:
    context |= {"site": site_context(), "link": settings.SITE_URL + path}
    headers = {
        "Auto-Submitted": "auto-generated",  # RFC 3834: no vacation replies
        "Message-ID": make_msgid(domain=mail_domain()),  # not this machine's name
    }
    one_click_url = context.get("block_url") or context.get("unsubscribe_url")
    if one_click_url:
        headers["List-Unsubscribe"] = f"<{one_click_url}>"  # RFC 8058
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    subject = render_to_string(f"emails/{name}.subject.txt", context)
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=render_to_string(f"emails/{name}.txt", context),
        to=[to],
        headers=headers,
    )
    html = INLINER.inline(render_to_string(f"emails/{name}.html", context))
    message.attach_alternative(html, "text/html")
    return message


# The custom argument that marks our mails at a provider whose account sends others too.
SITE_ARGUMENT = "paper_round_site"


def site_mark() -> str:
    return urlsplit(settings.SITE_URL).hostname or ""


def mail_domain() -> str:
    """Return the domain for Message-IDs, in ASCII: that of MAIL_FROM, or the site's host if that is more real."""
    return choose_mail_domain(settings.MAIL_FROM, settings.SITE_URL)


@lru_cache(maxsize=8)
def choose_mail_domain(mail_from: str, site_url: str) -> str:
    sender = parseaddr(mail_from)[1].rpartition("@")[2]
    host = urlsplit(site_url).hostname or ""
    is_host = "." in host and not host.rpartition(".")[2].isdecimal()
    domain = host if is_host and "." not in sender else sender
    return ascii_domain(domain) or "localhost"


def site_context() -> dict[str, str]:
    return {
        "name": settings.SITE_NAME,
        "url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
    }
