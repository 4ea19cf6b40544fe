"""Read what mail servers and mailbox providers report by mail.

Delivery status notifications (RFC 3464), complaints in the Abuse Reporting Format (RFC
5965), and bounces in the servers' own formats. Everything in such a mail is untrusted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.utils import parsedate_to_datetime

from flufl.bounce import all_failures

# What is parsed of a mail: the report precedes the returned mail.
MAX_PARSED_BYTES = 128_000
MAX_TEXT_CHARS = 20_000

COMPLAINT, DELIVERY_STATUS = "message/feedback-report", "message/delivery-status"

# RFC 3463: the mailbox or its domain does not exist, has moved, takes no mail, or is disabled.
DEAD_ADDRESS_STATUSES = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
# The same in words, where a server reports no precise status.
DEAD_ADDRESS_WORDS = re.compile(
    r"\b5\.1\.(?:1|2|3|6|10)\b|\b5\.2\.1\b"
    r"|(?:user|mailbox|recipient|address|account)(?: \S+)? (?:is )?(?:unknown|not found|does not exist|disabled)"
    r"|unknown (?:user|mailbox|recipient|address|local part)"
    r"|no such (?:user|mailbox|recipient|address|person)"
    r"|(?:doesn't|does not) have an? \S+ account",
    re.I,
)
# RFC 3464, 2.3.3. What a server relayed or expanded to others it had accepted.
KIND_OF_ACTION = {
    "failed": "bounce",
    "delayed": "deferred",
    "delivered": "delivered",
    "relayed": "processed",
    "expanded": "processed",
}
# RFC 5965, 7.3. Other types are not requests of the recipient.
COMPLAINT_TYPES = ("abuse", "fraud", "opt-out", "opt-out-list")


@dataclass(frozen=True)
class MailReport:
    """What one mail reports: an event kind as SendGrid names it, and for bounces whether the address is dead."""

    kind: str
    is_dead_address: bool = False
    status: str = ""
    reason: str = ""


def parse_message(content: bytes) -> Message:
    """Parse the beginning of a mail; one that is nested too deeply has no parts."""
    try:
        return message_from_bytes(content[:MAX_PARSED_BYTES])
    except RecursionError:
        return Message()


def read_report(message: Message) -> MailReport | None:
    """Read what a mail reports; None if it is no report, such as a vacation reply."""
    types = {part.get_content_type() for part in message.walk()}
    if COMPLAINT in types:
        return read_complaint(message)
    if DELIVERY_STATUS in types:
        return read_delivery_status(message)
    return read_other_bounce(message)


def read_complaint(message: Message) -> MailReport | None:
    for fields in report_fields(message, COMPLAINT):
        if one_line(fields["Feedback-Type"]).lower() in COMPLAINT_TYPES:
            return MailReport("spamreport", reason=one_line(fields["User-Agent"]))
    return None


def read_delivery_status(message: Message) -> MailReport | None:
    """Read the report about the recipient, since each of our mails has a single one.

    Where a server reports on several, a failure counts before anything else.
    """
    recipients = map(read_recipient, report_fields(message, DELIVERY_STATUS))
    reports = [report for report in recipients if report]
    return min(reports, key=lambda r: r.kind != "bounce", default=None)


def read_recipient(fields: Message) -> MailReport | None:
    """Read the fields of one recipient; None for the fields about the whole mail."""
    kind = KIND_OF_ACTION.get(one_line(fields["Action"]).lower())
    if kind is None:
        return None
    status = one_line(fields["Status"]).partition(" ")[0]
    # "smtp; 550 5.1.1 no such user": the type precedes the semicolon.
    diagnostic = one_line(fields["Diagnostic-Code"]).partition(";")[2].strip()
    is_dead = kind == "bounce" and (
        status in DEAD_ADDRESS_STATUSES
        or (status.startswith("5") and bool(DEAD_ADDRESS_WORDS.search(diagnostic)))
    )
    return MailReport(kind, is_dead, status, diagnostic)


def read_other_bounce(message: Message) -> MailReport | None:
    """Read a bounce in a server's own format, which flufl.bounce knows."""
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # its detectors do not expect hostile mails
        return None
    if not temporary and not permanent:
        return None
    text = " ".join(body_text(message).split())[:MAX_TEXT_CHARS]
    match = DEAD_ADDRESS_WORDS.search(text)
    is_dead = bool(permanent and match)
    reason = text[max(0, match.start() - 80) : match.end() + 80] if match else text
    return MailReport("bounce" if permanent else "deferred", is_dead, reason=reason)


def report_fields(message: Message, content_type: str) -> Iterator[Message]:
    """Yield the groups of fields in the parts of this type."""
    for part in message.walk():
        if part.get_content_type() != content_type:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):  # the parser splits message/* at empty lines
            yield from (group for group in payload if isinstance(group, Message))
        else:
            yield message_from_bytes(str(payload).encode(errors="replace"))


def returned_headers(message: Message) -> Iterator[Message]:
    """Yield the headers of the mail that a report returns."""
    for part in message.walk():
        match part.get_content_type():
            case "message/rfc822":
                payload = part.get_payload()
                if isinstance(payload, list):
                    yield from (item for item in payload if isinstance(item, Message))
            case "text/rfc822-headers" | "message/rfc822-headers":
                yield message_from_bytes(payload_bytes(part))


def body_text(message: Message) -> str:
    texts = [
        payload_bytes(part)[:MAX_TEXT_CHARS].decode(errors="replace")
        for part in message.walk()
        if part.get_content_maintype() == "text"
    ]
    return "\n".join(texts)


def payload_bytes(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def one_line(value: object) -> str:
    """Convert a header's value to one line of text."""
    return " ".join(str(value or "").split())[:MAX_TEXT_CHARS]


def report_date(message: Message, now: datetime) -> datetime:
    """Return when the mail says that it was written, no later than now; now if it does not say."""
    try:
        written = parsedate_to_datetime(str(message["Date"]))
    except (ValueError, TypeError, OverflowError):
        return now
    if written.tzinfo is None:
        written = written.replace(tzinfo=UTC)
    try:
        return min(written.astimezone(UTC), now)
    except OverflowError:
        return now
