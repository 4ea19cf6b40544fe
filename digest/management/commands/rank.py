"""Rank a day's open edition."""

from argparse import ArgumentParser
from datetime import date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.management.arguments import parse_day
from digest.models import Frozen, Paper
from digest.ranking.paper_topics import store_paper_topics
from digest.ranking.rank_edition import rank_edition


class Command(BaseCommand):
    help = "Fill and score the open edition of a day; curation stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--day",
            type=parse_day,
            help="The announcement day, such as 2026-11-20. Default: the newest day with papers.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        day = options["day"] or newest_day(now)
        try:
            edition = rank_edition(day, now)
        except Frozen as refusal:
            raise CommandError(str(refusal)) from refusal
        if edition is None:
            self.stdout.write(f"No new paper on {day}: no edition.")
            return
        store_paper_topics(edition)
        self.stdout.write(f"{edition}: {edition.candidates.count()} candidates.")


def newest_day(now: datetime) -> date:
    newest = Paper.objects.newest_day(now)
    if newest is None:
        raise CommandError("There are no papers yet: run `manage.py ingest` first.")
    return newest
