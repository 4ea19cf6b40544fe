"""Store reported events before they are processed."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from digest.models import Digest, Event, ForeignEventCount

# The width of the column; a longer key is replaced by its hash.
MAX_KEY_CHARS = 120
# How much of a provider's sentence is read, and stored without the addresses in it.
MAX_FIELD_CHARS_READ, MAX_FIELD_CHARS = 2000, 300
ADDRESS = re.compile(r"[^\s<>(),;:]+@[^\s<>(),;:]+")


class MalformedPost(ValueError):
    """The body of a post holds no events; the text says why."""


@dataclass(frozen=True)
class Report:
    """One event as its source reports it; `key` is the source's id for it, "" if it has none.

    `is_ours` is false if the source also reports on mails of others and this event does
    not bear our mark; it is ours nevertheless if it names one of our digests.
    """

    kind: str
    key: str = ""
    digest_key: str = ""
    message_id: str = ""
    at: datetime | None = None
    payload: dict[str, str] = field(default_factory=dict)
    is_ours: bool = True


def record_reports(reports: Iterable[Report], source: str, now: datetime) -> int:
    """Store our reports that are new and return their number; a repeat stores nothing.

    At most eight queries however many reports. Two simultaneous calls may both count a
    report, but the database keeps one.
    """
    reports = list(reports)
    digest_ids = find_digests(reports)
    ours = [report for report in reports if is_ours(report, digest_ids)]
    if number_foreign := len(reports) - len(ours):
        ForeignEventCount.add(source, now.date(), number_foreign)
    events = {
        event.semantic_key: event
        for event in build_events(ours, digest_ids, source, now)
    }
    # In one order, because concurrent posts of the same events lock their unique keys.
    # Repeats may have new ids, so that the order of these is not the same.
    ordered = [event for _, event in sorted(events.items())]
    new_events = not_stored(ordered, source)
    Event.objects.bulk_create(new_events, ignore_conflicts=True)
    return len(new_events)


def is_ours(report: Report, digest_ids: dict[str, int]) -> bool:
    """Whether the report is about a mail of this site, by our mark or by a digest."""
    return (
        report.is_ours
        or report.digest_key in digest_ids
        or report.message_id in digest_ids
    )


def build_events(
    reports: Iterable[Report], digest_ids: dict[str, int], source: str, now: datetime
) -> Iterable[Event]:
    for report in reports:
        content_hash = semantic_key(source, report)
        yield Event(
            source=source,
            key=shorten_key(report.key) or content_hash,
            semantic_key=content_hash,
            kind=report.kind,
            digest_id=digest_ids.get(report.digest_key)
            or digest_ids.get(report.message_id),
            payload=report.payload,
            at=report.at or now,
        )


def semantic_key(source: str, report: Report) -> str:
    """Hash an event's content without its id, since providers repeat events under new ids."""
    parts = [
        *(source, report.kind, report.digest_key, report.message_id),
        report.at.isoformat() if report.at else report.key,
        *(f"{name}={value}" for name, value in sorted(report.payload.items())),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def shorten_key(key: str) -> str:
    if len(key) <= MAX_KEY_CHARS:
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def find_digests(reports: list[Report]) -> dict[str, int]:
    """Return digests by their key; of reports without a known one, by message id among the digests of the address.

    Message ids have no index, which every mail would have to pay for.
    """
    keys = {report.digest_key for report in reports} - {""}
    by_key = dict(Digest.objects.filter(key__in=keys).values_list("key", "pk"))
    others = [report for report in reports if report.digest_key not in by_key]
    by_message_id = Digest.objects.filter(
        subscriber__address_hash__in={r.payload.get("address_hash") for r in others},
        message_id__in={report.message_id for report in others} - {""},
    )
    return by_key | dict(by_message_id.values_list("message_id", "pk"))


def not_stored(events: list[Event], source: str) -> list[Event]:
    stored = Event.objects.filter(source=source).filter(
        Q(key__in=[event.key for event in events])
        | Q(semantic_key__in=[event.semantic_key for event in events])
    )
    stored_keys = {
        key for pair in stored.values_list("key", "semantic_key") for key in pair
    }
    return [
        event
        for event in events
        if event.key not in stored_keys and event.semantic_key not in stored_keys
    ]


def clean_text(value: Any) -> str:
    """Convert a scalar to text that every database stores: no NUL, no lone surrogate."""
    if not isinstance(value, str | int | float):
        return ""
    return str(value).replace("\0", "").encode(errors="ignore").decode()


def clean_field(value: Any) -> str:
    """Convert a field of a report to short text without addresses."""
    text = clean_text(value)[:MAX_FIELD_CHARS_READ]
    return ADDRESS.sub("<address>", text)[:MAX_FIELD_CHARS]


def parse_time(value: Any) -> datetime | None:
    """Parse an ISO 8601 time with offset; None if it is none."""
    try:
        at = datetime.fromisoformat(clean_text(value))
    except ValueError:
        return None
    return at if at.tzinfo else None
