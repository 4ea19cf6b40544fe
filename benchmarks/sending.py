"""Measure what a digest costs from plan to stored outcome, beside a plain Django loop.

    make bench PART=sending                     20,000 readers
    make bench PART=sending READERS=1000000     a million, on an idle machine
    make bench PART=sending TRANSPORTS=smtp     one transport

PostgreSQL, workers and sinks are processes of their own. The CPU time of the workers is
`cpu_us_per_digest` and that of PostgreSQL `postgres_us`; that of the sinks is not counted.
What a worker does once for an edition, before its first batch, is `prepare_cpu_s`: with a
million readers it vanishes, with 20,000 it would hide the rest. The keys `<stage>_us` say
which stages the workers spent their time in; see `benchmarks/stages.py`.

    benchmark ──► plan ──► worker 1: prepare · claim · select · store · compose · call · record
        │                  worker 2: the same                            │
        └── plain loop, 200 readers ─────────────────────────────────────┴──► sink (counts mails)
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READERS = int(os.environ.get("READERS") or 20_000)
WORKERS = int(os.environ.get("WORKERS") or 2)
TRANSPORTS = (os.environ.get("TRANSPORTS") or "sendgrid smtp").split()
PLAIN_READERS = 200
# Answers of a provider far away; the run lasts about LATENCY_ROUNDS of them.
LATENCY_S, LATENCY_ROUNDS = 0.08, 60

Result = dict[str, float | int]


def measure() -> dict[str, Result]:
    """Measure each transport; the parts are sending.sendgrid and sending.smtp."""
    import tests.environment  # noqa: F401  PostgreSQL, and Django on it
    from benchmarks import sending_rows

    started = time.monotonic()
    edition = sending_rows.create_rows(READERS)
    figures: dict[str, Result] = {
        "sending": {"readers": READERS, "workers": WORKERS},
    }
    for transport in TRANSPORTS:
        whole = measure_run(edition, transport, READERS, WORKERS)
        tenth = measure_run(edition, transport, READERS // 10, WORKERS)
        figures[f"sending.{transport}"] = {
            **whole,
            "unique_mb_per_worker_of_a_tenth": tenth["unique_mb_per_worker"],
            **measure_plain_loop(edition, transport, whole["cpu_us_per_digest"]),
            **measure_latency(edition, transport),
        }
    figures["sending"]["seconds"] = time.monotonic() - started
    return figures


def measure_run(edition: Any, transport: str, readers: int, workers: int) -> Result:
    """Plan and send an edition to the first readers, by some workers at once."""
    from benchmarks.sinks import run_sink
    from benchmarks.stages import stage_functions

    delete_digests()
    with (
        run_sink(transport) as sink,
        start_workers(workers, sink, transport) as started,
    ):
        prepared = [read_figures(worker) for worker in started]
        wal, postgres, begin = wal_position(), postgres_cpu(), time.monotonic()
        planning = cpu_of(lambda: plan_readers(edition, readers))
        for worker in started:
            write_line(worker, "send")
        sent = [read_figures(worker) for worker in started]
        seconds = time.monotonic() - begin
        postgres_s, wal_bytes = postgres_cpu() - postgres, wal_position() - wal
    check_sent(edition, readers)
    cpu = planning + sum(figures["cpu_s"] for figures in sent)
    stages = {
        f"{stage}_us": sum(figures[f"{stage}_s"] for figures in sent) / readers * 1e6
        for stage in [*stage_functions(), "call", "rest"]
    }
    return {
        "cpu_us_per_digest": cpu / readers * 1e6,
        **stages,
        "plan_us": planning / readers * 1e6,
        "postgres_us": postgres_s / readers * 1e6,
        "prepare_cpu_s": max(figures["cpu_s"] for figures in prepared),
        "prepare_s": max(figures["seconds"] for figures in prepared),
        "digests_per_second": readers / seconds,
        "unique_mb_per_worker": max(figures["unique_mb"] for figures in sent),
        "wal_bytes_per_digest": wal_bytes / readers,
        "delivered_once": float(sink.mails == sink.recipients == readers),
    }


def measure_plain_loop(edition: Any, transport: str, cpu_us: float) -> Result:
    from django.test import override_settings

    from benchmarks import plain_loop
    from benchmarks.sinks import run_sink
    from digest.models import Batch

    delete_digests()
    plan_readers(edition, PLAIN_READERS)
    batch = Batch.objects.latest("pk")
    with run_sink(transport) as sink, override_settings(**sink.settings(transport)):
        cpu = cpu_of(
            lambda: plain_loop.send_plainly(edition, batch, transport, PLAIN_READERS)
        )
    assert sink.mails == PLAIN_READERS
    plain_us = cpu / PLAIN_READERS * 1e6
    return {"plain_us": plain_us, "ratio_to_plain": plain_us / cpu_us}


def measure_latency(edition: Any, transport: str) -> Result:
    """Compare one worker's pace with its calls in flight, each answered after LATENCY_S."""
    from benchmarks.sinks import run_sink

    delete_digests()
    with (
        run_sink(transport, LATENCY_S) as sink,
        start_workers(1, sink, transport) as (worker,),
    ):
        in_flight = read_figures(worker)["in_flight"]
        readers = min(READERS, int(in_flight) * LATENCY_ROUNDS)
        plan_readers(edition, readers)
        write_line(worker, "send")
        seconds = read_figures(worker)["seconds"]
    check_sent(edition, readers)
    pace = readers / seconds
    return {
        "in_flight": in_flight,
        "in_flight_efficiency": pace / (in_flight / LATENCY_S),
    }


# The run


def plan_readers(edition: Any, readers: int) -> None:
    from django.db import transaction
    from django.utils import timezone

    from digest.mailer import plan
    from digest.models import Slot

    now = timezone.now()
    audience = plan.unserved_readers(edition, now).filter(pk__lte=readers)
    with transaction.atomic():
        slot = plan.create_slot(edition, Slot.Kind.MANUAL, now)
    plan.fill_slot(slot, audience, now)


def delete_digests() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE digest_digest, digest_batch, digest_slot CASCADE")
        cursor.execute("CHECKPOINT")


def check_sent(edition: Any, readers: int) -> None:
    from digest.mailer.tally import count_outcomes

    tally = count_outcomes(edition)
    assert tally.accepted == readers, tally


def cpu_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


# PostgreSQL


def wal_position() -> int:
    return int(query_value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))


def query_value(statement: str) -> Any:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    assert row
    return row[0]


def postgres_cpu() -> float:
    """CPU seconds of the server and all its backends, ended ones included; NaN if it is remote."""
    backend = Path(f"/proc/{query_value('SELECT pg_backend_pid()')}/stat")
    if not backend.exists():
        return float("nan")
    server = process_times(backend)[0]
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent, own, reaped = process_times(path)
        except OSError:  # it ended meanwhile
            continue
        if path.parent.name == str(server):
            total += own + reaped
        elif parent == server:
            total += own
    return total


def process_times(stat: Path) -> tuple[int, float, float]:
    """Return the parent's id, and CPU seconds of a process and of its reaped children."""
    fields = stat.read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    user, system, child_user, child_system = (int(f) / ticks for f in fields[11:15])
    return int(fields[1]), user + system, child_user + child_system


# Workers: `python -m benchmarks.sending DAY` prepares, prints, and sends when a line comes.


@contextmanager
def start_workers(
    number: int, sink: Any, transport: str
) -> Iterator[list["subprocess.Popen[str]"]]:
    from benchmarks.sending_rows import DAY

    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "digest.settings",
        **sink.settings(transport),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sending", DAY.isoformat()],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    try:
        yield workers
        for worker in workers:
            worker.communicate(timeout=60)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def read_figures(worker: "subprocess.Popen[str]") -> dict[str, float]:
    assert worker.stdout
    line = worker.stdout.readline()
    assert line, "a worker ended early: see its error above"
    figures: dict[str, float] = json.loads(line)
    return figures


def write_line(worker: "subprocess.Popen[str]", line: str) -> None:
    assert worker.stdin
    worker.stdin.write(f"{line}\n")
    worker.stdin.flush()


def work(day: str) -> None:
    """Prepare an edition, then send its batches; print the cost of each as a line of JSON."""
    import django

    django.setup()
    from django.conf import settings

    from benchmarks.stages import StageTimer
    from digest.models import Edition

    edition = Edition.objects.get(day=day)
    prepare_edition(edition)
    prepared = {
        "cpu_s": own_cpu(),
        "seconds": time.monotonic() - STARTED,
        "in_flight": settings.MAIL_CONCURRENCY,
    }
    print(json.dumps(prepared), flush=True)
    sys.stdin.readline()
    timer = StageTimer()
    timer.start()
    start, start_cpu = time.monotonic(), own_cpu()
    run_profiled(lambda: send_all(edition))
    stages = {f"{stage}_s": seconds for stage, seconds in timer.totals().items()}
    figures = {
        **stages,
        "cpu_s": own_cpu() - start_cpu,
        "seconds": time.monotonic() - start,
        "unique_mb": unique_mb(),
    }
    print(json.dumps(figures), flush=True)
    sys.stdin.readline()  # stay until all workers' memory is measured


def prepare_edition(edition: Any) -> None:
    """Do what the first batch of a worker does once: import, read the URLs, prepare the edition."""
    from digest.mailer import compose, transports
    from digest.ranking import choose, edition_index  # noqa: F401

    transports.get_transport()
    compose.edition_context(edition)
    edition_index.load_index(edition)


def send_all(edition: Any) -> None:
    """Send until no batch is left; one that another worker released is tried again later."""
    from digest import tasks
    from digest.models import Batch

    tasks.send_planned_batches(edition)
    unfinished = Batch.objects.filter(slot__edition=edition).unfinished()
    while unfinished.exists():
        for error in unfinished.exclude(error="").values_list("error", flat=True):
            print(f"a batch waits: {error}", file=sys.stderr)
        time.sleep(1)
        tasks.send_planned_batches(edition)


def run_profiled(send: Callable[[], object]) -> None:
    """Send, under cProfile if PROFILE names a file for its statistics."""
    if not (path := os.environ.get("PROFILE")):
        send()
        return
    import cProfile

    profile = cProfile.Profile()
    profile.runcall(send)
    profile.dump_stats(path)


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def unique_mb() -> float:
    """Memory that no other process shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    private = [line.split()[1] for line in lines if line.startswith("Private_")]
    return sum(map(int, private)) / 1024


STARTED = time.monotonic()

if __name__ == "__main__":
    work(sys.argv[1])
