"""The digest app: connects what accounts tells to what the corridor does."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DigestConfig(AppConfig):
    name = "digest"
    verbose_name = "Papers and digests"

    def ready(self) -> None:
        import digest.checks  # noqa: F401  (registers the checks)
        from accounts.signals import confirmed
        from digest.management.editors import complete_group
        from digest.tasks import on_confirmed

        confirmed.connect(on_confirmed)
        post_migrate.connect(complete_group, sender=self)
