"""The transport for SendGrid's v3 API: one request a digest, through its SDK, with plain dicts."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parseaddr
from typing import Any
from urllib.error import URLError

import sendgrid
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from python_http_client.exceptions import HTTPError

from digest.mailer.mail import Mail
from digest.mailer.transports import (
    Result,
    ResultState,
    Send,
    accepted,
    refused,
    unknown,
)

# The SDK waits for ever unless told; well under a batch's lease.
TIMEOUT_SECONDS = 20
# Too slow, and too many: the same request may pass later.
PASSING = (408, 429)
# A key that was revoked or may not send: no digest's fault, and no digest's end.
OURS_TO_MEND = (401, 403)
# Its own List-Unsubscribe would replace ours, its links and pixels would watch readers.
TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}

Payload = dict[str, Any]


@contextmanager
def connect() -> Iterator[Send]:
    """One client for all mails; its SDK opens a connection for each."""
    client = sender()
    yield lambda mail: post(client, request(mail))


def find(key: str) -> None:
    """SendGrid cannot be asked; its events tell later (see feedback)."""


def sender() -> Any:
    """The SDK's endpoint for mails."""
    api = sendgrid.SendGridAPIClient(
        api_key=settings.SENDGRID_API_KEY, host=settings.SENDGRID_API_URL
    )
    api.client.timeout = TIMEOUT_SECONDS
    return api.client.mail.send


def request(mail: Mail) -> Payload:
    """A digest as the v3 API wants it: text before HTML, and nothing of the reader but the address and an opaque key."""
    return {
        **envelope([mail.to], mail.subject, settings.MAIL_FROM),
        "content": [
            {"type": "text/plain", "value": mail.text},
            {"type": "text/html", "value": mail.html},
        ],
        "headers": mail.headers,
        "categories": ["digest"],
        "custom_args": {"digest": mail.key},
    }


def envelope(to: Sequence[str], subject: str, sender: str) -> Payload:
    name, address = parseaddr(sender)
    return {
        "personalizations": [{"to": [{"email": each} for each in to]}],
        "from": {"email": address, "name": name} if name else {"email": address},
        "subject": subject,
        "tracking_settings": TRACKING,
    }


def post(client: Any, payload: Payload) -> Result:
    """One request. No idempotency key exists, so what is not surely refused and not accepted is unknown."""
    try:
        answer = client.post(request_body=payload)
    except HTTPError as error:
        return judged(error.status_code, error.body, error.headers)
    except URLError as error:
        # urllib says so only while it connects and writes: the request never was
        # complete, so nobody can have accepted it.
        return refused(f"not reached: {error.reason}", retry=True)
    except (OSError, ValueError) as error:
        return unknown(f"no answer: {type(error).__name__}: {error}")
    if 200 <= answer.status_code < 300:
        name = answer.headers.get("X-Message-Id") or "no id was given"
        return accepted(name, wait=asked_to_wait(answer.headers))
    return unknown(f"{answer.status_code}: an answer that the API does not describe")


def judged(status: int, body: bytes | str, headers: Mapping[str, str]) -> Result:
    """4xx is surely not accepted; a server's own error leaves it open."""
    detail = f"{status} {complaint(body)}".strip()
    if status in OURS_TO_MEND:
        return refused(detail, retry=True, halt=True)
    if 400 <= status < 500:
        return refused(detail, retry=status in PASSING, wait=asked_to_wait(headers))
    return unknown(detail)


def asked_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds until its limit begins anew, where X-RateLimit-Remaining says that none is left.

    X-RateLimit-Reset is seconds since 1970.
    """
    try:
        left = int(headers.get("X-RateLimit-Remaining", 1))
        reset = float(headers.get("X-RateLimit-Reset", 0))
    except ValueError:
        return 0.0
    return max(0.0, reset - time.time()) if left <= 0 else 0.0


def complaint(body: bytes | str) -> str:
    """What the API says in {"errors": [{"message"}]}, else the beginning of whatever it said."""
    said = body.decode(errors="replace") if isinstance(body, bytes) else body
    try:
        return "; ".join(str(error["message"]) for error in json.loads(said)["errors"])
    except (ValueError, KeyError, TypeError):
        return said[:200]


class EmailBackend(BaseEmailBackend):
    """Django's way out for confirmations: the same API."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        client = sender()
        outcomes = [post(client, plain_request(message)) for message in email_messages]
        failed = [each for each in outcomes if each.state != ResultState.ACCEPTED]
        if failed and not self.fail_silently:
            raise OSError(f"SendGrid: {failed[0].detail}")
        return len(outcomes) - len(failed)


def plain_request(message: EmailMessage) -> Payload:
    """One of Django's messages as the v3 API wants it."""
    content = [{"type": "text/plain", "value": str(message.body)}]
    if isinstance(message, EmailMultiAlternatives):
        content += [
            {"type": str(kind), "value": str(body)}
            for body, kind in message.alternatives
        ]
    headers = {name: str(value) for name, value in message.extra_headers.items()}
    made = envelope(message.to, str(message.subject), message.from_email)
    return {**made, "content": content, **({"headers": headers} if headers else {})}
