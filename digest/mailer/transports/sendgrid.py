"""Transport over SendGrid's v3 API: one request a digest, through its SDK, with plain dicts."""

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

from digest.mailer.transports import (
    Mail,
    Result,
    ResultState,
    Send,
    accepted,
    refused,
    unknown,
)

# The SDK has no timeout by default; this one is well below a batch's lease.
HTTP_TIMEOUT_S = 20
# Request timeout and rate limit: the same request may succeed later.
TEMPORARY_STATUSES = (408, 429)
# A key that was revoked or may not send: an operator must act, no digest fails.
CREDENTIAL_STATUSES = (401, 403)
# SendGrid's List-Unsubscribe would replace ours; its links and pixels would track readers.
TRACKING_OFF = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}

Payload = dict[str, Any]


@contextmanager
def connect() -> Iterator[Send]:
    """Create one client; its SDK opens a connection for each mail."""
    client = create_client()
    yield lambda mail: post_payload(client, digest_payload(mail))


def was_sent(key: str) -> None:
    """SendGrid cannot be asked; its events arrive later (see digest.feedback)."""


def create_client() -> Any:
    """Return the SDK's endpoint for mails."""
    api = sendgrid.SendGridAPIClient(
        api_key=settings.SENDGRID_API_KEY, host=settings.SENDGRID_API_URL
    )
    api.client.timeout = HTTP_TIMEOUT_S
    return api.client.mail.send


def digest_payload(mail: Mail) -> Payload:
    """Build the request of a digest; of the reader it holds only the address and an opaque key."""
    return {
        **envelope_payload([mail.to], mail.subject, settings.MAIL_FROM),
        "content": [
            {"type": "text/plain", "value": mail.text},
            {"type": "text/html", "value": mail.html},
        ],
        "headers": mail.headers,
        "categories": ["digest"],
        "custom_args": {"digest": mail.key},
    }


def envelope_payload(to: Sequence[str], subject: str, sender: str) -> Payload:
    name, address = parseaddr(sender)
    return {
        "personalizations": [{"to": [{"email": recipient} for recipient in to]}],
        "from": {"email": address, "name": name} if name else {"email": address},
        "subject": subject,
        "tracking_settings": TRACKING_OFF,
    }


def post_payload(client: Any, payload: Payload) -> Result:
    """Make one request. The API has no idempotency key, so an unclear answer is unknown."""
    try:
        response = client.post(request_body=payload)
    except HTTPError as error:
        return result_of_error(error.status_code, error.body, error.headers)
    except URLError as error:
        # urllib raises this only while it connects and writes: the request was never
        # complete, so it cannot have been accepted.
        return refused(f"not reached: {error.reason}", retry=True)
    except (OSError, ValueError) as error:
        return unknown(f"no response: {type(error).__name__}: {error}")
    if 200 <= response.status_code < 300:
        message_id = response.headers.get("X-Message-Id") or "no id in the response"
        return accepted(message_id, wait=rate_limit_wait(response.headers))
    return unknown(f"{response.status_code}: not a documented response")


def result_of_error(
    status: int, body: bytes | str, headers: Mapping[str, str]
) -> Result:
    """Map an error response: 4xx is certainly not accepted, 5xx may have been."""
    detail = f"{status} {error_messages(body)}".strip()
    if status in CREDENTIAL_STATUSES:
        return refused(detail, retry=True, halt=True)
    if 400 <= status < 500:
        wait = rate_limit_wait(headers)
        return refused(detail, retry=status in TEMPORARY_STATUSES, wait=wait)
    return unknown(detail)


def rate_limit_wait(headers: Mapping[str, str]) -> float:
    """Seconds until the rate limit resets if X-RateLimit-Remaining is 0, else 0.

    X-RateLimit-Reset is in seconds since 1970.
    """
    try:
        remaining = int(headers.get("X-RateLimit-Remaining", 1))
        reset = float(headers.get("X-RateLimit-Reset", 0))
    except ValueError:
        return 0.0
    return max(0.0, reset - time.time()) if remaining <= 0 else 0.0


def error_messages(body: bytes | str) -> str:
    """Join the messages in {"errors": [{"message"}]}; of any other body return the beginning."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    try:
        return "; ".join(str(error["message"]) for error in json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        return text[:200]


class EmailBackend(BaseEmailBackend):
    """Django's mail backend for account mails: the same API."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        client = create_client()
        results = [
            post_payload(client, account_mail_payload(message))
            for message in email_messages
        ]
        failures = [each for each in results if each.state != ResultState.ACCEPTED]
        if failures and not self.fail_silently:
            raise OSError(f"SendGrid: {failures[0].detail}")
        return len(results) - len(failures)


def account_mail_payload(message: EmailMessage) -> Payload:
    """Convert one of Django's messages."""
    content = [{"type": "text/plain", "value": str(message.body)}]
    if isinstance(message, EmailMultiAlternatives):
        content += [
            {"type": str(kind), "value": str(body)}
            for body, kind in message.alternatives
        ]
    headers = {name: str(value) for name, value in message.extra_headers.items()}
    payload = envelope_payload(message.to, str(message.subject), message.from_email)
    return {**payload, "content": content, **({"headers": headers} if headers else {})}
