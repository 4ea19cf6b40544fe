"""The door of ingest by hand: from the network, or from documents and folders."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.ingest.run_source import collect, collect_network
from digest.models import IngestRun


class Command(BaseCommand):
    help = "Take in the day's listings from their sources, or documents given by hand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="paths",
            nargs="+",
            type=Path,
            metavar="PATH",
            help="documents or folders, told apart by content; else the network",
        )

    def handle(self, *args: Any, paths: list[Path] | None, **options: Any) -> None:
        now = timezone.now()
        runs = collect(paths, now) if paths else collect_network(now)
        for run in runs:
            self.stdout.write(line(run))
        self.stdout.write(total(runs))
        failed = sum(run.state == IngestRun.State.FAILED for run in runs)
        if failed:
            raise CommandError(f"{failed} of {len(runs)} documents refused")


def line(run: IngestRun) -> str:
    name = run.origin.rpartition("/")[2]
    if run.state == IngestRun.State.FAILED:
        what, _, remedy = run.error.partition(": ")
        return f"{name}: refused: {what} — {remedy}"
    return f"{name}: new {run.new}, updated {run.updated}, unchanged {run.unchanged}"


def total(runs: list[IngestRun]) -> str:
    """All documents together, with the signals that no single line shows."""
    new, updated, unchanged, signals = (
        sum(getattr(run, name) for run in runs)
        for name in ("new", "updated", "unchanged", "signals")
    )
    return (
        f"{len(runs)} documents: new {new}, updated {updated}, "
        f"unchanged {unchanged}, signals {signals}"
    )
