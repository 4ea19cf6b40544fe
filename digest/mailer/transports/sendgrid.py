"""Transport over SendGrid's v3 API: one request a digest, through its SDK, with plain dicts."""

import json
import math
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parseaddr
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import sendgrid
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from accounts.emails import SITE_ARGUMENT, site_mark
from digest.mailer import rate
from digest.mailer.transports import (
    Call,
    ConfigurationError,
    Mail,
    Prepare,
    Result,
    ResultState,
    accepted,
    refused,
    unknown,
)

# The SDK has no timeout by default; this one is well below a batch's lease.
HTTP_TIMEOUT_S = 20
# The statuses that can concern one mail; any other 4xx concerns the URL, the account or
# the rate, so that the same mail may be accepted later.
PERMANENT_STATUSES = (400, 413, 422)
# A key that was revoked or may not send: an operator must act, no digest fails.
CREDENTIAL_STATUSES = (401, 403)
# SendGrid's List-Unsubscribe would replace ours; its links and pixels would track readers.
TRACKING_OFF = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}

# The body only explains a status: one that is cut short or slow changes nothing.
MAX_BODY_READ_BYTES, MAX_BODY_READ_S = 65_536, 5.0
MAX_DETAIL_CHARS = 200

Payload = dict[str, Any]


@dataclass
class ApiResponse:
    """A response in the form that the SDK reads, and what its body explains."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def getcode(self) -> int:
        return self.status

    def read(self) -> bytes:
        return self.body

    def info(self) -> Mapping[str, str]:
        return self.headers


@contextmanager
def connect() -> Iterator[Prepare]:
    """Create one client; its SDK opens a connection for each mail."""
    url = urlsplit(settings.SENDGRID_API_URL)
    if url.scheme not in ("https", "http") or not url.hostname:
        raise ConfigurationError("SENDGRID_API_URL must be an https URL")
    if not settings.SENDGRID_API_KEY:
        raise ConfigurationError("SENDGRID_API_KEY is empty")
    client = create_client()

    def prepare_mail(mail: Mail) -> Call:
        payload = digest_payload(mail)

        def post_mail(check_lease: Callable[[], None]) -> Result:
            check_lease()
            return post_payload(client, payload)

        return post_mail

    yield prepare_mail


def was_sent(key: str) -> None:
    """SendGrid has no such query; its events arrive later (see digest.feedback)."""


def create_client() -> Any:
    """Return the SDK's endpoint for mails.

    The SDK follows redirects and loses a status whose body is cut short; therefore its
    method that makes the request is replaced.
    """
    api = sendgrid.SendGridAPIClient(
        api_key=settings.SENDGRID_API_KEY, host=settings.SENDGRID_API_URL
    )
    endpoint = api.client.mail.send
    endpoint._make_request = make_request
    return endpoint


def make_request(
    _: object, request: urllib.request.Request, timeout: float | None = None
) -> ApiResponse:
    """Make one request to its own URL only, and return the response of any status."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    with opener.open(request, timeout=timeout or HTTP_TIMEOUT_S) as response:
        return ApiResponse(response.status, response.headers, read_body(response))


def read_body(response: Any) -> bytes:
    """Read the beginning of a body, without waiting for the rest of a slow one."""
    body, deadline = b"", time.monotonic() + MAX_BODY_READ_S
    with suppress(OSError, HTTPException, ValueError):
        while len(body) < MAX_BODY_READ_BYTES and time.monotonic() < deadline:
            chunk = response.read1(MAX_BODY_READ_BYTES)
            if not chunk:
                break
            body += chunk
    return body


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
        "custom_args": {"digest": mail.key, SITE_ARGUMENT: site_mark()},
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
    except URLError as error:
        # urllib raises this only while it connects and writes: the request was never
        # complete, so it cannot have been accepted.
        return refused(f"not reached: {error.reason}", retry=True)
    except (OSError, ValueError, HTTPException) as error:
        detail = f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARS]
        return unknown(f"no response: {detail}")
    return result_of_response(response.status_code, response.body, response.headers)


def result_of_response(status: int, body: bytes, headers: Mapping[str, str]) -> Result:
    """Map a response by what is certain of it.

    The API documents 202 with a message id for an accepted mail. Any other 2xx (also 200:
    sandbox mode is never requested) comes from something in between, which may have
    passed the mail on; so may whatever answered 5xx. A redirect says that the request was
    not processed at this URL.
    """
    message_id = (headers.get("X-Message-Id") or "").strip()
    wait = rate_limit_wait(headers)
    if (
        status == 202
        and message_id.isascii()
        and message_id.isprintable()
        and message_id
    ):
        return accepted(message_id, wait=wait)
    if 300 <= status < 400:
        return refused(f"{status} redirect: correct SENDGRID_API_URL", retry=True)
    if 400 <= status < 500:
        return result_of_refusal(status, body, wait)
    return unknown(f"{status}: not a documented response")


def result_of_refusal(status: int, body: bytes, wait: float) -> Result:
    """Map a 4xx response: certainly not accepted. Its fields show whether it concerns the recipient or our sender."""
    messages, fields = parse_errors(body)
    detail = f"{status} {messages}".strip()
    if status in CREDENTIAL_STATUSES:
        return refused(detail, retry=True, halt=True)
    return refused(
        detail,
        retry=status not in PERMANENT_STATUSES or fields.startswith("from"),
        is_recipient=status == 400 and fields.startswith("personalizations"),
        wait=wait,
    )


def rate_limit_wait(headers: Mapping[str, str]) -> float:
    """Seconds until the rate limit resets if X-RateLimit-Remaining is 0, else 0; at most rate.MAX_BLOCK_S.

    X-RateLimit-Reset is in seconds since 1970.
    """
    try:
        remaining = int(headers.get("X-RateLimit-Remaining", 1))
        reset = float(headers.get("X-RateLimit-Reset", 0))
    except ValueError:
        return 0.0
    if remaining > 0 or math.isnan(reset):
        return 0.0
    return min(max(0.0, reset - time.time()), rate.MAX_BLOCK_S)


def parse_errors(body: bytes) -> tuple[str, str]:
    """Return the messages and the fields in {"errors": [{"message", "field"}]}; of any other body its beginning."""
    text = body.decode(errors="replace")
    try:
        errors = json.loads(text)["errors"]
        messages = "; ".join(str(error["message"]) for error in errors)
        fields = " ".join(str(error.get("field") or "") for error in errors)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        messages, fields = text, ""
    return messages[:MAX_DETAIL_CHARS], fields


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
    content = [{"type": "text/plain", "value": str(message.body)}]
    if isinstance(message, EmailMultiAlternatives):
        content += [
            {"type": str(kind), "value": str(body)}
            for body, kind in message.alternatives
        ]
    headers = {name: str(value) for name, value in message.extra_headers.items()}
    payload = envelope_payload(message.to, str(message.subject), message.from_email)
    return {
        **payload,
        "content": content,
        "custom_args": {SITE_ARGUMENT: site_mark()},
        **({"headers": headers} if headers else {}),
    }
