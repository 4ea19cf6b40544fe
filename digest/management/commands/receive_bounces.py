"""`manage.py receive_bounces [--listen HOST:PORT] [--lmtp]`: the mail server of BOUNCE_ADDRESS."""

import asyncio
import signal
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from digest.feedback import mail_server


class Command(BaseCommand):
    help = (
        "Receive bounces, complaints and requests to unsubscribe over SMTP, or from a mail server "
        "over LMTP. Every other recipient is refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--listen",
            type=parse_listen,
            default=("127.0.0.1", 2525),
            help="host:port, 127.0.0.1:2525 by default",
        )
        parser.add_argument("--lmtp", action="store_true", help="speak LMTP, not SMTP")

    def handle(
        self, *args: Any, listen: tuple[str, int], lmtp: bool, **options: Any
    ) -> None:
        if not settings.BOUNCE_ADDRESS:
            raise CommandError("BOUNCE_ADDRESS is not set.")
        try:
            asyncio.run(serve_until_signal(*listen, lmtp))
        except OSError as error:
            raise CommandError(f"{listen[0]}:{listen[1]}: {error.strerror}") from None


async def serve_until_signal(host: str, port: int, lmtp: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await mail_server.serve(host, port, lmtp, stop)


def parse_listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()):
        raise ArgumentTypeError("use host:port, such as 127.0.0.1:2525")
    return host.strip("[]"), int(port)
