"""Keep what was reported, before anybody acts on it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from digest.models import Digest, Event

# The column's width; a longer name is replaced by its hash.
KEY_LENGTH = 120


@dataclass(frozen=True)
class Report:
    """One thing that a source says happened. `key` is its own name for it, "" where it gave none."""

    kind: str
    key: str = ""
    digest_key: str = ""
    message_id: str = ""
    at: datetime | None = None
    payload: dict[str, str] = field(default_factory=dict)


def record(reports: Iterable[Report], source: str, now: datetime) -> int:
    """Store the reports that are new, undone; how many they were. A repeat stores nothing.

    Four queries however many reports. Two posts at once may both count a report, but
    the database keeps one.
    """
    events = {event.semantic_key: event for event in as_events(reports, source, now)}
    fresh = unknown(list(events.values()), source)
    Event.objects.bulk_create(fresh, ignore_conflicts=True)
    return len(fresh)


def as_events(reports: Iterable[Report], source: str, now: datetime) -> Iterable[Event]:
    """Rows, each with the digest that it speaks of where we know it."""
    listed = list(reports)
    known = digests_of(listed)
    for report in listed:
        meaning = semantic_key(source, report)
        yield Event(
            source=source,
            key=short(report.key) or meaning,
            semantic_key=meaning,
            kind=report.kind,
            digest_id=known.get(report.digest_key) or known.get(report.message_id),
            payload=report.payload,
            at=report.at or now,
        )


def semantic_key(source: str, report: Report) -> str:
    """A hash of what is said, whatever the source calls it: providers repeat events under new names."""
    said = [
        *(source, report.kind, report.digest_key, report.message_id),
        report.at.isoformat() if report.at else report.key,
        *(f"{name}={value}" for name, value in sorted(report.payload.items())),
    ]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def short(key: str) -> str:
    if len(key) <= KEY_LENGTH:
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def digests_of(reports: list[Report]) -> dict[str, int]:
    """Ids of the digests that these reports name, by key and by message id."""
    keys = {report.digest_key for report in reports} - {""}
    names = {report.message_id for report in reports} - {""}
    rows = Digest.objects.filter(Q(key__in=keys) | Q(message_id__in=names))
    found: dict[str, int] = {}
    for pk, key, name in rows.values_list("pk", "key", "message_id"):
        found |= {key: pk, name: pk}
    found.pop("", None)
    return found


def unknown(events: list[Event], source: str) -> list[Event]:
    """Those of these events that are not stored yet."""
    stored = Event.objects.filter(source=source).filter(
        Q(key__in=[event.key for event in events])
        | Q(semantic_key__in=[event.semantic_key for event in events])
    )
    seen = {
        value for pair in stored.values_list("key", "semantic_key") for value in pair
    }
    return [e for e in events if e.key not in seen and e.semantic_key not in seen]
