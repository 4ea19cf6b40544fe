"""The accounts app: readers, staff, and the mails that carry their links."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Readers and editors"

    def ready(self) -> None:
        from accounts import erasure

        erasure.connect_receivers()
