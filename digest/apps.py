"""The digest app: connects what accounts tells to what the corridor does."""

from django.apps import AppConfig


class DigestConfig(AppConfig):
    name = "digest"
    verbose_name = "Papers and digests"

    def ready(self) -> None:
        import digest.checks  # noqa: F401, PLC0415  (registers the checks)
        from accounts.signals import confirmed  # noqa: PLC0415  (models are ready only now)
        from digest.tasks import on_confirmed  # noqa: PLC0415

        confirmed.connect(on_confirmed)
