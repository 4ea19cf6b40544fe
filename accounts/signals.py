"""Signals that other apps connect to, and the receivers of this one."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import post_delete
from django.dispatch import Signal

from accounts.models import AccountMail, Subscriber

#: Sent after commit when a reader confirms, with `subscriber` and `requested_interests`:
#: the untrusted strings of the sign-up form.
confirmed = Signal()

ERASED_READER = "an erased reader"


def connect_receivers() -> None:
    post_delete.connect(anonymize_log_entries, sender=Subscriber)
    post_delete.connect(delete_waiting_mails, sender=Subscriber)


def anonymize_log_entries(instance: Subscriber, **_: Any) -> None:
    """Remove an erased reader's address from the admin's log entries."""
    content_type = ContentType.objects.get_for_model(Subscriber)
    entries = LogEntry.objects.filter(
        content_type=content_type, object_id=str(instance.pk)
    )
    entries.update(object_repr=ERASED_READER)


def delete_waiting_mails(instance: Subscriber, **_: Any) -> None:
    AccountMail.objects.filter(email=instance.email).delete()
