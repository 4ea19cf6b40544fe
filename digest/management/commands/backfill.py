"""Backfill what arXiv announced since a day from OAI-PMH."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from digest.ingest import oai_harvest
from digest.ingest.sources import arxiv_calendar
from digest.management.arguments import parse_day
from digest.models import IngestRun


class Command(BaseCommand):
    help = "Backfill from arXiv's OAI-PMH what was announced since a day; resumable."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=parse_day, required=True, metavar="YYYY-MM-DD"
        )
        parser.add_argument(
            "--again",
            action="store_true",
            help="repeat windows that were harvested today",
        )

    def handle(self, *args: Any, since: date, again: bool, **options: Any) -> None:
        if since > arxiv_calendar.today(timezone.now()):
            raise CommandError(f"{since} is in the future: give an earlier day")
        try:
            runs = self.backfill(since, again)
        except KeyboardInterrupt:
            raise CommandError("stopped: run the same command to continue") from None
        for run in runs:
            self.stdout.write(format_run(run))
        unfinished = [run for run in runs if run.state != IngestRun.State.DONE]
        self.stdout.write(format_total(runs))
        if unfinished:
            raise CommandError(
                f"{len(unfinished)} windows are not done: run the same command to continue"
            )

    def backfill(self, since: date, again: bool) -> list[IngestRun]:
        """Backfill with a progress bar of windows and the record count of the current one."""
        now = timezone.now()
        windows = list(oai_harvest.week_windows(since, arxiv_calendar.today(now)))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("windows", total=len(windows))
            finished = 0

            def report(run: IngestRun) -> None:
                nonlocal finished
                finished += run.state == IngestRun.State.DONE
                bar.update(task, completed=finished, description=format_progress(run))

            return oai_harvest.backfill(since, now, again, report)


def format_progress(run: IngestRun) -> str:
    total = f" of {run.expected_records:,}" if run.expected_records else ""
    return f"{run.set_spec} from {run.window_from}: {run.records:,}{total} records"


def format_run(run: IngestRun) -> str:
    window = f"{run.set_spec} {run.window_from} to {run.window_until}"
    if run.state == IngestRun.State.RUNNING:
        minutes = int(oai_harvest.LEASE_TIME.total_seconds() // 60)
        return (
            f"{window}: another worker is running it, "
            f"or ended less than {minutes} minutes ago"
        )
    if run.state == IngestRun.State.FAILED:
        return f"{window}: stopped after {run.pages} pages: {run.error}"
    return (
        f"{window}: {run.records} records, new {run.new}, updated {run.updated}, "
        f"unchanged {run.unchanged}"
    )


def format_total(runs: list[IngestRun]) -> str:
    if not runs:
        return "nothing to do: everything was harvested today (--again repeats it)"
    records, new = sum(run.records for run in runs), sum(run.new for run in runs)
    return f"{len(runs)} windows: {records} records, {new} new papers"
