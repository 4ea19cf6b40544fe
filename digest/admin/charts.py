"""Charts as inline SVG, drawn on the server; each stands beside a table with the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 640, 150
LEFT, BOTTOM, TOP = 44, 18, 10  # margins for the labels
GAP_SHARE = 0.25  # of a day's width between bars
MAX_DATE_LABELS = 6


@dataclass(frozen=True)
class Series:
    """One number a day; `css` names its colour, negative bars grow downwards."""

    label: str
    values: Sequence[float]
    css: str


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, … that is not below `value`."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if factor * step >= value:
                return factor * step
        step *= 10


def bar_chart(title: str, days: Sequence[date], series: Sequence[Series]) -> SafeString:
    """Draw bars side by side, on both sides of zero."""
    values = [value for row in series for value in row.values]
    top = nice_ceiling(max([*values, 1]))
    bottom = -nice_ceiling(-min(values)) if min([*values, 0]) < 0 else 0.0
    scale = (HEIGHT - TOP - BOTTOM) / (top - bottom)
    zero = TOP + top * scale
    day_width = (WIDTH - LEFT) / max(len(days), 1)
    bar_width = day_width * (1 - GAP_SHARE) / len(series)
    bars = []
    for number, row in enumerate(series):
        for i, (day, value) in enumerate(zip(days, row.values, strict=True)):
            x = LEFT + i * day_width + number * bar_width + day_width * GAP_SHARE / 2
            y = zero - max(value, 0) * scale
            text = f"{date_format(day)}: {abs(value):,.0f} {row.label}"
            shape = (row.css, f"{x:.1f}", f"{y:.1f}", f"{bar_width:.1f}")
            bars.append((*shape, f"{abs(value) * scale:.1f}", text))
    return format_html(
        '<svg class="pr-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        title,
        _axis([top, *([0] if bottom else []), bottom], top, scale),
        format_html_join(
            "",
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
            bars,
        ),
        _date_labels(days, day_width),
    )


def _axis(ticks: Sequence[float], top: float, scale: float) -> SafeString:
    rows = [
        (f"{TOP + (top - tick) * scale:.1f}", f"{abs(tick):,.0f}")
        for tick in dict.fromkeys(ticks)
    ]
    return format_html_join(
        "",
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{{0}}" y2="{{0}}"/>'
        f'<text x="{LEFT - 6}" y="{{0}}" dy=".32em" text-anchor="end">{{1}}</text>',
        rows,
    )


def _date_labels(days: Sequence[date], day_width: float) -> SafeString:
    step = max(1, -(-len(days) // MAX_DATE_LABELS))
    rows = [
        (f"{LEFT + (i + 0.5) * day_width:.1f}", date_format(day, "j M"))
        for i, day in enumerate(days)
        if i % step == 0
    ]
    return format_html_join(
        "", f'<text x="{{}}" y="{HEIGHT - 4}" text-anchor="middle">{{}}</text>', rows
    )
