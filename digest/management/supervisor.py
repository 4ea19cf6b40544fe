"""Run programs side by side: restart those that exit, and terminate all on Ctrl-C."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

import structlog

log = structlog.get_logger(__name__)

# A worker finishes its current mail on SIGTERM; after this time it is killed.
TERMINATION_SECONDS = 10
POLL_SECONDS = 0.5
# Delay before a restart: doubles with each exit, unless the program ran for a while.
FIRST_RESTART_SECONDS = 1.0
MAX_RESTART_SECONDS = 60.0
STABLE_SECONDS = 60.0


@dataclass
class Program:
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    started_at: float
    delay: float = FIRST_RESTART_SECONDS
    restart_at: float | None = None  # None while it runs


class Supervisor:
    """Context manager that terminates its programs on exit."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.programs: dict[str, Program] = {}

    def __enter__(self) -> "Supervisor":
        self.logs.mkdir(parents=True, exist_ok=True)
        self.previous_handler = signal.signal(signal.SIGTERM, raise_interrupt)
        return self

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program with its output in a log file."""
        self.programs[name] = Program(
            command, self._spawn(name, command), time.monotonic()
        )

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process in its own session, so that Ctrl-C reaches only this process."""
        with (self.logs / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self) -> None:
        """Restart programs that exit, until Ctrl-C."""
        while True:
            self.restart_exited()
            time.sleep(POLL_SECONDS)

    def restart_exited(self, now: float | None = None) -> list[str]:
        """Restart programs whose delay is over; return the names of those found to have exited."""
        now = time.monotonic() if now is None else now
        exited = []
        for name, program in self.programs.items():
            if program.restart_at is not None:
                if now >= program.restart_at:
                    program.process = self._spawn(name, program.command)
                    program.started_at, program.restart_at = now, None
            elif (code := program.process.poll()) is not None:
                if now - program.started_at >= STABLE_SECONDS:
                    program.delay = FIRST_RESTART_SECONDS
                program.restart_at = now + program.delay
                log.error(
                    "program exited",
                    program=name,
                    code=code,
                    restart_in=program.delay,
                    output=str(self.logs / f"{name}.log"),
                )
                program.delay = min(2 * program.delay, MAX_RESTART_SECONDS)
                exited.append(name)
        return exited

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not interrupt the termination.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate(program.process for program in self.programs.values())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self.previous_handler)


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def terminate(children: Iterable[subprocess.Popen[bytes]]) -> None:
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.terminate()
    for child in running:
        try:
            child.wait(TERMINATION_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def manage_command(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]
