"""Postmark's webhooks: check the password and parse the event.

One flat object a post, delivered at least once. Postmark signs nothing; it sends the
user name and password of the webhook's URL:
https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.crypto import constant_time_compare

from accounts.addresses import address_hash
from digest.feedback.record import (
    MalformedPost,
    Report,
    clean_field,
    clean_text,
    parse_time,
)

SOURCE = "postmark"

# Without the content of the mail, which the webhook need not include.
MAX_BODY_BYTES = 300_000
# Types of bounces after which an address receives nothing any more.
DEAD_ADDRESS_TYPES = {"HardBounce", "BadEmailAddress"}
# What Postmark files under bounces although the mail was delivered.
REPLY_TYPES = {"AutoResponder", "AddressChange", "OpenRelayTest", "Subscribe"}
TIME_FIELDS = ("BouncedAt", "DeliveredAt", "ChangedAt")


def is_configured() -> bool:
    return bool(settings.POSTMARK_WEBHOOK_PASSWORD)


def is_genuine(headers: Mapping[str, str], body: bytes) -> bool:
    """Compare the password of basic authentication; the user name is free."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    try:
        credentials = base64.b64decode(value, validate=True).decode()
    except (ValueError, binascii.Error):
        return False
    password = credentials.partition(":")[2]
    return scheme.lower() == "basic" and constant_time_compare(
        password, settings.POSTMARK_WEBHOOK_PASSWORD
    )


def parse_post(body: bytes) -> list[Report]:
    """Parse the event of one post; raise MalformedPost if it is none."""
    if len(body) > MAX_BODY_BYTES:
        raise MalformedPost(f"{len(body)} bytes are more than an event has")
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedPost("this is not JSON") from error
    if not isinstance(event, dict) or not clean_text(event.get("RecordType")):
        raise MalformedPost("this is not an event")
    return [parse_event(event)]


def parse_event(event: Mapping[str, Any]) -> Report:
    kind, number = event_kind(event), clean_text(event.get("ID"))
    payload = {
        "status": clean_field(event.get("Type")),
        "reason": clean_field(event.get("Details") or event.get("Description")),
    }
    if kind == "bounce":
        is_dead = clean_text(event.get("Type")) in DEAD_ADDRESS_TYPES
        payload["type"] = "bounce" if is_dead else "blocked"
    if email := clean_text(event.get("Email") or event.get("Recipient")):
        payload["address_hash"] = address_hash(email)
    metadata = event.get("Metadata")
    times = (parse_time(event[name]) for name in TIME_FIELDS if name in event)
    return Report(
        kind=kind[:24],
        key=f"{clean_text(event['RecordType'])}:{number}" if number else "",
        digest_key=clean_text(metadata.get("digest"))
        if isinstance(metadata, dict)
        else "",
        message_id=clean_text(event.get("MessageID")),
        at=next(times, None),
        payload={field: text for field, text in payload.items() if text},
    )


def event_kind(event: Mapping[str, Any]) -> str:
    """Name an event as SendGrid does."""
    bounce_type = clean_text(event.get("Type"))
    match event["RecordType"]:
        case "Delivery":
            return "delivered"
        case "Bounce" if bounce_type == "Unsubscribe":
            return "unsubscribe"
        case "Bounce" if bounce_type in REPLY_TYPES:
            return "reply"
        case "Bounce":
            return "bounce"
        case "SpamComplaint":
            return "spamreport"
        case "SubscriptionChange" if is_unsubscribe(event):
            return "unsubscribe"
        case other:
            return clean_text(other).lower()


def is_unsubscribe(event: Mapping[str, Any]) -> bool:
    """Whether the recipient left; bounces and complaints are reported as such, too."""
    reason = event.get("SuppressionReason")
    return bool(event.get("SuppressSending")) and (
        event.get("Origin") == "Recipient" and reason == "ManualSuppression"
    )
