"""Run programs side by side; terminate all of them when one exits, or on Ctrl-C."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

# A worker finishes its current mail on SIGTERM; after this time it is killed.
TERMINATION_SECONDS = 10
POLL_SECONDS = 0.5


class Supervisor:
    """Context manager that terminates its programs on exit."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Supervisor":
        self.logs.mkdir(parents=True, exist_ok=True)
        self.previous_handler = signal.signal(signal.SIGTERM, raise_interrupt)
        return self

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program with its output in a log file.

        It gets its own session, so that Ctrl-C reaches only this process.
        """
        with (self.logs / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> str:
        while True:
            for name, child in self.children.items():
                try:
                    child.wait(POLL_SECONDS / len(self.children))
                    return name
                except subprocess.TimeoutExpired:
                    continue

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not interrupt the termination.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate(self.children.values())
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
