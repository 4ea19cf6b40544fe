"""manage.py repeat_erasures: erase the readers whom a restored backup contains again."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import erasure


class Command(BaseCommand):
    help = "Erase the readers who were erased before a backup was restored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files",
            nargs="*",
            type=Path,
            help="lists of erasures of further machines; always read: VAR_DIR/erasures.txt",
        )

    def handle(self, *, files: list[Path], **_: Any) -> None:
        own = erasure.erasures_path()
        number = erasure.repeat_erasures([*files, *([own] if own.exists() else [])])
        self.stdout.write(f"Erased {number} readers again.")
