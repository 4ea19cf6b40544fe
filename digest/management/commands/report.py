"""`manage.py report`: the figures of the last days, as text or JSON."""

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from digest import figures


class Command(BaseCommand):
    help = "Print what became of the mails of the last days, readers gained and lost, and the papers opened most."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=7, help="Days up to yesterday.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        yesterday = timezone.localdate() - timedelta(days=1)
        report = figures.report(yesterday, max(1, options["days"]))
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2))
            return
        self.stdout.write(f"{report['from']} to {report['until']}")
        for name, number in report["total"].items():
            self.stdout.write(f"{name:<12}{number:>12,}")
        for paper in report["most_opened"]:
            readers = paper["readers"]
            self.stdout.write(f"{readers:>6,} opened  {paper['id']}  {paper['title']}")
