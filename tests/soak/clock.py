"""One clock for all processes of a run: that of the machine, plus an offset in a shared file.

Work takes its real time; while nothing is to be done, the run moves the clock forward. The
monotonic clock, and with it every timeout and sleep, is left alone.
"""

import mmap
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine
from _time_machine import original_time_ns

CLOCK_FILE = "SOAK_CLOCK"  # the environment variable that names the file
# By how many seconds the database's clock differs from it, in faults.py.
DATABASE_DIFFERENCE = "SOAK_DATABASE_SKEW_S"
OFFSET = struct.Struct("=q")  # nanoseconds
NS = 1_000_000_000


class Clock(time_machine.Traveller):
    """The time of this process while the clock is started; `move_to` moves all processes."""

    def __init__(self, path: Path):
        super().__init__(0, None, tick=True)
        with path.open("r+b") as file:
            self.offset = mmap.mmap(file.fileno(), OFFSET.size)

    def time_ns(self):
        return original_time_ns() + OFFSET.unpack_from(self.offset)[0]

    def now(self):
        return datetime.fromtimestamp(self.time_ns() / NS, UTC)

    def set_time(self, at):
        """Set the clock of every process to `at`."""
        target = int(at.timestamp()) * NS
        OFFSET.pack_into(self.offset, 0, target - original_time_ns())


def create_clock(path, at):
    """Create the shared file, and start this process's clock at a time."""
    path.write_bytes(OFFSET.pack(0))
    os.environ[CLOCK_FILE] = str(path)
    clock = start_clock()
    clock.set_time(at)
    return clock


def start_clock():
    """Let this process read the time from the shared clock, the database's included."""
    clock = Clock(Path(os.environ[CLOCK_FILE]))
    # Patches the modules; the clock then takes the place of the fixed destination.
    time_machine.travel(0, tick=True).start()
    time_machine.traveller_stack[-1] = clock
    return clock


def use_for_database():
    """Let expressions of the database server's time use the shared clock."""
    from django.db.models import DateTimeField, Value
    from django.utils import timezone

    from digest.models.digests import DatabaseNow

    difference = timedelta(seconds=float(os.environ.get(DATABASE_DIFFERENCE, 0)))

    def resolve_expression(self, *arguments, **named):
        now = Value(timezone.now() + difference, output_field=DateTimeField())
        return now.resolve_expression(*arguments, **named)

    DatabaseNow.resolve_expression = resolve_expression
