"""Transport over SendGrid's v3 API: one request a digest, defined by its SDK, over kept connections."""

import json
import math
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

import sendgrid
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from accounts.emails import (
    SITE_ARGUMENT,
    MailRefusedError,
    RecipientRefusedError,
    site_mark,
)
from digest.mailer import rate
from digest.mailer.transports import (
    BeginCall,
    ConfigurationError,
    EncodedMail,
    Mail,
    Result,
    ResultState,
    accepted,
    refused,
    unknown,
)
from digest.mailer.transports.http import (
    HttpConnection,
    NoResponseError,
    NotSentError,
    Response,
)

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

# Calls do not depend on each other: a connection needs no knowledge of the next one.
FORMAT = "json"
PIPELINES = False
MAX_DETAIL_CHARS = 200

Payload = dict[str, Any]


def check_settings() -> None:
    url = urlsplit(settings.SENDGRID_API_URL)
    if url.scheme not in ("https", "http") or not url.hostname:
        raise ConfigurationError("SENDGRID_API_URL must be an https URL")
    if not settings.SENDGRID_API_KEY:
        raise ConfigurationError("SENDGRID_API_KEY is empty")


def connect() -> "Connection":
    return Connection()


def encode_mail(mail: Mail) -> bytes:
    """Encode the request body as the SDK does."""
    return json.dumps(digest_payload(mail)).encode()


def was_sent(key: str) -> None:
    """SendGrid has no such query; its events arrive later (see digest.feedback)."""


class Connection:
    """A kept connection to the API; its URL and headers are those of the SDK."""

    def __init__(self) -> None:
        request = build_request()
        self.http = HttpConnection(request.full_url, dict(request.header_items()))

    def send_mail(
        self, mail: EncodedMail, begin_call: BeginCall, _: EncodedMail | None = None
    ) -> Result:
        return self.post_body(mail.content, begin_call)

    def post_body(self, body: bytes, begin_call: BeginCall = lambda: None) -> Result:
        """Make one request. The API has no idempotency key, so an unclear answer is unknown."""
        try:
            response = self.http.post(body, begin_call)
        except NotSentError as error:
            return refused(f"not reached: {error}"[:MAX_DETAIL_CHARS], retry=True)
        except NoResponseError as error:
            return unknown(f"no response: {error}"[:MAX_DETAIL_CHARS])
        return result_of_response(response)

    def close(self) -> None:
        self.http.close()


def build_request() -> urllib.request.Request:
    """Let the SDK build the request of a mail, and return it instead of making it."""
    api = sendgrid.SendGridAPIClient(
        api_key=settings.SENDGRID_API_KEY, host=settings.SENDGRID_API_URL
    )
    endpoint, requests = api.client.mail.send, list[urllib.request.Request]()

    def capture_request(
        _: object, request: urllib.request.Request, timeout: float | None = None
    ) -> CapturedResponse:
        requests.append(request)
        return CapturedResponse()

    endpoint._make_request = capture_request
    endpoint.post(request_body={})
    return requests[0]


class CapturedResponse:
    """What the SDK reads of a response."""

    def getcode(self) -> int:
        return 202

    def read(self) -> bytes:
        return b""

    def info(self) -> dict[str, str]:
        return {}


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


def result_of_response(response: Response) -> Result:
    """Map a response by what is certain of it.

    The API documents 202 with a message id for an accepted mail. Any other 2xx (also 200:
    sandbox mode is never requested) comes from something in between, which may have
    passed the mail on; so may whatever answered 5xx. A redirect says that the request was
    not processed at this URL.
    """
    status, headers = response.status, response.headers
    message_id = headers.get("x-message-id", "")
    wait = rate_limit_wait(status, headers)
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
        return result_of_refusal(status, response.body, wait)
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


def rate_limit_wait(status: int, headers: Mapping[str, str]) -> float:
    """Seconds for which no mail is accepted, 0 for none; at most rate.MAX_BLOCK_S.

    That is Retry-After of a 429, in seconds, or else the time until X-RateLimit-Reset, in
    seconds since 1970, if X-RateLimit-Remaining is 0.
    """
    seconds = 0.0
    with suppress(ValueError):
        if int(headers.get("x-ratelimit-remaining", 1)) <= 0:
            seconds = float(headers.get("x-ratelimit-reset", 0)) - time.time()
    with suppress(ValueError):
        if status == 429 and "retry-after" in headers:
            seconds = float(headers["retry-after"])
    if math.isnan(seconds):
        return 0.0
    return min(max(0.0, seconds), rate.MAX_BLOCK_S)


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
        connection = Connection()
        bodies = map(json.dumps, map(account_mail_payload, email_messages))
        results = [connection.post_body(body.encode()) for body in bodies]
        connection.close()
        failures = [each for each in results if each.state != ResultState.ACCEPTED]
        if failures and not self.fail_silently:
            raise error_of_result(failures[0])
        return len(results) - len(failures)


def error_of_result(result: Result) -> OSError:
    """Return the exception for a mail that was not accepted: permanent, or worth another attempt."""
    detail = f"SendGrid: {result.detail}"
    if result.state != ResultState.REFUSED or result.retry:
        return OSError(detail)
    return (RecipientRefusedError if result.is_recipient else MailRefusedError)(detail)


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
