"""`manage.py demo`: the whole service on this machine alone, with papers, readers and their mails."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count
from django.utils import timezone

from accounts.models import Subscriber, User
from digest import follows
from digest.ingest import run_source, sample
from digest.management.supervisor import Supervisor, manage
from digest.models import Digest, Edition, Interest, Paper
from digest.ranking import rank_edition

# Nobody waits for a network that is not there.
CONNECT_SECONDS = 3
NETWORK_SECONDS = 15
ENOUGH_PAPERS = 30
A_DIGEST = 10  # papers
PORTS = range(8000, 8020)
EDITOR = "editor@example.org"

Kind = Interest.Kind
READERS: dict[str, list[tuple[str, str]]] = {
    "mira@example.org": [
        (Kind.TOPIC, "quantization"),
        (Kind.TOPIC, "efficiency"),
        (Kind.KEYWORD, "post-training quantization"),
    ],
    "joao@example.org": [
        (Kind.TOPIC, "robotics"),
        (Kind.TOPIC, "3d"),
        (Kind.TOPIC, "vision-language"),
    ],
    "wen@example.org": [
        (Kind.TOPIC, "biology"),
        (Kind.TOPIC, "image-generation"),
        (Kind.KEYWORD, "protein"),
    ],
}


class Command(BaseCommand):
    help = "Papers, three readers, an edition and their digests, on SQLite and in files; then serve it all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="Do everything but serve."
        )
        parser.add_argument(
            "--from",
            dest="paths",
            nargs="+",
            type=Path,
            default=[],
            help="Recorded documents or folders.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stand_alone()
        call_command("setup", stdout=StringIO())
        password = new_editor()
        self.collect(options["paths"])
        make_readers()
        edition = self.rank()
        call_command("send", day=edition.day, stdout=self.stdout)
        self.stdout.write(f"Mails are in {settings.MAIL_DIR}")
        if options["once"]:
            self.point_out(password)
        else:
            self.serve(password)

    def collect(self, paths: list[Path]) -> None:
        """Papers from the given documents, else from the network, else our own invented ones."""
        if paths:
            self.read(paths)
            return
        if not from_network():
            self.stdout.write(
                "No fresh listings from the network: taking the invented sample that ships with it."
            )
            with tempfile.TemporaryDirectory() as folder:
                sample.write(Path(folder), timezone.localdate())
                run_source.collect([Path(folder)], timezone.now())
        self.stdout.write(f"{Paper.objects.count()} papers.")

    def read(self, paths: list[Path]) -> None:
        """Documents that somebody recorded; what is refused is named, and the others serve."""
        try:
            call_command("ingest", paths=paths, stdout=self.stdout)
        except CommandError as refused:
            self.stderr.write(str(refused))

    def rank(self) -> Edition:
        """Editions of the newest two days: the older one to mail, the newest left open to curate."""
        days = days_with_papers()
        if not days:
            raise CommandError(
                "No paper was announced in these documents: give others with FROM=PATH."
            )
        editions = [rank(day) for day in days]
        return editions[0]

    def serve(self, password: str) -> None:
        """Web, worker and beat until Ctrl-C."""
        port = settings.SITE_URL.rpartition(":")[2]
        with Supervisor(settings.VAR / "log") as programs:
            programs.start("web", [sys.executable, "-m", *web(port)])
            programs.start("worker", [sys.executable, "-m", *WORKER])
            programs.start(
                "beat", [sys.executable, "-m", "celery", "-A", "digest", "beat"]
            )
            wait_until_open(int(port))
            self.point_out(password)
            self.stdout.write("Ctrl-C ends it.")
            try:
                name = programs.wait()
            except KeyboardInterrupt:
                self.stdout.write("Ending.")
                return
        raise CommandError(
            f"{name} ended by itself: see {settings.VAR / 'log' / name}.log"
        )

    def point_out(self, password: str) -> None:
        digest = (
            Digest.objects.filter(subscriber__email__in=READERS)
            .exclude(packed_picks=b"")
            .order_by("pk")
            .first()
        )
        shown = f"{settings.SITE_URL}/d/{digest.key}" if digest else "none was made"
        self.stdout.write(f"See today's ten:       {settings.SITE_URL}/")
        self.stdout.write(f"Read a sample digest:  {shown}")
        self.stdout.write(
            f"Curate as editor:      {settings.SITE_URL}/admin/  ({EDITOR}, {password})"
        )


def stand_alone() -> None:
    """Start again with this machine's own settings: no mail of a demo leaves it, whatever the
    environment says. The address is in the mails, so the port is chosen first."""
    if os.environ.get("PAPER_ROUND_DEMO") == "1":
        return
    own = {
        "PAPER_ROUND_DEMO": "1",
        "MAIL_TRANSPORT": "files",
        "REDIS_URL": "",
        "DATABASE_URL": own_database(),
        "SITE_URL": f"http://127.0.0.1:{free_port()}",
        "FREEZE_AT": "23:59",  # or there is nothing to curate after the editors' morning
        "POSTAL_ADDRESS": os.environ.get("POSTAL_ADDRESS")
        or "A demo on this machine: your postal address stands here",
        "OMP_NUM_THREADS": "1",
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | own)


def own_database() -> str:
    """A SQLite file: a demo never touches the rows of a real service."""
    given = os.environ.get("DATABASE_URL", "")
    return (
        given
        if given.startswith("sqlite:")
        else f"sqlite:///{settings.VAR / 'paper-round.sqlite3'}"
    )


def free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise CommandError(
        f"Ports {PORTS[0]} to {PORTS[-1]} are all taken: end one of the programs there."
    )


def new_editor() -> str:
    """The demo's editor, with a new password each time; nothing secret is kept in the code."""
    password = secrets.token_urlsafe(9)
    user, _ = User.objects.get_or_create(
        email=EDITOR, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return password


def from_network() -> bool:
    """Whether the network brought enough papers in time."""
    if not reachable(settings.ARXIV_FEED_URL):
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            manage("ingest"),
            timeout=NETWORK_SECONDS,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    fresh = timezone.localdate() - timedelta(days=7)
    return Paper.objects.filter(announced_on__gte=fresh).count() >= ENOUGH_PAPERS


def reachable(url: str) -> bool:
    try:
        httpx.head(url, timeout=CONNECT_SECONDS)
    except httpx.HTTPError:
        return False
    return True


def make_readers() -> None:
    for email, requested_interests in READERS.items():
        subscriber, new = Subscriber.objects.get_or_create(email=email)
        if new:
            subscriber.confirm(timezone.now(), "demo")
            follows.follow_requested(
                subscriber, [f"{kind}:{value}" for kind, value in requested_interests]
            )


def days_with_papers() -> list[date]:
    """The newest two days with enough papers for a digest, older first; else the newest with any."""
    days = Paper.objects.announced().values("announced_on").annotate(papers=Count("pk"))
    newest = list(days.order_by("-announced_on"))
    rich = [row for row in newest if row["papers"] >= A_DIGEST]
    return sorted(row["announced_on"] for row in rich[:2] or newest[:1])


def rank(day: date) -> Edition:
    frozen = Edition.objects.frozen().filter(day=day).first()
    edition = frozen or rank_edition.rank_edition(day, timezone.now())
    assert edition is not None  # the day has papers
    return edition


WORKER = [
    "celery",
    "-A",
    "digest",
    "worker",
    "--pool",
    "threads",
    "--concurrency",
    "2",
    "--loglevel",
    "INFO",
]


def web(port: str) -> list[str]:
    """One process with threads: the limits on forms live in its memory."""
    return [
        "gunicorn",
        "digest.wsgi",
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        "1",
        "--threads",
        "8",
    ]


def wait_until_open(port: int) -> None:
    """Wait until the web server answers, at most 30 seconds."""
    deadline = timezone.now() + timedelta(seconds=30)
    while timezone.now() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise CommandError(
        f"The web server did not start: see {settings.VAR / 'log' / 'web.log'}"
    )
