"""`manage.py setup`: prepare a new database, or migrate it to this release."""

import getpass
import sys
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from accounts.models import User
from digest.env import Environment
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
        if not User.objects.filter(is_superuser=True).exists():
            self.create_first_editor()

    def create_first_editor(self) -> None:
        variables = Environment().variables
        email = variables.get("EDITOR_EMAIL", "").strip()
        password = variables.get("EDITOR_PASSWORD", "").strip()
        if email:
            if problem := find_problem(email, password):
                raise CommandError(problem)
        elif sys.stdin.isatty():
            email, password = self.ask_editor()
        else:
            self.stdout.write(
                "No administrator yet: set EDITOR_EMAIL and EDITOR_PASSWORD, or run this on a terminal."
            )
            return
        User.objects.create_superuser(email, password)
        self.stdout.write(f"{email} can now log in at {settings.SITE_URL}/admin/.")

    def ask_editor(self) -> tuple[str, str]:
        """Ask for address and password of the first administrator until both can be used."""
        self.stdout.write("There is no administrator yet.")
        while True:
            email = input("Email address: ").strip()
            password = getpass.getpass("Password, at least ten characters: ")
            problem = find_problem(email, password)
            if not problem and password != getpass.getpass("Password again: "):
                problem = "The passwords differ."
            if not problem:
                return email, password
            self.stdout.write(self.style.ERROR(problem))


def find_problem(email: str, password: str) -> str:
    """Return why no account can be created with these, or ""."""
    try:
        validate_email(email)
    except ValidationError:
        return f"EDITOR_EMAIL is not an email address: {email!r}."
    if password == README_PASSWORD:
        return "EDITOR_PASSWORD is the sample of the README. Choose another one."
    try:
        validate_password(password, User(email=email))
    except ValidationError as error:
        return f"EDITOR_PASSWORD: {' '.join(error.messages)}"
    return ""
