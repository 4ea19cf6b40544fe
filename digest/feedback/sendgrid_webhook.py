"""SendGrid's event webhook: verify the signature and parse the events.

JSON arrays of flat objects, delivered at least once and in no order:
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from accounts.addresses import address_hash
from accounts.emails import SITE_ARGUMENT, site_mark
from digest.feedback.record import MalformedPost, Report, clean_field, clean_text

SOURCE = "sendgrid"

# SendGrid posts at most 768 KB; an event is larger than 150 bytes, so such a post has
# fewer than 5,000.
MAX_BODY_BYTES = 2_000_000
MAX_EVENTS = 5000

# The fields that are stored. They hold no address and no IP number, except that the
# provider's sentences often quote the address.
STORED_FIELDS = (
    *("type", "reason", "response", "status", "bounce_classification", "attempt"),
)
MAX_TIMESTAMP = 4_102_444_800  # the year 2100


class MalformedKey(Exception):
    """SENDGRID_WEBHOOK_KEY is not a public key: no post can be verified."""


def is_configured() -> bool:
    return bool(settings.SENDGRID_WEBHOOK_KEY)


def is_genuine(headers: Mapping[str, str], body: bytes) -> bool:
    """Verify SendGrid's signature (ECDSA P-256 over timestamp and body).

    The timestamp's age is not checked: SendGrid repeats a post that was not accepted for
    24 hours, and a replayed one is harmless because its events are stored already.
    Raises MalformedKey.
    """
    if not is_configured():
        return False
    verifier = webhook_verifier(settings.SENDGRID_WEBHOOK_KEY)
    try:
        return bool(
            verifier.verify_signature(
                body.decode(),
                headers[EventWebhookHeader.SIGNATURE],
                headers[EventWebhookHeader.TIMESTAMP],
            )
        )
    except (KeyError, ValueError, TypeError):  # absent, not base64, not UTF-8
        return False


@functools.lru_cache(maxsize=2)
def webhook_verifier(key: str) -> EventWebhook:
    """Cache the SDK's verifier: parsing the key costs more than verifying with it."""
    try:
        return EventWebhook(key)
    except Exception as error:  # the SDK's parser raises several
        raise MalformedKey("SENDGRID_WEBHOOK_KEY is not a public key") from error


def parse_post(body: bytes) -> list[Report]:
    """Parse the events of one post; raise MalformedPost if it is none. Other list items are ignored."""
    if len(body) > MAX_BODY_BYTES:
        raise MalformedPost(f"{len(body)} bytes are more than SendGrid posts")
    try:
        items = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedPost("this is not JSON") from error
    if not isinstance(items, list) or len(items) > MAX_EVENTS:
        raise MalformedPost(f"this is not a list of up to {MAX_EVENTS} events")
    return [
        parse_event(item)
        for item in items
        if isinstance(item, dict) and item.get("event")
    ]


def parse_event(item: dict[str, Any]) -> Report:
    return Report(
        kind=clean_text(item["event"])[:24],
        key=clean_text(item.get("sg_event_id")),
        digest_key=clean_text(item.get("digest")),
        # The id from the API's response is what precedes the first dot.
        message_id=clean_text(item.get("sg_message_id")).partition(".")[0],
        at=parse_timestamp(item.get("timestamp")),
        payload=stored_payload(item),
        is_ours=item.get(SITE_ARGUMENT) == site_mark(),
    )


def stored_payload(item: dict[str, Any]) -> dict[str, str]:
    """Select what may matter later, without personal data; the address only as its suppression hash."""
    payload = {
        name: clean_field(item[name])
        for name in STORED_FIELDS
        if item.get(name) is not None
    }
    email = clean_text(item.get("email"))
    return payload | ({"address_hash": address_hash(email)} if email else {})


def parse_timestamp(value: Any) -> datetime | None:
    """Convert seconds since 1970; None if that is not a plausible time."""
    if not isinstance(value, int | float) or not 0 < value < MAX_TIMESTAMP:
        return None
    return datetime.fromtimestamp(value, UTC)
