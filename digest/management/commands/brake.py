"""`manage.py brake ["why" | --lift]`: stop all sending from a shell, go on, or say what stands still."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from digest.models import SendingPause


class Command(BaseCommand):
    help = (
        "Stop all sending before the next digest and say why, lift every brake, or, with neither, "
        "say what stands still. The same as the brakes in the admin."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        either = parser.add_mutually_exclusive_group()
        either.add_argument("why", nargs="?", default="", help="for whoever lifts it")
        either.add_argument("--lift", action="store_true", help="go on sending")

    def handle(self, *args: Any, why: str, lift: bool, **options: Any) -> None:
        now = timezone.now()
        if lift:
            self.stdout.write(f"{SendingPause.objects.all().lift(now)} lifted.")
        elif why:
            SendingPause.objects.pull(why, now, is_automatic=False)
        pauses = (
            SendingPause.objects.in_force().select_related("edition").order_by("pk")
        )
        for pause in pauses:
            self.stdout.write(f"{pause}, since {pause.at:%Y-%m-%d %H:%M} UTC")
        if not pauses:
            self.stdout.write("Nothing stands still.")
