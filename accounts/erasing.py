"""What is left of a reader outside their rows, and goes with them."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import post_delete
from django.dispatch import receiver

from accounts.models import Subscriber

ERASED = "an erased reader"


@receiver(post_delete, sender=Subscriber)
def forget_name(instance: Subscriber, **_: Any) -> None:
    """The audit log keeps what was done, without the address it was done to."""
    kind = ContentType.objects.get_for_model(Subscriber)
    rows = LogEntry.objects.filter(content_type=kind, object_id=str(instance.pk))
    rows.update(object_repr=ERASED)
