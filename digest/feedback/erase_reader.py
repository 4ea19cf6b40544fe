"""Erase what this app stores about a reader beyond the rows that are deleted with them."""

import re
from typing import Any

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
    digests = subscriber.digests.values("pk")
    with_digest = Event.objects.filter(digest__in=digests)
    without = Event.objects.filter(
        digest=None, payload__address_hash=subscriber.address_hash
    )
    for events in (with_digest, without):
        waiting = events.filter(
            processed_at=None, kind__in=process_events.KINDS_WITH_EFFECTS
        )
        for event in waiting.select_related("digest__subscriber"):
            process_events.process_one(event, timezone.now())
        events.delete()


def remove_from_batches(subscriber: Subscriber) -> None:
    """Remove a reader from batches; workers skip readers who are missing."""
    own = Batch.objects.filter(pk__in=subscriber.digests.values("batch"))
    for batches in (own, Batch.objects.unfinished()):
        for pk, readers in batches.values_list("pk", "readers"):
            if subscriber.pk in readers:
                readers.remove(subscriber.pk)
                Batch.objects.filter(pk=pk).update(readers=readers)


def finish_erasure(pattern: re.Pattern[str], **_: Any) -> None:
    for model, columns in FREE_TEXT_COLUMNS.items():
        redact(model.objects.all(), columns, pattern)
