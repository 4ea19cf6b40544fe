"""`manage.py figures`: count the daily figures again, after an outage or a restored backup."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest import figures
from digest.management.arguments import parse_day


class Command(BaseCommand):
    help = "Count the daily figures of the dashboard and reports again. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            type=parse_day,
            help="The first day, such as 2026-11-01; without it, the last seven days.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        today, since = timezone.localdate(now), options["since"]
        if since is None:
            number = figures.update_figures(now)
        elif since > today:
            raise CommandError("--since is in the future.")
        else:
            days = (today - since).days + 1
            number = figures.count_days(
                (since + timedelta(days=n) for n in range(days)), now
            )
        self.stdout.write(f"Counted {number} days.")
