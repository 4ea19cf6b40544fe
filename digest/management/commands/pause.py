"""`manage.py pause ["reason" | --resume]`: pause all sending, resume it, or list the pauses in force."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from digest.models import SendingPause


class Command(BaseCommand):
    help = (
        "Pause all sending before the next digest and give a reason, end all pauses, or, without "
        "arguments, list the pauses in force. The admin offers the same."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            "reason", nargs="?", default="", help="why, for the operator who resumes"
        )
        group.add_argument("--resume", action="store_true", help="end all pauses")

    def handle(self, *args: Any, reason: str, resume: bool, **options: Any) -> None:
        now = timezone.now()
        if resume:
            number = SendingPause.objects.all().release(now)
            self.stdout.write(f"Ended {number} pause{'' if number == 1 else 's'}.")
        elif reason:
            SendingPause.objects.trigger(reason, now, is_automatic=False)
        pauses = SendingPause.objects.in_force().select_related("edition")
        for pause in pauses.order_by("pk"):
            self.stdout.write(f"{pause}, since {pause.at:%Y-%m-%d %H:%M} UTC")
        if not pauses:
            self.stdout.write("Sending is not paused.")
