"""What SendGrid reports: is it genuine, and what does it say?

Event webhook, JSON arrays of flat objects, at least once and in no order:
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from accounts.addresses import address_hash
from digest.feedback.record import Report

SOURCE = "sendgrid"

# SendGrid posts at most 768 KB. No event fits into 150 bytes, so that 5,000 is more
# than such a post can hold.
BODY_BYTES = 2_000_000
EVENTS = 5000

# What we keep of an event, and how much of it. Neither address nor number of a
# person is among it; the provider's sentences often quote the address.
KEPT = ("type", "reason", "response", "status", "bounce_classification", "attempt")
KEPT_LENGTH = 300
ADDRESS = re.compile(r"[^\s<>(),;:]+@[^\s<>(),;:]+")


class Refused(ValueError):
    """A body that is no post of events; the text says why."""


def genuine(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether SendGrid signed these bytes (ECDSA P-256 over timestamp + body).

    The timestamp's age is not looked at: a post that we did not take is repeated for
    24 hours, and one that is played again is harmless, because its events are stored.
    A key of ours that cannot be read raises: that is the operator's to see.
    """
    if not settings.SENDGRID_WEBHOOK_KEY:
        return False
    hook = reader_of(settings.SENDGRID_WEBHOOK_KEY)
    try:
        return bool(
            hook.verify_signature(
                body.decode(),
                headers[EventWebhookHeader.SIGNATURE],
                headers[EventWebhookHeader.TIMESTAMP],
            )
        )
    except (KeyError, ValueError, TypeError):  # absent, not base64, not UTF-8
        return False


@functools.lru_cache(maxsize=2)
def reader_of(key: str) -> EventWebhook:
    """The SDK's verifier; reading the key costs more than verifying with it."""
    return EventWebhook(key)


def parse(body: bytes) -> list[Report]:
    """The events of one post; Refused where it is none. What is no event within it is left out."""
    if len(body) > BODY_BYTES:
        raise Refused(f"{len(body)} bytes are more than SendGrid posts")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as why:
        raise Refused("this is not JSON") from why
    if not isinstance(said, list) or len(said) > EVENTS:
        raise Refused(f"this is not a list of up to {EVENTS} events")
    return [
        report_of(one) for one in said if isinstance(one, dict) and one.get("event")
    ]


def report_of(said: dict[str, Any]) -> Report:
    """One event. Kinds that we do not know are kept as well."""
    return Report(
        kind=text(said["event"])[:24],
        key=text(said.get("sg_event_id")),
        digest_key=text(said.get("digest")),
        # Our own name for the mail is what precedes the first dot of theirs.
        message_id=text(said.get("sg_message_id")).partition(".")[0],
        at=moment(said.get("timestamp")),
        payload=kept(said),
    )


def kept(said: dict[str, Any]) -> dict[str, str]:
    """What may matter later, without persons; the address only as the hash that suppresses it."""
    words = {name: text(said[name]) for name in KEPT if said.get(name) is not None}
    known = {
        name: ADDRESS.sub("<address>", value)[:KEPT_LENGTH]
        for name, value in words.items()
    }
    email = text(said.get("email"))
    return known | ({"address_hash": address_hash(email)} if email else {})


def text(value: Any) -> str:
    """A scalar as text that every database stores: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str | int | float):
        return ""
    return str(value).replace("\0", "").encode(errors="ignore").decode()


def moment(value: Any) -> datetime | None:
    """Seconds since 1970 as a time; None where that is no time of our days."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not 0 < value < 4_102_444_800:  # the year 2100
        return None
    return datetime.fromtimestamp(value, UTC)
