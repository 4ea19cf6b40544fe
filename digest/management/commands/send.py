"""`manage.py send`: mail one day's edition now, by hand."""

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
from digest.mailer.ledger import LEASE
from digest.mailer.progress import Meter, Progress
from digest.models import Edition, SendingPause

POLL_SECONDS = 2


class Command(BaseCommand):
    has_waited = is_on_line = False
    help = (
        "Freeze the edition of a day where it is open, and mail it to every reader who has not had it. "
        "Again sends nothing again; an interrupted sending is finished."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--day", type=date.fromisoformat, required=True, help="YYYY-MM-DD"
        )
        parser.add_argument("--to", metavar="EMAIL", help="Only to this reader.")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Say how many would be mailed, and stop.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        edition = edition_of(options["day"])
        reader = reader_of(options["to"]) if options["to"] else None
        if options["dry_run"]:
            self.say_how_many(edition, reader)
            return
        meter = Meter(edition, self.show)
        with shutdown.on_signals():
            tally = tasks.send_edition(
                edition, reader, timezone.now(), meter.tick, self.wait
            )
        self.end_line()
        self.stdout.write(str(tally))
        pause = SendingPause.objects.of(edition.pk).first()
        if pause and tally.waiting:
            raise CommandError(f"{pause}. Lift that in the admin, and send again.")
        if tally.failed or tally.waiting:
            raise CommandError(
                "Not everybody was mailed: see the batches in the admin, and send again."
            )

    def show(self, progress: Progress) -> None:
        """On a terminal one line that changes, elsewhere one line each time."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{progress}", ending="")
            self.is_on_line = True
        else:
            self.stderr.write(str(progress))
        self.stdout.flush()

    def end_line(self) -> None:
        if self.is_on_line:
            self.stdout.write("")

    def wait(self) -> None:
        """Another worker is sending, or has died while it did."""
        if not self.has_waited:
            self.stderr.write(
                f"Some batches are held elsewhere: waiting for them. A dead worker's come free after {LEASE}."
            )
        self.has_waited = True
        time.sleep(POLL_SECONDS)

    def say_how_many(self, edition: Edition, reader: Subscriber | None) -> None:
        everyone = plan.everyone(edition, timezone.now())
        audience = Subscriber.objects.not_suppressed().filter(pk__in=everyone)
        if reader:
            audience = audience.filter(pk=reader.pk)
        self.stdout.write(
            f"{audience.count()} readers would be mailed the edition of {edition.day}."
        )


def edition_of(day: date) -> Edition:
    try:
        return Edition.objects.get(day=day)
    except Edition.DoesNotExist:
        raise CommandError(
            f"There is no edition of {day}: run ingest and rank first."
        ) from None


def reader_of(email: str) -> Subscriber:
    try:
        return Subscriber.objects.get(email=canonical_address(email))
    except Subscriber.DoesNotExist:
        raise CommandError(
            f"{email} is not a reader: look for the address in the admin."
        ) from None
