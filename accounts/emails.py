"""Account mails. None of them contains text that a visitor typed."""

from typing import Any

import css_inline
import stamina
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import Link, Subscriber

# Covers a mail server that restarts.
SMTP_ATTEMPTS, SMTP_RETRY_SECONDS = 3, 20
INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


def send_link(link: Link) -> None:
    """Mail this link to the address it is for."""
    match link.purpose:
        case Link.Purpose.CONFIRM:
            send_confirmation(link.subscriber, link)
        case Link.Purpose.PREFERENCES:
            send_preferences_link(link.subscriber, link)
        case Link.Purpose.ADDRESS:
            send_address_confirmation(link)


def send_confirmation(subscriber: Subscriber, link: Link) -> None:
    send("confirm", subscriber.email, reverse("confirm", args=[link.key]))


def send_preferences_link(subscriber: Subscriber, link: Link) -> None:
    context = {
        "is_active": subscriber.is_active,
        "has_requested_interests": bool(link.payload.get("requested_interests")),
    }
    send("preferences_link", subscriber.email, preferences_path(link.key), **context)


def send_address_confirmation(link: Link) -> None:
    path = reverse("confirm_address", args=[link.key])
    send("address", link.payload["email"], path)


def send_move_notice(old_email: str) -> None:
    """Notify the previous address, without naming the new one."""
    send("moved", old_email, reverse("subscribe"))


def preferences_path(key: str) -> str:
    """Return the path of the project's preferences page for a link key."""
    return resolve_url(settings.PREFERENCES_URL_NAME, key)


def send(name: str, to: str, path: str, **context: Any) -> None:
    """Render emails/<name> and send it, retrying network errors.

    A mail that arrives twice is harmless: both copies have the same link.
    """
    message = render_message(name, to, path, **context)
    for attempt in stamina.retry_context(
        on=OSError, attempts=SMTP_ATTEMPTS, timeout=SMTP_RETRY_SECONDS
    ):
        with attempt:
            message.send()


def render_message(
    name: str, to: str, path: str, **context: Any
) -> EmailMultiAlternatives:
    context |= {"site": site_context(), "link": settings.SITE_URL + path}
    subject = render_to_string(f"emails/{name}.subject.txt", context)
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=render_to_string(f"emails/{name}.txt", context),
        to=[to],
        headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no vacation replies
    )
    html = INLINER.inline(render_to_string(f"emails/{name}.html", context))
    message.attach_alternative(html, "text/html")
    return message


def site_context() -> dict[str, str]:
    return {
        "name": settings.SITE_NAME,
        "url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
    }
