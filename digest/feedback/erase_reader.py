"""Erase what this app stores about a reader beyond the rows that are deleted with them."""

import re
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.erasure import redact
from accounts.models import Subscriber
from digest.feedback import process_events
from digest.models import (
    Batch,
    Digest,
    Event,
    Follow,
    IngestRun,
    Interest,
    Recall,
    SendingPause,
    Submission,
)

# Text that a person or a provider wrote, which may quote an address or a link.
FREE_TEXT_COLUMNS: dict[Any, list[str]] = {
    Batch: ["error"],
    IngestRun: ["error", "note", "refused_records"],
    Recall: ["reason"],
    SendingPause: ["reason"],
    Submission: ["why"],
}


def prepare_erasure(subscriber: Subscriber, secrets: list[str], **_: Any) -> None:
    """Collect the keys of digests, and delete what they lead to."""
    digests = Digest.objects.filter(subscriber=subscriber)
    secrets += digests.values_list("key", flat=True)
    delete_events(subscriber)
    remove_from_batches(subscriber)
    delete_own_interests(subscriber)


def delete_own_interests(subscriber: Subscriber) -> None:
    """Delete the interests that only this reader follows: a search may be personal."""
    others = Follow.objects.exclude(subscriber=subscriber)
    own = Interest.objects.filter(follows__subscriber=subscriber)
    own.exclude(pk__in=others.values("interest")).delete()


def delete_events(subscriber: Subscriber) -> None:
    """Delete all events of a reader, after waiting complaints and bounces are processed."""
    events = Event.objects.filter(
        Q(digest__subscriber=subscriber)
        | Q(digest=None, payload__address_hash=subscriber.address_hash)
    )
    waiting = events.filter(
        processed_at=None, kind__in=process_events.KINDS_WITH_EFFECTS
    )
    for event in waiting.select_related("digest__subscriber"):
        process_events.process_one(event, timezone.now())
    events.delete()


def remove_from_batches(subscriber: Subscriber) -> None:
    """Remove a reader from finished and unfinished batches; workers skip who is missing."""
    for batch in Batch.objects.filter(
        Q(digests__subscriber=subscriber) | ~Q(state=Batch.State.DONE)
    ).distinct():
        if subscriber.pk in batch.readers:
            batch.readers = [pk for pk in batch.readers if pk != subscriber.pk]
            batch.save(update_fields=["readers"])


def finish_erasure(pattern: re.Pattern[str], **_: Any) -> None:
    for model, columns in FREE_TEXT_COLUMNS.items():
        redact(model.objects.all(), columns, pattern)
