"""Which program holds a run, so that nobody waits for one that is known to be dead."""

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")


def me() -> str:
    """This program's name for others: where its process id means something, and the id."""
    return f"{_place()}:{os.getpid()}"


def is_gone(holder: str) -> bool:
    """Whether this program is surely dead. Of another machine or container nobody knows."""
    place, _, number = holder.rpartition(":")
    if place != _place() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)  # asks, and sends nothing
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, and another user's
        return False
    return False


def _place() -> str:
    """This boot of this machine and, among its containers, this one."""
    try:
        return f"{_BOOT.read_text()[:18]}/{_SPACE.readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()[:60]
