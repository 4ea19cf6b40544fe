"""Events of Amazon SES, posted by Amazon SNS: verify the signature and parse the event.

One SNS message a post, which holds one event as JSON text, delivered at least once:
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import functools
import json
import re
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings

from accounts.addresses import address_hash
from digest.feedback.record import (
    MalformedPost,
    Report,
    clean_field,
    clean_text,
    parse_time,
)

SOURCE = "ses"

# SNS posts at most 256 KB.
MAX_BODY_BYTES = 300_000
HTTP_TIMEOUT_S = 5.0
# Only these hosts are asked for certificates and confirmations.
SNS_URL = re.compile(r"https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[^\s@\\]*", re.A)
SIGNED_FIELDS = {
    "Notification": (
        *("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    ),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn"),
        "Type",
    ),
}
KINDS = {
    "Send": "processed",
    "DeliveryDelay": "deferred",
    "Delivery": "delivered",
    "Bounce": "bounce",
    "Complaint": "spamreport",
    "Reject": "dropped",
}
# The member of an event that holds its details and time, and the list of its recipients.
DETAILS = {
    "Bounce": ("bounce", "bouncedRecipients"),
    "Complaint": ("complaint", "complainedRecipients"),
    "Delivery": ("delivery", "recipients"),
    "DeliveryDelay": ("deliveryDelay", "delayedRecipients"),
    "Reject": ("reject", ""),
}


def is_configured() -> bool:
    return bool(settings.SES_TOPIC_ARN)


def is_genuine(headers: Mapping[str, str], body: bytes) -> bool:
    """Verify that SNS signed this message, and that it is of our topic."""
    try:
        message = parse_message(body)
        signature = base64.b64decode(message["Signature"], validate=True)
        algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}[message["SignatureVersion"]]
        if message["TopicArn"] != settings.SES_TOPIC_ARN:
            return False
        key = fetch_public_key(message["SigningCertURL"])
        key.verify(signature, signed_text(message), padding.PKCS1v15(), algorithm())
    except (KeyError, TypeError, ValueError, binascii.Error, InvalidSignature):
        return False
    return True


def signed_text(message: Mapping[str, Any]) -> bytes:
    """Return what SNS signs: names and values of the fields that the message has, in order."""
    names = [name for name in SIGNED_FIELDS[message["Type"]] if name in message]
    return "".join(f"{name}\n{message[name]}\n" for name in names).encode()


@functools.lru_cache(maxsize=4)
def fetch_public_key(url: str) -> rsa.RSAPublicKey:
    """Fetch the key that SNS signs with, once a process; raise ValueError if it is not one of SNS.

    Raises httpx.HTTPError if it cannot be fetched: SNS repeats the post.
    """
    if not SNS_URL.fullmatch(url) or not url.endswith(".pem"):
        raise ValueError("not a certificate of SNS")
    response = httpx.get(url, timeout=HTTP_TIMEOUT_S).raise_for_status()
    key = x509.load_pem_x509_certificate(response.content).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA key")
    return key


def parse_post(body: bytes) -> list[Report]:
    """Parse the event of one post, one report a recipient; raise MalformedPost if it is none.

    SNS asks once whether it may post here; this confirms it.
    """
    message = parse_message(body)
    if message["Type"] == "SubscriptionConfirmation":
        confirm_subscription(message)
        return []
    try:
        event = json.loads(message["Message"])
        mail = event["mail"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []  # SNS tests a topic with a sentence
    if not isinstance(mail, dict):
        return []
    name = clean_text(event.get("eventType") or event.get("notificationType"))
    member, recipients = DETAILS.get(name, ("", ""))
    details = event.get(member)
    details = details if isinstance(details, dict) else {}
    rows = details.get(recipients) or mail.get("destination") or []
    return [
        parse_event(name, details, row, mail, clean_text(message.get("MessageId")))
        for row in (rows if isinstance(rows, list) else [])
    ]


def parse_message(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise MalformedPost(f"{len(body)} bytes are more than SNS posts")
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedPost("this is not JSON") from error
    if not isinstance(message, dict) or message.get("Type") not in SIGNED_FIELDS:
        raise MalformedPost("this is not a message of SNS")
    return message


def confirm_subscription(message: Mapping[str, Any]) -> None:
    url = clean_text(message.get("SubscribeURL"))
    if not SNS_URL.fullmatch(url):
        raise MalformedPost("SubscribeURL is not one of SNS")
    httpx.get(url, timeout=HTTP_TIMEOUT_S).raise_for_status()


def parse_event(
    name: str, details: Mapping[str, Any], row: Any, mail: Mapping[str, Any], key: str
) -> Report:
    """Parse what an event says about a recipient: an address, or an object with one."""
    recipient = row if isinstance(row, dict) else {"emailAddress": row}
    email = clean_text(recipient.get("emailAddress"))
    kind = KINDS.get(name) or re.sub(r"\W+", "_", name.lower()) or "unnamed"
    if details.get("complaintFeedbackType") == "not-spam":
        kind = "not_spam"
    payload = {
        "status": clean_field(recipient.get("status")),
        "reason": clean_field(recipient.get("diagnosticCode") or details.get("reason")),
        "classification": clean_field(details.get("bounceSubType")),
    }
    if kind == "bounce":
        is_permanent = details.get("bounceType") == "Permanent"
        payload["type"] = "bounce" if is_permanent else "blocked"
    if email:
        payload["address_hash"] = address_hash(email)
    tags = mail.get("tags")
    digest_keys = tags.get("digest") if isinstance(tags, dict) else None
    return Report(
        kind=kind[:24],
        key=f"{key}:{payload.get('address_hash', '')}",
        digest_key=clean_text(digest_keys[0])
        if isinstance(digest_keys, list) and digest_keys
        else "",
        message_id=clean_text(mail.get("messageId")),
        at=parse_time(details.get("timestamp") or mail.get("timestamp")),
        payload={field: text for field, text in payload.items() if text},
        is_ours=is_own_sender(clean_text(mail.get("source"))),
    )


def is_own_sender(source: str) -> bool:
    """Whether a mail was sent from the domain of our mails; a topic may report on others."""
    own = {
        parseaddr(address)[1].rpartition("@")[2].lower()
        for address in (settings.MAIL_FROM, settings.BOUNCE_ADDRESS)
    }
    return parseaddr(source)[1].rpartition("@")[2].lower() in own - {""}
