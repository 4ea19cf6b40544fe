"""Run some programs side by side, and end them, and only them, when the first ends or somebody presses Ctrl-C."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

# A worker that is told to stop finishes the mail in its hand; then it must go.
GRACE_SECONDS = 10
POLL_SECONDS = 0.5


class Supervisor:
    """A context: programs started inside it are ended when it is left."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Supervisor":
        self.logs.mkdir(parents=True, exist_ok=True)
        self.before = signal.signal(signal.SIGTERM, interrupt)
        return self

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program; what it prints goes to its log. In a session of its own,
        so that Ctrl-C reaches only us and we end it in good order."""
        with (self.logs / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> str:
        """Wait until one of the programs ends; its name."""
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
        # A second Ctrl-C must not leave programs behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end(self.children.values())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self.before)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt


def end(children: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask each of these to end, and kill those that do not within the grace time."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.terminate()
    for child in running:
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def manage(*arguments: str) -> list[str]:
    """The command line of one of our own commands."""
    return [sys.executable, "manage.py", *arguments]
