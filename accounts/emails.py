"""The four mails that open a door. None of them shows a word that a visitor typed."""

from typing import Any

import stamina
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import Link, Subscriber

# A mail server that is restarting is back within seconds; the reader is waiting.
ATTEMPTS, WAIT_SECONDS = 3, 20


def send_link(link: Link) -> None:
    """Mail the door that this link is."""
    match link.purpose:
        case Link.Purpose.CONFIRM:
            send_confirmation(link.subscriber, link)
        case Link.Purpose.PREFERENCES:
            send_preferences_link(link.subscriber, link)
        case Link.Purpose.ADDRESS:
            send_address_confirmation(link.subscriber, link)


def send_confirmation(subscriber: Subscriber, link: Link) -> None:
    """Ask whoever reads this address whether they signed up."""
    send("confirm", subscriber.email, reverse("confirm", args=[link.key]))


def send_preferences_link(subscriber: Subscriber, link: Link) -> None:
    """A way back in, for a reader who asked or who signed up twice."""
    path = reverse("preferences", args=[link.key])
    known = {
        "active": subscriber.is_active,
        "wished": bool(link.payload.get("requested_interests")),
    }
    send("preferences_link", subscriber.email, path, **known)


def send_address_confirmation(subscriber: Subscriber, link: Link) -> None:
    """Ask whoever reads the new address whether the digests should go there."""
    send("address", link.payload["email"], reverse("address", args=[link.key]))


def send_moved(old: str) -> None:
    """Tell the address that digests came to until now; it is not told where they go."""
    send("moved", old, reverse("subscribe"))


def send(name: str, to: str, path: str, **known: Any) -> None:
    """Render emails/<name> and hand it to Django's backend; an error that may pass is tried again.

    Twice the same mail is harmless here: both open the same door.
    """
    message = compose(name, to, path, **known)
    for attempt in stamina.retry_context(
        on=OSError, attempts=ATTEMPTS, timeout=WAIT_SECONDS
    ):
        with attempt:
            message.send()


def compose(name: str, to: str, path: str, **known: Any) -> EmailMultiAlternatives:
    """The mail itself: subject and both bodies."""
    context = {"site": about(), "link": settings.SITE_URL + path, **known}
    subject = render_to_string(f"emails/{name}.subject.txt", context)
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=render_to_string(f"emails/{name}.txt", context),
        to=[to],
        headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no vacation replies
    )
    message.attach_alternative(
        render_to_string(f"emails/{name}.html", context), "text/html"
    )
    return message


def about() -> dict[str, str]:
    """What a mail knows of the site."""
    return {
        "name": settings.SITE_NAME,
        "url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
    }
