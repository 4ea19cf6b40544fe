"""`manage.py backup [--to FILE] [--keep N]`: write the database to a file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.management import backups


class Command(BaseCommand):
    help = "Write the whole database to a file, by default in VAR_DIR/backups."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", type=Path, metavar="FILE", help="where to write it")
        parser.add_argument(
            "--keep",
            type=int,
            default=14,
            help="how many backups to keep in VAR_DIR/backups, 14 by default; 0 keeps all",
        )

    def handle(self, *args: Any, to: Path | None, keep: int, **options: Any) -> None:
        path = to or backups.default_path(timezone.now())
        try:
            backups.back_up(path)
        except (backups.BackupError, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{path}, {path.stat().st_size / 1e6:.1f} MB.")
        if not to:
            backups.delete_old_backups(backups.backup_folder(), keep)
