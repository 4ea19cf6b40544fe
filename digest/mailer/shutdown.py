"""Graceful shutdown: a worker finishes the digest in progress and claims nothing new."""

import mmap
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# One byte shared by the processes of a worker from their fork on: the signal reaches
# the parent, the children do the work. Setting it takes no lock, so it is safe in a
# signal handler.
FLAG = mmap.mmap(-1, 1)


def request_shutdown(*_: Any, **__: Any) -> None:
    """Ask all processes of this worker to end soon; also a signal receiver."""
    FLAG[0] = 1


def is_requested() -> bool:
    return FLAG[0] == 1


@contextmanager
def handle_signals() -> Iterator[None]:
    """In a management command, let SIGTERM and Ctrl-C request a shutdown; a second one ends it at once."""
    previous = {
        number: signal.signal(number, handle_once)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        FLAG[0] = 0
        for number, handler in previous.items():
            signal.signal(number, handler)


def handle_once(number: int, _: Any) -> None:
    request_shutdown()
    signal.signal(number, signal.SIG_DFL)
