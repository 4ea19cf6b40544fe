"""`manage.py setup`: prepare a new database, or migrate it to this release."""

import os
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from accounts.models import User
from digest.management import online_migration
from digest.management.roles import create_groups
from digest.models import Topic

README_PASSWORD = "choose-a-long-one"


class Command(BaseCommand):
    help = (
        "Create or migrate the tables, load topics into an empty database, and create the groups "
        "of editors and operators and the first administrator (EDITOR_EMAIL, EDITOR_PASSWORD). Safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        online_migration.migrate()
        if not Topic.objects.exists():
            call_command("loaddata", "topics", verbosity=0)
        self.stdout.write(f"Tables are up to date; {Topic.objects.count()} topics.")
        for name in create_groups():
            self.stdout.write(f"Created the group {name}.")
        self.create_first_editor(
            os.environ.get("EDITOR_EMAIL", ""), os.environ.get("EDITOR_PASSWORD", "")
        )

    def create_first_editor(self, email: str, password: str) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        if not email:
            self.stdout.write(
                "No editor yet: set EDITOR_EMAIL and EDITOR_PASSWORD, or run createsuperuser."
            )
            return
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(
                f"EDITOR_EMAIL is not an email address: {email!r}."
            ) from None
        if password == README_PASSWORD:
            raise CommandError(
                "EDITOR_PASSWORD is the sample of the README. Choose another one."
            )
        try:
            validate_password(password, User(email=email))
        except ValidationError as error:
            raise CommandError(f"EDITOR_PASSWORD: {' '.join(error.messages)}") from None
        User.objects.create_superuser(email, password)
        self.stdout.write(f"{email} can now log in at /admin/.")
