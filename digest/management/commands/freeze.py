"""Freeze editions, so that they can be mailed."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.management.arguments import parse_day
from digest.models import Edition
from digest.ranking.freeze import freeze, freeze_due


class Command(BaseCommand):
    help = "Freeze the edition of a day; without --day, every edition that is due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--day",
            type=parse_day,
            help="The edition's day, such as 2026-11-20. It is frozen at once.",
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
