"""Attention samples of a paper as small line charts, with the table they are drawn from."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from digest.models import AttentionSample, Paper

WIDTH, HEIGHT = 240, 40
# Of one kind; Hugging Face's counts are sampled every few hours for two weeks.
MAX_ROWS = 60
KINDS = {
    AttentionSample.Kind.UPVOTES: "Votes",
    AttentionSample.Kind.COMMENTS: "Comments",
    AttentionSample.Kind.STARS: "GitHub stars",
}


@dataclass(frozen=True)
class Chart:
    """One kind of attention over time; `points` is the attribute of an SVG polyline."""

    label: str
    rows: list[tuple[datetime, int]]

    @property
    def first(self) -> tuple[datetime, int]:
        return self.rows[0]

    @property
    def last(self) -> tuple[datetime, int]:
        return self.rows[-1]

    @property
    def points(self) -> str:
        start, end = self.first[0].timestamp(), self.last[0].timestamp()
        values = [value for _, value in self.rows]
        low, high = min(values), max(values)
        return " ".join(
            f"{_scale(at.timestamp(), start, end) * WIDTH:.1f},"
            f"{(1 - _scale(value, low, high)) * HEIGHT:.1f}"
            for at, value in self.rows
        )


def _scale(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def load_charts(paper: Paper) -> list[Chart]:
    """Load the newest samples of each kind; a kind with a single value has no chart."""
    samples = AttentionSample.objects.filter(paper=paper, kind__in=KINDS)
    rows = defaultdict(list)
    for kind, at, value in samples.order_by("at", "pk").values_list(
        "kind", "at", "value"
    ):
        rows[kind].append((at, value))
    return [
        Chart(label, rows[kind][-MAX_ROWS:])
        for kind, label in KINDS.items()
        if len(rows[kind]) > 1
    ]
