"""Progress of a sending: sent of total, pace, and time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from digest.mailer.tally import Tally, count_outcomes
from digest.models import Digest, Edition

# Counting a large edition takes a second: not after every batch.
REPORT_INTERVAL_S = 2.0
# Long enough to hold a few batches.
PACE_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class Progress:
    """An edition's tally, and how many digests a second get an outcome."""

    tally: Tally
    pace: float = 0.0

    @property
    def done(self) -> int:
        return self.tally.recipients - self.tally.waiting

    @property
    def time_left(self) -> timedelta | None:
        """Time until every reader has an outcome; None while nothing moves."""
        if not self.pace:
            return None
        return timedelta(seconds=round(self.tally.waiting / self.pace))

    def __str__(self) -> str:
        text = f"{self.done:,} of {self.tally.recipients:,} readers"
        if self.pace and self.tally.waiting:
            text += f", {self.pace:,.1f} a second, {self.time_left} left"
        problems = {"failed": self.tally.failed, "unknown": self.tally.unknown}
        return text + "".join(f", {n:,} {name}" for name, n in problems.items() if n)


def progress_of(edition: Edition, now: datetime) -> Progress:
    tally = count_outcomes(edition)
    if not tally.waiting:
        return Progress(tally)
    recent = Digest.objects.filter(edition=edition, outcome_at__gt=now - PACE_WINDOW)
    return Progress(tally, recent.count() / PACE_WINDOW.total_seconds())


class ProgressReporter:
    """Reports one sending's progress to `show` every few seconds."""

    def __init__(self, edition: Edition, show: Callable[[Progress], None]) -> None:
        self.edition, self.show = edition, show
        self.started = self.last_shown = time.monotonic()
        self.done_at_start: int | None = None

    def update(self) -> None:
        now = time.monotonic()
        if now - self.last_shown < REPORT_INTERVAL_S:
            return
        self.last_shown = now
        progress = Progress(count_outcomes(self.edition))
        if self.done_at_start is None:
            self.done_at_start, self.started = progress.done, now
        seconds = now - self.started
        newly_done = progress.done - self.done_at_start
        self.show(Progress(progress.tally, newly_done / seconds if seconds else 0.0))
