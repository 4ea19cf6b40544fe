"""`manage.py read_bounces [FILE…] [--recipient ADDRESS]`: store what mails to BOUNCE_ADDRESS report."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import return_paths
from digest.feedback import imap, inbound, process_events


class Command(BaseCommand):
    help = (
        "Read bounces, complaints and requests to unsubscribe: from files, from standard input "
        "(as a mail server pipes them), or else from the mailbox BOUNCE_IMAP_URL."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="*", help="mails as .eml files; - for standard input"
        )
        parser.add_argument(
            "--recipient",
            action="append",
            default=[],
            help="recipient of the envelope, where no header of the mail names it",
        )
        parser.add_argument(
            "--complaints-address",
            action="store_true",
            help="only print the address to register at feedback loops",
        )

    def handle(
        self,
        *args: Any,
        files: list[str],
        recipient: list[str],
        complaints_address: bool,
        **options: Any,
    ) -> None:
        if not settings.BOUNCE_ADDRESS:
            raise CommandError("BOUNCE_ADDRESS is not set.")
        if complaints_address:
            self.stdout.write(return_paths.complaints_address())
            return
        if not files and not settings.BOUNCE_IMAP_URL:
            raise CommandError("Name files or -, or set BOUNCE_IMAP_URL.")
        if files:
            results = [
                inbound.store_mail(read_file(name), recipient, timezone.now())
                for name in files
            ]
            number, stored = len(results), sum(results)
            self.stdout.write(f"{stored} of {number} mails report on mails of ours.")
        else:
            self.poll_mailbox()
        process_events.process_pending(timezone.now())

    def poll_mailbox(self) -> None:
        try:
            number = imap.poll_mailbox(timezone.now())
        except imap.MailboxUnavailable as error:
            raise CommandError(f"BOUNCE_IMAP_URL: {error}") from None
        self.stdout.write(f"Read {number} mails.")


def read_file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from None
