"""Measure the pages: queries, bytes, and a cached list under load beside a Django "hello".

Two gunicorn workers serve each, over loopback, to the same client. The client shares the
processors with them, so the processor time of the workers is measured too. Run alone with
`make bench PART=site`.
"""

import gzip
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import islice
from pathlib import Path

import tests.environment  # noqa: F401  PostgreSQL, and Django on it

# isort: split

from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.search import NOW, corpus
from digest.models import AttentionSample, Paper, Topic
from digest.ranking import paper_topics, rank_edition
from digest.site.paper_lists import PAPERS_PER_PAGE
from tests.services import free_port

DAY = date(2026, 11, 20)
PAPERS = 1_000  # of one day
CONNECTIONS = 8
WARM_UP_S, LOAD_S = 1.0, 5.0
MAX_REQUESTS = 50_000
RENDERINGS = 15
PAGES = {
    "day": f"/papers/date/{DAY}",
    "trending": "/papers/trending",
    "author": "/authors/Ada%20Okafor",
    "paper": "/papers/2611.00001",
    "feed": "/feeds/papers.atom",
    "api": f"/api/daily_papers?date={DAY}",
}

CLIENT = Client()

Result = dict[str, float | int]


def measure() -> dict[str, Result]:
    call_command("migrate", verbosity=0)
    fill()
    result: Result = {"papers_of_the_day": PAPERS}
    for name, path in PAGES.items():
        result |= measure_page(name, path)
    listed = gzip.compress(get_page(PAGES["day"]), 6)
    result["list_of_30_kb"] = len(listed) / 1000 * 30 / PAPERS_PER_PAGE
    with serve("benchmarks.hello:application") as hello:
        per_second, cpu = load(hello, "/")
    result |= {"hello_per_s": per_second, "hello_cpu_us": cpu}
    with serve("digest.wsgi:application") as site:
        per_second, cpu = load(site, PAGES["day"])
    result |= {"list_per_s": per_second, "list_cpu_us": cpu}
    result["list_to_hello"] = result["list_per_s"] / result["hello_per_s"]
    result["list_to_hello_by_cpu"] = result["hello_cpu_us"] / result["list_cpu_us"]
    return {"site": result}


def fill() -> None:
    """Store one day of papers with votes, topics and an author of a hundred of them."""
    Topic.objects.all().delete()
    Paper.objects.all().delete()
    Topic.objects.bulk_create(
        [
            Topic(name=name, slug=name, description=name, keywords=[name])
            for name in ("language", "image", "graph", "learning", "quantum")
        ]
    )
    rows = islice(corpus(), PAPERS)
    papers = [
        Paper(
            identifier=f"2611.{number:05}",
            title=row["title"],
            title_raw=row["title"],
            abstract=row["abstract"],
            abstract_raw=row["abstract"],
            authors=[
                *row["authors"][:8],
                *(["Ada Okafor"] if number % 10 == 0 else []),
            ],
            categories=row["categories"] or ["cs.LG"],
            primary=(row["categories"] or ["cs.LG"])[0],
            announced_on=DAY,
            announce_type="new" if number % 3 else "cross",
            votes=number % 40,
            created_at=NOW,
            updated_at=NOW,
        )
        for number, row in enumerate(rows, start=1)
    ]
    Paper.objects.bulk_create(papers, batch_size=500)
    AttentionSample.objects.bulk_create(
        AttentionSample(
            paper=papers[0], source="huggingface", kind="upvotes", value=hour, at=at
        )
        for hour in range(20)
        for at in [NOW.replace(hour=hour)]
    )
    edition = rank_edition.rank_edition(DAY, NOW)
    assert edition is not None
    paper_topics.store_paper_topics(edition)


def get_page(path: str) -> bytes:
    """Render a page that is not cached."""
    caches["pages"].clear()
    caches["default"].clear()
    response = CLIENT.get(path)
    assert response.status_code == 200, path
    return response.content


def measure_page(name: str, path: str) -> Result:
    get_page(path)
    with CaptureQueriesContext(connection) as queries:
        size = len(gzip.compress(get_page(path), 6))
    query_count = len(queries)
    times = []
    for _ in range(RENDERINGS):
        start = time.perf_counter()
        get_page(path)
        times.append(time.perf_counter() - start)
    return {
        f"{name}_queries": query_count,
        f"{name}_kb": size / 1000,
        f"{name}_ms": statistics.median(times) * 1000,
    }


@contextmanager
def serve(application: str) -> Iterator[tuple[int, int]]:
    """Run two gunicorn workers; give the port and the process id of their parent."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", application),
                *("--config", "python:digest.gunicorn_config"),
                *("--bind", f"127.0.0.1:{port}"),
            ],
            env=os.environ
            | {
                "DATABASE_URL": database_url(),
                "DJANGO_SETTINGS_MODULE": "digest.settings"
                if application.startswith("digest")
                else "",
            },
            stdout=log,
            stderr=log,
        )
        try:
            wait_for_port(port)
            yield port, server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def database_url() -> str:
    return str(os.environ["DATABASE_URL"])


def wait_for_port(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers on port {port}")


def load(server: tuple[int, int], path: str) -> tuple[float, float]:
    """Return answers per second, and microseconds of the workers' processor time for each."""
    port, parent = server
    run_clients(port, path, WARM_UP_S)
    cpu, start = cpu_seconds(parent), time.perf_counter()
    answers = run_clients(port, path, LOAD_S)
    elapsed, used = time.perf_counter() - start, cpu_seconds(parent) - cpu
    return answers / elapsed, used / answers * 1e6


def run_clients(port: int, path: str, seconds: float) -> int:
    counts = [0] * CONNECTIONS
    end = time.perf_counter() + seconds
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: gzip\r\n\r\n"
    ).encode()

    def ask(client: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            while time.perf_counter() < end and counts[client] < MAX_REQUESTS:
                connection.sendall(request)
                read_answer(connection)
                counts[client] += 1

    clients = [threading.Thread(target=ask, args=(n,)) for n in range(CONNECTIONS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(counts)


def read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head[:200]
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    missing = length - len(body)
    while missing > 0:
        missing -= len(receive(connection))


def receive(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


def cpu_seconds(parent: int) -> float:
    """Processor time of the workers so far."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for child in children:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / ticks
