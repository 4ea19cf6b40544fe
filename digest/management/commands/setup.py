"""`manage.py setup`: make a database ready for its first day, or bring it up to this release."""

import os
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from digest.management import editors
from digest.models import Topic


class Command(BaseCommand):
    help = (
        "Create or migrate the tables, load the topics into an empty database, make a group of "
        "editors who may curate, and the first editor from EDITOR_EMAIL and EDITOR_PASSWORD. "
        "Safe to run at every start."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        if not Topic.objects.exists():
            call_command("loaddata", "topics", verbosity=0)
        self.stdout.write(f"Tables are up to date; {Topic.objects.count()} topics.")
        self.group_of_editors()
        self.first_editor(
            os.environ.get("EDITOR_EMAIL", ""), os.environ.get("EDITOR_PASSWORD", "")
        )

    def group_of_editors(self) -> None:
        if editors.create_editor_group():
            name = editors.EDITOR_GROUP
            self.stdout.write(f"Group {name!r}: may curate, sees no readers.")

    def first_editor(self, email: str, password: str) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        if not email:
            self.stdout.write(
                "No editor yet: set EDITOR_EMAIL and EDITOR_PASSWORD, or run createsuperuser."
            )
            return
        if len(password) < 10:
            raise CommandError(
                "EDITOR_PASSWORD is shorter than 10 characters: choose a longer one."
            )
        User.objects.create_superuser(email, password)
        self.stdout.write(f"{email} may now log in at /admin/.")
