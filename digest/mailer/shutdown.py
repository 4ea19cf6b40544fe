"""Whether this program was asked to end: a worker finishes the digest that it holds, and takes nothing new."""

import mmap
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# One byte that the processes of a worker share from their fork on: the signal
# reaches the parent, the children do the work. Setting it takes no lock, so that it
# is safe wherever a signal interrupts.
FLAG = mmap.mmap(-1, 1)


def ask(*_: Any, **__: Any) -> None:
    """End soon; a signal's receiver."""
    FLAG[0] = 1


def asked() -> bool:
    return FLAG[0] == 1


@contextmanager
def on_signals() -> Iterator[None]:
    """In a program of our own, let SIGTERM and Ctrl-C ask; a second one ends it at once."""
    before = {
        number: signal.signal(number, ask_once)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        FLAG[0] = 0
        for number, known in before.items():
            signal.signal(number, known)


def ask_once(number: int, _: Any) -> None:
    ask()
    signal.signal(number, signal.SIG_DFL)
