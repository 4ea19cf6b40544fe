"""Ingest today's listings from the network, or documents and folders."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.ingest.run_source import ingest_all_sources, ingest_documents
from digest.models import IngestRun


class Command(BaseCommand):
    help = "Ingest today's listings from their sources, or the given documents."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="paths",
            nargs="+",
            type=Path,
            metavar="PATH",
            help="documents or folders of any source, instead of the network",
        )

    def handle(self, *args: Any, paths: list[Path] | None, **options: Any) -> None:
        now = timezone.now()
        runs = ingest_documents(paths, now) if paths else ingest_all_sources(now)
        for run in runs:
            self.stdout.write(format_run(run))
            for record in run.refused_records:
                line = f"  refused {record['identifier']}: {record['reason']}"
                self.stdout.write(line)
        self.stdout.write(format_total(runs))
        failed = sum(run.state == IngestRun.State.FAILED for run in runs)
        if failed:
            raise CommandError(f"{failed} of {len(runs)} documents refused")


def format_run(run: IngestRun) -> str:
    name = run.origin.rpartition("/")[2]
    if run.state == IngestRun.State.FAILED:
        reason, _, remedy = run.error.partition(": ")
        return f"{name}: refused: {reason} — {remedy}"
    counts = f"new {run.new}, updated {run.updated}, unchanged {run.unchanged}"
    state = run.get_feed_state_display()
    if run.kind != IngestRun.Kind.FEED or not state:
        return f"{name}: {counts}"
    return f"{name}: {counts} ({run.note or state})"


def format_total(runs: list[IngestRun]) -> str:
    new, updated, unchanged, samples = (
        sum(getattr(run, name) for run in runs)
        for name in ("new", "updated", "unchanged", "samples")
    )
    return (
        f"{len(runs)} documents: new {new}, updated {updated}, "
        f"unchanged {unchanged}, attention samples {samples}"
    )
