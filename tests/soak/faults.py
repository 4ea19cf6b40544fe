"""Provoke ten faults one after the other, and measure after how many minutes each surface names them.

    python -m tests.soak.faults [NAME…]

Prints a row for each fault as soon as it is measured, in the format of docs/operating.md.
The surfaces are those that operators watch: /health, the rules of deploy/prometheus/alerts.yml
on /metrics, Today in the admin, errors in the log, and `manage.py doctor`. Minutes are those
of the shared clock (clock.py), which moves a minute at a time.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import redis
import yaml

from tests.chaos import servers

# Minutes after the fault at which the surfaces are read; the doctor, which starts a process
# each time, only at some of them.
REACTION_S = 10.0  # real time for what a minute brings
MINUTES = (*range(16), 20, 25, 30, 35, 40, 60)
DOCTOR_AT = {0, 1, 5, 10, 15, 30, 60}
# After an announcement that does not come; arXiv may be late by hours.
HOURS = range(0, 16 * 60, 30)
SURFACES = ("health", "alert", "today", "log", "doctor")
TOKEN = "the-token-of-metrics"
DOCTOR = "from tests.soak import app; import django; django.setup(); from django.core.management import call_command; call_command('doctor')"
RULE = re.compile(r'(\w+)(?:\{(\w+)(=~|!~|=)"([^"]*)"\})? (>|==) ([\d.]+)')
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([\d.e+-]+)$")


def main():
    parser = argparse.ArgumentParser(prog="tests.soak.faults")
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    if len(names) == 1:
        sys.stdout.write(measure(names[0]) + "\n")
        return
    for name in names or NAMES:  # servers and settings of its own for each
        subprocess.run([sys.executable, "-m", "tests.soak.faults", name], check=False)


def measure(name):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # ends the programs, too
    with ExitStack() as stack:
        world = stack.enter_context(servers.start_servers())
        os.environ |= {
            "DATABASE_URL": world.database,
            "REDIS_URL": world.redis,
            "METRICS_TOKEN": TOKEN,
        }
        import tests.environment  # noqa: F401  configures Django

        return Installation(world, stack).measure(name)


class Installation:
    """A running installation, an hour after its first edition froze."""

    def __init__(self, world, stack):
        from tests.soak import run

        os.environ["METRICS_TOKEN"] = TOKEN
        options = SimpleNamespace(
            readers=1200, seed=1, days=2, faults=False, visitors=0, pause=1, log=None
        )
        self.soak, self.servers = run.Soak(options, world, stack), world
        self.soak.report = lambda text: None
        self.soak.prepare()
        self.advance_to(run.at(0, 9, 58))
        self.cookie = log_in()
        self.for_minutes = {}

    def advance_to(self, at):
        while self.soak.clock.now() < at:
            self.soak.pass_time([])

    def measure(self, name):
        provoke, text = getattr(self, f"provoke_{name}"), NAMES[name]
        is_slow = name == "stale_listings"
        if is_slow:  # minutes count from the announcement that does not come
            self.advance_to(datetime(2026, 10, 27, 3, 55, tzinfo=UTC))
        begin = self.soak.clock.now().replace(second=0, microsecond=0)
        self.mark = len(self.read_log())
        before = self.probe(0, with_doctor=True)
        first = {}
        provoke()
        for minute in HOURS if is_slow else MINUTES:
            at = begin + timedelta(minutes=minute, seconds=1)
            if is_slow:
                self.advance_to(at)
            else:
                self.soak.clock.set_time(at)
                self.soak.sources.publish()
                self.wait_for_work()
            found = self.probe(minute, with_doctor=minute in DOCTOR_AT or minute > 60)
            for surface, named in found.items():
                if named - before.get(surface, set()):
                    first.setdefault(
                        surface, (minute, sorted(named - before.get(surface, set())))
                    )
            if len(first) == len(SURFACES):
                break
        cells = [str(first[s][0]) if s in first else "–" for s in SURFACES]  # noqa: RUF001
        details = {s: first[s][1][:2] for s in first}
        return f"| {text} | {' | '.join(cells)} |\n    {json.dumps(details)[:600]}"

    def wait_for_work(self):
        """Let beat and the workers react; a dead worker's queue never empties."""
        deadline = time.monotonic() + REACTION_S
        time.sleep(1)
        with (
            suppress(redis.RedisError),
            redis.Redis.from_url(self.servers.redis) as client,
        ):
            while time.monotonic() < deadline and any(
                map(client.llen, ("celery", "urgent"))
            ):
                time.sleep(0.1)

    # Faults

    def provoke_beat_dead(self):
        self.stop("beat", "beat2")

    def provoke_worker_dead(self):
        self.stop("worker1", "worker2")

    def provoke_redis_gone(self):
        with redis.Redis.from_url(self.servers.redis) as client:
            client.shutdown(nosave=True)

    def provoke_database_gone(self):
        self.servers.stop_postgres()

    def provoke_disk_full(self):
        self.restart_with(SOAK_FREE_BYTES="50000000")

    def provoke_provider_refuses(self):
        self.soak.provider.refusal = 503

    def provoke_wrong_key(self):
        self.soak.provider.refusal = 401

    def provoke_dns_wrong(self):
        self.restart_with(SENDGRID_API_URL="http://api.sendgrid.invalid")

    def provoke_clock_wrong(self):
        self.restart_with(SOAK_DATABASE_SKEW_S="600")

    def provoke_stale_listings(self):
        self.soak.sources.feed_delay[date(2026, 10, 27)] = timedelta(days=9)

    def stop(self, *names):
        for name in names:
            self.servers.end(self.servers.programs[name][0])

    def restart_with(self, **settings):
        self.servers.settings |= settings
        for name in ("web", "worker1", "worker2", "urgent", "beat", "beat2"):
            self.soak.restart(name)
        time.sleep(4)

    # Surfaces

    def probe(self, minute, with_doctor):
        found = {
            "health": self.read_health(),
            "alert": self.firing_alerts(minute),
            "today": self.read_today(),
            "log": self.read_errors(),
        }
        if with_doctor:
            found["doctor"] = self.run_doctor()
        return found

    def fetch(self, path, **headers):
        request = urllib.request.Request(f"{self.soak.site}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def read_health(self):
        status, body = self.fetch("/health")
        if status == 200:
            return set()
        try:
            row = json.loads(body)
        except ValueError:
            return {f"status {status}"}
        named = set(map(without_numbers, row.get("alarms", [])))
        expected = {"database": "ok", "ingest": "ok", "sending": "ok"}
        named |= {f"{k}: {row[k]}" for k, v in expected.items() if row.get(k, v) != v}
        return named or {f"status {status}"}

    def read_today(self):
        status, body = self.fetch("/admin/", Cookie=f"sessionid={self.cookie}")
        if status != 200:
            return {f"status {status}"}
        alarms = re.findall(r'<span class="pr-strong">([^<]*)</span>', body)
        pauses = re.findall(r"Sending is paused", body)
        return {*map(without_numbers, alarms), *pauses}

    def read_log(self):
        return (self.servers.folder / "log").read_text(errors="replace")

    def read_errors(self):
        rows = []
        for line in self.read_log()[self.mark :].splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if (
                isinstance(row, dict)
                and row.get("level") == "error"
                # The probe of /health itself.
                and not str(row.get("event")).startswith("Service Unavailable")
                and "timestamp" in row
            ):
                rows.append(row)
        return {
            without_numbers(
                f"{r.get('event')} {r.get('kind', '')}{r.get('reason', '')}"
            )[:90]
            for r in rows
        }

    def run_doctor(self):
        result = subprocess.run(
            [sys.executable, "-c", DOCTOR],
            env=os.environ | self.servers.settings,
            capture_output=True,
            text=True,
            check=False,
        )
        text = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
        lines = re.findall(r"^(failed|warning)\s+(.*)$", text, re.M)
        # The server's own clock does not follow that of the run.
        return {
            without_numbers(" ".join(line))
            for line in lines
            if "between this machine" not in line[1]
        }

    def firing_alerts(self, minute):
        status, body = self.fetch("/metrics", Authorization=f"Bearer {TOKEN}")
        samples = list(parse_samples(body)) if status == 200 else []
        samples.append(("up", {"job": "paper-round"}, float(status == 200)))
        firing = set()
        (group,) = yaml.safe_load(
            (servers_root() / "deploy/prometheus/alerts.yml").read_text()
        )["groups"]
        for rule in group["rules"]:
            match = RULE.fullmatch(rule["expr"])
            if match and holds(match, samples):
                since = self.for_minutes.setdefault(rule["alert"], minute)
                wait = int(
                    str(rule.get("for", "0m")).removesuffix("m").removesuffix("h")
                )
                if minute - since >= wait:
                    firing.add(rule["alert"])
            else:
                self.for_minutes.pop(rule["alert"], None)
        return firing


def servers_root():
    from tests.conftest import ROOT

    return ROOT


def parse_samples(body):
    for line in body.splitlines():
        if match := SAMPLE.match(line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            yield match[1], labels, float(match[3])


def holds(match, samples):
    """Whether any sample meets a rule `metric{label="value"} > number`."""
    metric, label, operator, value, comparison, threshold = match.groups()
    matches = {"=": str.__eq__, "=~": lambda a, b: bool(re.fullmatch(b, a))}
    for name, labels, number in samples:
        if name != metric:
            continue
        if label:
            given = labels.get(label, "")
            is_match = matches.get(operator, matches["=~"])(given, value)
            if is_match == (operator == "!~"):
                continue
        if (
            number > float(threshold)
            if comparison == ">"
            else number == float(threshold)
        ):
            return True
    return False


def without_numbers(text):
    """A text without what changes from minute to minute."""
    return re.sub(r"\d[\d:.,]*", "#", text)[:120]


def log_in():
    """Create an administrator and return the key of a session of theirs."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from accounts.models import User

    user = User.objects.create_superuser(
        "operator@example.org", "a long enough password"
    )
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


NAMES = {
    "beat_dead": "beat is dead",
    "worker_dead": "the workers of a queue are dead",
    "redis_gone": "Redis is gone",
    "database_gone": "PostgreSQL is gone",
    "disk_full": "the disk of `VAR_DIR` is full",
    "provider_refuses": "the provider answers 503",
    "wrong_key": "the provider refuses the key",
    "dns_wrong": "the provider's name does not resolve",
    "clock_wrong": "a machine's clock is wrong by ten minutes",
    "stale_listings": "arXiv's listings of a day do not arrive",
}

if __name__ == "__main__":
    main()
