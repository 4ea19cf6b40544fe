"""The digest app: connect signal receivers and register system checks."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DigestConfig(AppConfig):
    name = "digest"
    verbose_name = "Papers and digests"

    def ready(self) -> None:
        import digest.celery
        import digest.checks  # noqa: F401  (registers the checks)
        from accounts.signals import confirmed, erased, erasing
        from digest.management.roles import grant_new_permissions

        confirmed.connect(handle_confirmation)
        erasing.connect(prepare_erasure)
        erased.connect(finish_erasure)
        post_migrate.connect(grant_new_permissions, sender=self)


def handle_confirmation(sender: Any, **event: Any) -> None:
    """Load the tasks on the first confirmation, so that commands start without them."""
    from digest.tasks import follow_and_welcome

    follow_and_welcome(sender, **event)


def prepare_erasure(sender: Any, **event: Any) -> None:
    from digest.feedback import erase_reader

    erase_reader.prepare_erasure(**event)


def finish_erasure(sender: Any, **event: Any) -> None:
    from digest.feedback import erase_reader

    erase_reader.finish_erasure(**event)
