"""Erase the traces of readers, and keep a list of erasures outside the database.

The receivers run whenever a reader is deleted: from their preferences, in the admin, and
when retention periods end. Apps that store more about readers connect to
`signals.erasing` and `signals.erased`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from accounts.models import AccountMail, ReaderImport, Subscriber
from accounts.signals import erased, erasing

log = structlog.get_logger(__name__)

ERASED = "[erased]"


def connect_receivers() -> None:
    pre_delete.connect(prepare_erasure, sender=Subscriber)
    post_delete.connect(finish_erasure, sender=Subscriber)


def prepare_erasure(instance: Subscriber, **_: Any) -> None:
    """Record the erasure, and collect the keys that are deleted with the reader."""
    if instance.confirmed_at:
        record_erasure(instance, timezone.now())
    secrets = [instance.email, instance.unsubscribe_key]
    secrets += instance.links.values_list("key", flat=True)
    erasing.send(Subscriber, subscriber=instance, secrets=secrets)
    instance._secrets = secrets  # type: ignore[attr-defined]  # for finish_erasure


def finish_erasure(instance: Subscriber, **_: Any) -> None:
    secrets = instance._secrets  # type: ignore[attr-defined]
    pattern = re.compile("|".join(map(re.escape, secrets)), re.IGNORECASE)
    AccountMail.objects.filter(email=instance.email).delete()
    redact(AccountMail.objects.all(), ["last_error", "payload"], pattern)
    columns = ["content", "file_name", "consent_source"]
    redact(ReaderImport.objects.all(), columns, pattern)
    content_type = ContentType.objects.get_for_model(Subscriber)
    entries = LogEntry.objects.filter(content_type=content_type)
    entries.filter(object_id=str(instance.pk)).update(object_repr="an erased reader")
    redact(
        LogEntry.objects.all(), ["object_id", "object_repr", "change_message"], pattern
    )
    erased.send(Subscriber, subscriber=instance, pattern=pattern)


def redact(
    rows: QuerySet[Any], columns: Iterable[str], pattern: re.Pattern[str]
) -> None:
    """Replace what `pattern` matches in these text and JSON columns.

    Reads every row that is not empty, so it suits tables of thousands of rows.
    """
    for column in columns:
        field = rows.model._meta.get_field(column)
        is_json = field.get_internal_type() == "JSONField"
        filled = rows.exclude(**{column: field.get_default() if is_json else ""})
        for pk, value in filled.values_list("pk", column).iterator():
            text = json.dumps(value, ensure_ascii=False) if is_json else value or ""
            if pattern.search(text):
                new_text = pattern.sub(ERASED, text)
                new_value = json.loads(new_text) if is_json else new_text
                max_length = getattr(field, "max_length", None)
                if max_length and not is_json:
                    new_value = new_value[:max_length]
                rows.model._base_manager.filter(pk=pk).update(**{column: new_value})


# A power cut may leave incomplete lines and NUL bytes between the others.
FINGERPRINT = re.compile(r"\b[0-9a-f]{64}\b")


def erasures_path() -> Path:
    return Path(settings.VAR) / "erasures.txt"


def fingerprint(subscriber: Subscriber) -> str:
    """Return a hash of a random key, which identifies a reader only beside their row."""
    return hashlib.sha256(subscriber.unsubscribe_key.encode()).hexdigest()


def record_erasure(subscriber: Subscriber, now: datetime) -> None:
    """Append to the list before the row is deleted, so that a crash loses no erasure.

    A list that cannot be written is logged: it must not keep a reader from being erased.
    """
    line = f"{now.isoformat()} {fingerprint(subscriber)}\n"
    path = erasures_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(path, flags, mode=0o600), "ab", buffering=0) as file:
            file.write(line.encode())
            os.fsync(file)
    except OSError as error:
        log.error("erasure not recorded", error=str(error), entry=line.strip())


def repeat_erasures(paths: Iterable[Path]) -> int:
    """Delete the readers whom these lists name, as after a restore; return their number."""
    recorded: set[str] = set()
    for path in paths:
        recorded.update(FINGERPRINT.findall(path.read_text(errors="replace")))
    readers = Subscriber.objects.only("unsubscribe_key").iterator()
    ids = [reader.pk for reader in readers if fingerprint(reader) in recorded]
    for reader in Subscriber.objects.filter(pk__in=ids):
        reader.delete()
    return len(ids)
