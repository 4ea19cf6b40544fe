"""`manage.py demo`: run the whole service on this machine with sample readers."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
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
from digest import figures, follows
from digest.celery import URGENT
from digest.ingest import sample
from digest.management.supervisor import Supervisor, manage_command
from digest.models import Digest, Edition, Interest, Paper
from digest.ranking import paper_topics, rank_edition

CONNECT_TIMEOUT_SECONDS = 3
INGEST_TIMEOUT_SECONDS = 15
MIN_FETCHED_PAPERS = 30
MIN_PAPERS_PER_DAY = 10  # for a full digest
WEB_START_SECONDS = 30
PORTS = range(8000, 8020)
EDITOR_EMAIL = "editor@example.org"

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
    help = "Create papers, three readers, an edition and their digests on SQLite; then serve the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="Prepare everything, but do not serve."
        )
        parser.add_argument(
            "--from",
            dest="paths",
            nargs="+",
            type=Path,
            default=[],
            help="Recorded documents or folders to ingest.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        restart_with_demo_settings()
        call_command("setup", stdout=StringIO())
        password = create_editor()
        self.ingest_papers(options["paths"])
        create_readers()
        edition = self.rank_editions()
        call_command("send", day=edition.day, stdout=self.stdout)
        figures.update_figures(timezone.now())
        self.stdout.write(f"Mails are in {settings.MAIL_DIR}")
        if options["once"]:
            self.print_summary(password)
        else:
            self.serve(password)

    def ingest_papers(self, paths: list[Path]) -> None:
        """Ingest the given documents, or fetch listings, or use the sample papers."""
        if paths:
            self.ingest_documents(paths)
            return
        if not fetch_listings():
            self.stdout.write(
                "No new listings from the network: using the sample papers."
            )
            sample.store_sample(timezone.localdate(), timezone.now())
        self.stdout.write(f"{Paper.objects.count()} papers.")

    def ingest_documents(self, paths: list[Path]) -> None:
        """Ingest recorded documents; report refused ones and continue."""
        try:
            call_command("ingest", paths=paths, stdout=self.stdout)
        except CommandError as error:
            self.stderr.write(str(error))

    def rank_editions(self) -> Edition:
        days = days_with_papers()
        if not days:
            raise CommandError(
                "These documents announce no paper. Use others: FROM=PATH."
            )
        editions = [load_edition(day) for day in days]
        keep_open(editions[-1])
        return editions[0]

    def serve(self, password: str) -> None:
        port = settings.SITE_URL.rpartition(":")[2]
        with Supervisor(settings.VAR / "log") as programs:
            programs.start("web", [sys.executable, "-m", *web_command(port)])
            for queue in ("celery", URGENT):
                programs.start(
                    f"worker-{queue}",
                    [sys.executable, "-m", *worker_command(queue)],
                )
            programs.start(
                "beat", [sys.executable, "-m", "celery", "-A", "digest", "beat"]
            )
            wait_for_port(int(port))
            self.print_summary(password)
            self.stdout.write("Press Ctrl-C to stop.")
            try:
                programs.run()
            except KeyboardInterrupt:
                self.stdout.write("Stopping.")

    def print_summary(self, password: str) -> None:
        digest = (
            Digest.objects.filter(subscriber__email__in=READERS)
            .exclude(packed_picks=b"")
            .order_by("-edition__day", "pk")
            .first()
        )
        url = f"{settings.SITE_URL}/d/{digest.key}" if digest else "none"
        self.stdout.write(f"See today's ten:       {settings.SITE_URL}/")
        self.stdout.write(f"Read a sample digest:  {url}")
        self.stdout.write(
            f"Curate as editor:      {settings.SITE_URL}/admin/  ({EDITOR_EMAIL}, {password})"
        )


def restart_with_demo_settings() -> None:
    """Replace this process by one whose settings send no mail and use no other database.

    The port is chosen first, because mails contain the URL.
    """
    if os.environ.get("PAPER_ROUND_DEMO") == "1":
        return
    demo_settings = {
        "PAPER_ROUND_DEMO": "1",
        "MAIL_TRANSPORT": "files",
        "REDIS_URL": "",
        "DATABASE_URL": demo_database_url(),
        "SITE_URL": f"http://127.0.0.1:{free_port()}",
        "FREEZE_AT": "23:59",  # so that an edition stays open to curate
        "POSTAL_ADDRESS": os.environ.get("POSTAL_ADDRESS") or "Your postal address",
        "OMP_NUM_THREADS": "1",
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | demo_settings)


def demo_database_url() -> str:
    """A SQLite file, so that the demo never writes to a production database."""
    url = os.environ.get("DATABASE_URL", "")
    return (
        url
        if url.startswith("sqlite:")
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
    raise CommandError(f"Ports {PORTS[0]} to {PORTS[-1]} are in use: free one of them.")


def create_editor() -> str:
    password = secrets.token_urlsafe(9)
    user, _ = User.objects.get_or_create(
        email=EDITOR_EMAIL, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return password


def fetch_listings() -> bool:
    """Ingest from the network; return whether that stored enough papers in time."""
    if not is_reachable(settings.ARXIV_FEED_URL):
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            manage_command("ingest"),
            timeout=INGEST_TIMEOUT_SECONDS,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    week_ago = timezone.localdate() - timedelta(days=7)
    return (
        Paper.objects.filter(announced_on__gte=week_ago).count() >= MIN_FETCHED_PAPERS
    )


def is_reachable(url: str) -> bool:
    try:
        httpx.head(url, timeout=CONNECT_TIMEOUT_SECONDS)
    except httpx.HTTPError:
        return False
    return True


def create_readers() -> None:
    for email, requested_interests in READERS.items():
        subscriber, new = Subscriber.objects.get_or_create(email=email)
        if new:
            subscriber.confirm(timezone.now(), "demo")
            follows.follow_requested(
                subscriber, [f"{kind}:{value}" for kind, value in requested_interests]
            )


def days_with_papers() -> list[date]:
    """The newest two days with a full digest in ascending order, or the newest day."""
    days = Paper.objects.announced().values("announced_on").annotate(papers=Count("pk"))
    newest = list(days.order_by("-announced_on"))
    full = [row for row in newest if row["papers"] >= MIN_PAPERS_PER_DAY]
    return sorted(row["announced_on"] for row in full[:2] or newest[:1])


def load_edition(day: date) -> Edition:
    frozen = Edition.objects.frozen().filter(day=day).first()
    edition = frozen or rank_edition.rank_edition(day, timezone.now())
    assert edition is not None  # the day has papers
    paper_topics.store_paper_topics(edition)
    return edition


def keep_open(edition: Edition) -> None:
    """Let an edition of recorded documents, whose freeze time has passed, be curated for a day."""
    tomorrow = timezone.now() + timedelta(days=1)
    Edition.objects.open().filter(pk=edition.pk).update(freeze_at=tomorrow)


def worker_command(queue: str) -> list[str]:
    command = ["celery", "-A", "digest", "worker", "--loglevel", "INFO"]
    command += ["--pool", "threads", "--concurrency", "2"]
    return [*command, "--queues", queue, "--hostname", f"{queue}@%h"]


def web_command(port: str) -> list[str]:
    """gunicorn with one process, because rate limits are kept in its memory."""
    options = ["--config", "python:digest.gunicorn_config", "--workers", "1"]
    return ["gunicorn", *options, "--bind", f"127.0.0.1:{port}", "digest.wsgi"]


def wait_for_port(port: int) -> None:
    deadline = timezone.now() + timedelta(seconds=WEB_START_SECONDS)
    while timezone.now() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise CommandError(
        f"The web server did not start: see {settings.VAR / 'log' / 'web.log'}"
    )
