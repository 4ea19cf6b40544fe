"""The digest app: connects what accounts tells to what the corridor does."""

from django.apps import AppConfig


class DigestConfig(AppConfig):
    name = "digest"
    verbose_name = "Papers and digests"

    def ready(self) -> None:
        import digest.checks  # noqa: F401  (registers the checks)
        from accounts.signals import confirmed
        from digest.tasks import on_confirmed

        confirmed.connect(on_confirmed)
