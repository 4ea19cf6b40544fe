"""`manage.py send`: mail one day's edition now."""

import time
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.addresses import canonical_address
from accounts.models import Subscriber
from digest import tasks
from digest.mailer import plan, shutdown
from digest.mailer.claims import LEASE
from digest.mailer.progress import Progress, ProgressReporter
from digest.management.arguments import parse_day
from digest.models import Edition, SendingPause

POLL_SECONDS = 2


class Command(BaseCommand):
    help = (
        "Freeze the edition of a day if it is open, and mail it to every reader who has not had it. "
        "Running it again sends failed digests again, nothing twice, and finishes an interrupted sending."
    )
    has_waited = is_on_progress_line = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", type=parse_day, required=True, help="YYYY-MM-DD")
        parser.add_argument("--to", metavar="EMAIL", help="Only to this reader.")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Print how many readers would be mailed, and stop.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        edition = get_edition(options["day"])
        reader = get_reader(options["to"]) if options["to"] else None
        if options["dry_run"]:
            self.print_audience(edition, reader)
            return
        reporter = ProgressReporter(edition, self.show_progress)
        with shutdown.handle_signals():
            tally = tasks.send_edition(
                edition, reader, timezone.now(), reporter.update, self.wait
            )
        self.end_progress_line()
        self.stdout.write(str(tally))
        pause = SendingPause.objects.blocking(edition.pk).first()
        if pause and tally.waiting:
            raise CommandError(f"{pause}. Resume sending in the admin and run again.")
        if tally.failed or tally.waiting:
            raise CommandError(
                "Some readers were not mailed. See the batches in the admin, and run again."
            )

    def show_progress(self, progress: Progress) -> None:
        """Update one line on a terminal; write one line each time elsewhere."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{progress}", ending="")
            self.is_on_progress_line = True
        else:
            self.stderr.write(str(progress))
        self.stdout.flush()

    def end_progress_line(self) -> None:
        if self.is_on_progress_line:
            self.stdout.write("")

    def wait(self) -> None:
        """Wait while other workers own batches, explaining it once."""
        if not self.has_waited:
            self.stderr.write(
                f"Other workers are sending some batches; waiting for them. Batches of dead workers are free after {LEASE}."
            )
        self.has_waited = True
        time.sleep(POLL_SECONDS)

    def print_audience(self, edition: Edition, reader: Subscriber | None) -> None:
        unserved = plan.unserved_readers(edition, timezone.now())
        audience = Subscriber.objects.not_suppressed().filter(pk__in=unserved)
        if reader:
            audience = audience.filter(pk=reader.pk)
        self.stdout.write(
            f"{audience.count()} readers would be mailed the edition of {edition.day}."
        )


def get_edition(day: date) -> Edition:
    try:
        return Edition.objects.get(day=day)
    except Edition.DoesNotExist:
        raise CommandError(
            f"There is no edition of {day}: run ingest and rank first."
        ) from None


def get_reader(email: str) -> Subscriber:
    try:
        return Subscriber.objects.get(email=canonical_address(email))
    except Subscriber.DoesNotExist:
        raise CommandError(
            f"No reader has the address {email}: search for it in the admin."
        ) from None
