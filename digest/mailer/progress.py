"""How far a sending is: sent of total, pace, and time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from digest.mailer import ledger
from digest.mailer.ledger import Tally
from digest.models import Digest, Edition

# Counting a large edition takes a second: not after every batch.
EVERY_SECONDS = 2.0
# What the last minutes say of the pace: long enough to hold a few batches.
WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class Progress:
    """An edition's tally, and how many digests a second get an outcome."""

    tally: Tally
    pace: float = 0.0

    @property
    def done(self) -> int:
        return self.tally.recipients - self.tally.waiting

    @property
    def left(self) -> timedelta | None:
        """The time until nobody waits; None where nothing moves."""
        if not self.pace:
            return None
        return timedelta(seconds=round(self.tally.waiting / self.pace))

    def __str__(self) -> str:
        told = f"{self.done:,} of {self.tally.recipients:,} readers"
        if self.pace and self.tally.waiting:
            told += f", {self.pace:,.1f} a second, {self.left} left"
        odd = {"failed": self.tally.failed, "unknown": self.tally.unknown}
        return told + "".join(f", {n:,} {name}" for name, n in odd.items() if n)


def of(edition: Edition, now: datetime) -> Progress:
    """What the rows say, whichever workers are at it."""
    tally = ledger.tally(edition)
    if not tally.waiting:
        return Progress(tally)
    recent = Digest.objects.filter(edition=edition, outcome_at__gt=now - WINDOW)
    return Progress(tally, recent.count() / WINDOW.total_seconds())


class Meter:
    """Shows one sending's progress now and then; `show` gets it."""

    def __init__(self, edition: Edition, show: Callable[[Progress], None]) -> None:
        self.edition, self.show = edition, show
        self.begun = self.shown = time.monotonic()
        self.before: int | None = None

    def tick(self) -> None:
        """Show it, unless it was shown a moment ago."""
        now = time.monotonic()
        if now - self.shown < EVERY_SECONDS:
            return
        self.shown = now
        progress = Progress(ledger.tally(self.edition))
        if self.before is None:
            self.before, self.begun = progress.done, now
        seconds = now - self.begun
        moved = progress.done - self.before
        self.show(Progress(progress.tally, moved / seconds if seconds else 0.0))
