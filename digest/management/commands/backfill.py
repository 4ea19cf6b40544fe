"""The door of harvests by hand: fill in what arXiv announced since a day."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from digest.ingest import oai_harvest
from digest.ingest.sources import arxiv_calendar
from digest.models import IngestRun


class Command(BaseCommand):
    help = "Fill in from arXiv's OAI-PMH what was announced since a day; stopped, it goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD"
        )
        parser.add_argument(
            "--again", action="store_true", help="also windows that were done today"
        )

    def handle(self, *args: Any, since: date, again: bool, **options: Any) -> None:
        now = timezone.now()
        if since > arxiv_calendar.today(now):
            raise CommandError(f"{since} has not come yet: give a day that has")
        try:
            runs = self.backfill(since, again)
        except KeyboardInterrupt:
            raise CommandError("stopped: the same command goes on here") from None
        for run in runs:
            self.stdout.write(line(run))
        undone = [run for run in runs if run.state != IngestRun.State.DONE]
        self.stdout.write(total(runs))
        if undone:
            raise CommandError(
                f"{len(undone)} windows are not done: the same command goes on there"
            )

    def backfill(self, since: date, again: bool) -> list[IngestRun]:
        """Harvest behind a bar that counts windows and shows the records of the last."""
        now = timezone.now()
        count = len(list(oai_harvest.windows(since, arxiv_calendar.today(now))))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("windows", total=count)
            finished = 0

            def report(run: IngestRun) -> None:
                nonlocal finished
                finished += run.state == IngestRun.State.DONE
                bar.update(task, completed=finished, description=where(run))

            return oai_harvest.backfill(since, now, again, report)


def where(run: IngestRun) -> str:
    of = f" of {run.expected_records:,}" if run.expected_records else ""
    return f"{run.part} from {run.window_from}: {run.records:,}{of} records"


def line(run: IngestRun) -> str:
    window = f"{run.part} {run.window_from} to {run.window_until}"
    if run.state == IngestRun.State.RUNNING:
        return f"{window}: another worker is at it, or died less than {minutes()} minutes ago"
    if run.state == IngestRun.State.FAILED:
        return f"{window}: stopped after {run.pages} pages: {run.error}"
    return (
        f"{window}: {run.records} records, new {run.new}, updated {run.updated}, "
        f"unchanged {run.unchanged}"
    )


def minutes() -> int:
    return int(oai_harvest.IDLE.total_seconds() // 60)


def total(runs: list[IngestRun]) -> str:
    if not runs:
        return "nothing to do: all of it was done today (--again does it again)"
    records, new = sum(run.records for run in runs), sum(run.new for run in runs)
    return f"{len(runs)} windows: {records} records, {new} new papers"
