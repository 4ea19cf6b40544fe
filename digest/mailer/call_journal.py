"""Journal of a worker's calls, in a file that another worker can read after a kill.

The row of a batch says which digests are marked as being sent. Which of their calls have
begun, and which were answered, only the process knows until it records the outcomes.
Therefore it notes that in a file mapped to memory, at the cost of writing a byte:

    marked ► WAITING ──► BEGUN ──► ACCEPTED │ WAITING (refused or given up)
                         before    after the answer, long before the outcome is recorded
                         the first byte of the mail

The worker that takes the batch over reads the file, and only digests whose calls had begun
without an answer are unknown. The kernel keeps the file's pages when a process is killed,
but not when the machine stops, and another machine does not see them: then, and wherever
no file can be written, all marked digests are unknown.
"""

import mmap
import os
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
BOOT_ID_BYTES = 36
# A digest and the state of its call.
ENTRY = struct.Struct("<QB")
STATE_OFFSET = 8
# Of workers that were killed, and whose batches went to another machine.
MAX_AGE_S = 86_400.0


class CallState(IntEnum):
    WAITING = 0  # the mail was certainly not accepted
    BEGUN = 1
    ACCEPTED = 2


class CallJournal:
    """The states of a batch's calls; threads note them, each those of its own calls."""

    def __init__(self, path: Path, boot_id: bytes, capacity: int) -> None:
        """Create the file with all its blocks, so that no write fails later. Raises OSError."""
        self.path = path
        path.parent.mkdir(mode=0o700, exist_ok=True)
        size = BOOT_ID_BYTES + capacity * ENTRY.size
        with path.open("w+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            self.content = mmap.mmap(file.fileno(), size)
        self.content[:BOOT_ID_BYTES] = boot_id
        self.offsets: dict[int, int] = {}

    def add(self, digests: Iterable[int]) -> None:
        """Write entries for digests that are about to be marked."""
        for pk in digests:
            start = BOOT_ID_BYTES + len(self.offsets) * ENTRY.size
            start = self.offsets.setdefault(pk, start)
            ENTRY.pack_into(self.content, start, pk, CallState.WAITING)

    def note(self, digest: int, state: CallState) -> None:
        self.content[self.offsets[digest] + STATE_OFFSET] = state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def create_journal(lease_token: str, capacity: int) -> CallJournal | None:
    """Create the journal of a claimed batch; None where there can be none."""
    if not (lease_token and (boot_id := read_boot_id())):
        return None
    try:
        return CallJournal(journal_path(lease_token), boot_id, capacity)
    except OSError as error:
        log.warning("calls are not noted in VAR_DIR", error=str(error))
        return None


def read_journal(lease_token: str) -> dict[int, CallState]:
    """Return the states of calls by digest; empty if there is no journal of this machine since it started."""
    boot_id = read_boot_id()
    try:
        content = journal_path(lease_token).read_bytes() if lease_token else b""
    except OSError:
        return {}
    if not boot_id or content[:BOOT_ID_BYTES] != boot_id:
        return {}
    try:
        entries = ENTRY.iter_unpack(content[BOOT_ID_BYTES:])
        return {pk: CallState(state) for pk, state in entries if pk}
    except (struct.error, ValueError):  # not written by this module
        return {}


def remove_journal(lease_token: str) -> None:
    with suppress(OSError):
        journal_path(lease_token).unlink(missing_ok=True)


def remove_old_journals() -> None:
    with suppress(OSError):
        for path in journal_folder().iterdir():
            if path.stat().st_mtime < time.time() - MAX_AGE_S:
                path.unlink(missing_ok=True)


def journal_folder() -> Path:
    return Path(settings.VAR) / "calls"


def journal_path(lease_token: str) -> Path:
    return journal_folder() / lease_token


def read_boot_id() -> bytes:
    """Return what identifies this machine since its start; empty where the system has no such id."""
    try:
        boot_id = BOOT_ID_FILE.read_bytes()[:BOOT_ID_BYTES]
    except OSError:
        return b""
    return boot_id if len(boot_id) == BOOT_ID_BYTES else b""
