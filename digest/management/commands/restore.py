"""`manage.py restore FILE --yes`: replace the database by a backup."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.management import backups


class Command(BaseCommand):
    help = (
        "Replace the database by a backup, migrate it, pause sending, and erase again the readers "
        "who were erased since. Stop web, workers and beat first."
    )
    requires_system_checks: list[str] = []  # the database may be empty

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--yes", action="store_true", help="delete what the database contains now"
        )

    def handle(self, *args: Any, file: Path, yes: bool, **options: Any) -> None:
        if not yes:
            raise CommandError("This deletes the database. Add --yes.")
        try:
            erased = backups.restore(file, timezone.now())
        except backups.BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"Restored. Sending is paused; {erased} readers were erased again."
        )
