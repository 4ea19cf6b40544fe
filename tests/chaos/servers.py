"""The servers and programs of a chaos run: PostgreSQL, Redis, two workers, beat and web."""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress

from tests import services

WORKER = ("celery", "-A", "tests.chaos.app", "worker", "--pool", "threads")
WORKER += ("--concurrency", "2", "--loglevel", "WARNING", "--without-mingle")
BEAT = ("celery", "-A", "tests.chaos.app", "beat", "--loglevel", "WARNING")
WEB = ("gunicorn", "--config", "python:digest.gunicorn_config", "--workers", "1")
WEB += ("--log-level", "warning", "digest.wsgi")


class World:
    """Servers and programs; all are stopped with the stack."""

    def __init__(self, stack, folder, owner):
        self.stack, self.folder, self.owner = stack, folder, owner
        self.log = (folder / "log").open("ab")
        stack.callback(self.log.close)
        self.database = services.start_postgres(stack, folder, owner, None)
        self.redis = services.start_redis(stack, folder, owner, None)
        if self.redis is None:
            raise SystemExit("chaos needs Redis: install redis-server")
        self.settings, self.programs = {}, {}

    def start(self, name, *command):
        """Run `python -m …` until it is killed or the stack closes."""
        self.start_program(name, [sys.executable, "-m", *command])

    def start_program(self, name, command):
        program = subprocess.Popen(
            command,
            env=os.environ | self.settings,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.programs[name] = program, command
        self.stack.callback(self.end, program)

    def end(self, program):
        """Kill a program with its children, which are in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()

    def kill(self, name):
        """Kill a program with SIGKILL and start it again."""
        program, command = self.programs[name]
        self.end(program)
        self.start_program(name, command)

    def start_programs(self, port):
        for number in (1, 2):
            name = f"worker{number}"
            self.start(name, *WORKER, "--hostname", f"{name}@chaos")
        schedule = self.folder / "beat-schedule"
        self.start("beat", *BEAT, "--schedule", str(schedule))
        self.start("web", *WEB, "--bind", f"127.0.0.1:{port}")

    def flush_redis(self):
        """Delete all queues, locks and the rate limit."""
        import redis

        redis.Redis.from_url(self.redis).flushall()

    def stop_postgres(self):
        """Stop as `pg_ctl -m immediate stop` does: without a checkpoint."""
        number = int(
            (self.folder / "postgres" / "postmaster.pid").read_text().split()[0]
        )
        os.kill(number, signal.SIGQUIT)
        os.waitpid(number, 0)

    def crash_postgres(self):
        """Stop PostgreSQL, and start it again: it recovers from its log."""
        command = shlex.split(
            (self.folder / "postgres" / "postmaster.opts").read_text()
        )
        self.stop_postgres()
        server = subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=self.log,
            stderr=self.log,
            **services.run_as(self.owner),
        )
        self.stack.callback(services.stop_server, server, signal.SIGINT)

    def log_tail(self):
        self.log.flush()
        return (self.folder / "log").read_text(errors="replace")[-6000:]


@contextmanager
def start_servers():
    """Start servers in a temporary folder."""
    owner = services.unprivileged()
    with services.temporary_folder(owner) as folder, ExitStack() as stack:
        yield World(stack, folder, owner)


def retry_query(query, seconds=60):
    """Run a query again while the database is down."""
    from django.db import Error, connection

    end = time.monotonic() + seconds
    while True:
        try:
            return query()
        except Error:
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
