"""`manage.py preview`: print the mail that a reader would get."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from digest.mailer.compose import compose_preview
from digest.mailer.transports import as_message
from digest.management.arguments import parse_day
from digest.management.commands.send import get_edition, get_reader


class Command(BaseCommand):
    help = "Print the mail that a reader would get of a day's edition, open or frozen. Stores and sends nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--day", type=parse_day, required=True, help="YYYY-MM-DD")
        parser.add_argument("--format", choices=["html", "text", "eml"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        from digest.ranking import choose

        edition, reader = get_edition(options["day"]), get_reader(options["email"])
        now = timezone.now()
        picks = choose.preview_for(edition, reader, now)
        if not picks and not reader.wants_note:
            self.stderr.write(
                f"{reader} would get no mail: no new paper matches what they follow."
            )
            return
        mail = compose_preview(edition, reader, picks, now)
        formats = {
            "html": mail.html,
            "text": mail.text,
            "eml": as_message(mail).as_string(),
        }
        self.stdout.write(formats[options["format"]])
