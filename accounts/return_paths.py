"""Signed addresses under BOUNCE_ADDRESS: envelope senders (VERP), and addresses to unsubscribe at.

`bounces@example.org` becomes `bounces+d2s-4uzq5ijv6qxkcq3e@example.org`: a kind, the id of a
row, and a signature. Headers and the logs of mail servers contain them, so they open no
page: who knows one can only report that a mail to this reader bounced, or unsubscribe
the reader.
"""

import base64
import re
from typing import NamedTuple

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import base36_to_int, int_to_base36

# Kinds of tagged addresses.
DIGEST = "d"  # envelope sender of a digest
READER = "r"  # envelope sender of an account mail
UNSUBSCRIBE = "u"  # in List-Unsubscribe
COMPLAINTS = "c"  # for reports of feedback loops; no mail contains it

SIGNATURE_CHARS = 16  # 80 bits


class Tag(NamedTuple):
    kind: str
    pk: int
    signature: str


def tagged_address(kind: str, pk: int, bound_to: str) -> str:
    """Return the address with this tag; "" if BOUNCE_ADDRESS is not set.

    The signature covers `bound_to`, which differs when another reader gets the same id.
    """
    local, at, domain = settings.BOUNCE_ADDRESS.rpartition("@")
    if not at:
        return ""
    tag = f"{kind}{int_to_base36(pk)}-{sign(kind, pk, bound_to)}"
    return f"{local}+{tag}@{domain}"


def find_tags(text: str) -> list[Tag]:
    """Find our tagged addresses in a text; their signatures are not verified yet."""
    local, at, domain = settings.BOUNCE_ADDRESS.rpartition("@")
    if not at:
        return []
    pattern = (
        rf"(?<![\w.+-]){re.escape(local)}\+([druc])([0-9a-z]{{1,12}})"
        rf"-([a-z2-7]{{{SIGNATURE_CHARS}}})@{re.escape(domain)}(?![\w-]|\.\w)"
    )
    return [
        Tag(kind.lower(), base36_to_int(number), signature.lower())
        for kind, number, signature in re.findall(pattern, text, re.I | re.A)
    ]


def is_genuine(tag: Tag, bound_to: str) -> bool:
    return constant_time_compare(tag.signature, sign(tag.kind, tag.pk, bound_to))


def sign(kind: str, pk: int, bound_to: str) -> str:
    """Sign under SUPPRESSION_KEY, which is never rotated: reports arrive days later."""
    signature = salted_hmac(
        "accounts.return_paths",
        f"{kind} {pk} {bound_to}",
        secret=settings.SUPPRESSION_KEY,
        algorithm="sha256",
    )
    # Base32 in lower case, because mail servers may change the case of an address.
    text = base64.b32encode(signature.digest()).decode().lower()
    return text[:SIGNATURE_CHARS]


def complaints_address() -> str:
    """Return the address to register at the feedback loops of mailbox providers."""
    return tagged_address(COMPLAINTS, 0, "")


def is_complaints_tag(tag: Tag) -> bool:
    return tag.kind == COMPLAINTS and is_genuine(tag, "")
