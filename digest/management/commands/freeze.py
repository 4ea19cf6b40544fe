"""The door of freezing by hand: close an edition, so that it can be mailed."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.models import Edition
from digest.ranking.freeze import freeze, freeze_due


class Command(BaseCommand):
    help = (
        "Close the edition of a day; without a day, every edition whose time has come."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--day",
            type=date.fromisoformat,
            help="The edition's day, such as 2026-11-20; it is closed now, whatever the hour.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if day := options["day"]:
            edition = Edition.objects.filter(day=day).first()
            if edition is None:
                raise CommandError(
                    f"No edition of {day}: run `manage.py rank --day {day}` first."
                )
            frozen = [edition] if freeze(edition, now) else []
        else:
            frozen = freeze_due(now)
        for edition in frozen:
            self.stdout.write(f"Frozen: {edition.day}.")
        if not frozen:
            self.stdout.write("Nothing to freeze.")
