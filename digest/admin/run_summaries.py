"""The ledger of ingest in an operator's words: what was read, what came of it, what is next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from digest.ingest import rerun
from digest.ingest.rerun import Road
from digest.models import IngestRun

State = IngestRun.State
# Older failures are history: the sources are read again every day.
RECENT = timedelta(days=2)
# A day and a half of a busy ledger, nearly all of it Hugging Face's lists.
LOOKED_AT = 300
_ORDER = {State.FAILED: 0, State.RUNNING: 1, State.DONE: 2}


@dataclass(frozen=True)
class Reading:
    """One reading, or one round of Hugging Face's lists, for the first page."""

    run: IngestRun
    title: str
    state: str
    text: str
    next: str


def recent(now: datetime, most: int) -> list[Reading]:
    """The latest readings, those first that failed and were not made good since."""
    rows = IngestRun.objects.order_by("-started_at", "-pk")[:LOOKED_AT]
    found, met = [], set()
    for run, runs in _rounds(rows):
        what = _what(run)
        if run.state == State.DONE or what not in met:
            found.append(_reading(run, runs, now))
        if run.state == State.DONE:
            met.add(what)
    first = [one for one in found if one.run.started_at > now - RECENT]
    rest = [one for one in found if one.run.started_at <= now - RECENT]
    return [*sorted(first, key=lambda one: _ORDER[State(one.state)]), *rest][:most]


def _rounds(rows: Iterable[IngestRun]) -> Iterable[tuple[IngestRun, list[IngestRun]]]:
    """Runs one by one, the lists of one round together behind the worst of them."""
    for _, group in groupby(rows, key=_round):
        runs = list(group)
        yield min(runs, key=lambda run: _ORDER[State(run.state)]), runs


def _round(run: IngestRun) -> tuple[str, object]:
    is_list = rerun.road(run) == Road.LIST
    return ("list", run.started_at) if is_list else ("run", run.pk)


def _what(run: IngestRun) -> tuple[object, ...]:
    """What was read: a later reading of the same makes good for one that failed."""
    road = rerun.road(run)
    if road in {Road.FEED, Road.LIST, Road.WANTED}:
        return (road,)
    if road == Road.CHECK:
        return road, run.part
    return road, run.origin, run.part, run.window_from, run.window_until


def _reading(run: IngestRun, runs: list[IngestRun], now: datetime) -> Reading:
    text = run.error if run.state == State.FAILED else _outcome(runs)
    name = title(run)
    if len(runs) > 1:
        name = f"Hugging Face, {len(runs)} days"
        text = f"{title(run)}: {text}" if run.state == State.FAILED else text
    return Reading(run, name, run.state, text, rerun.what_next(run, now))


def _outcome(runs: list[IngestRun]) -> str:
    said = ", ".join(dict.fromkeys(run.outcome for run in runs if run.outcome))
    return ": ".join(filter(None, (brought(*runs), said)))


def title(run: IngestRun) -> str:
    """What was read, in a few words."""
    match rerun.road(run):
        case Road.FEED:
            return "arXiv's feed"
        case Road.LIST:
            return f"Hugging Face, {_day(run.window_from)}"
        case Road.CHECK:
            return f"Daily check of {run.part}, since {_day(run.window_from)}"
        case Road.WINDOW:
            until = f"to {_day(run.window_until)}" if run.window_until else "on"
            return f"Harvest of {run.part} from {_day(run.window_from)} {until}"
        case Road.PAPER:
            return f"Paper {run.part}"
        case Road.WANTED:
            return "Papers of readers' lists"
        case _:
            return Path(run.origin).name


def _day(day: date | None) -> str:
    return f"{day.day} {day:%b}" if day else "?"


def brought(*runs: IngestRun) -> str:
    """What became of its papers, in numbers; those that are nought are left out."""
    counts = {
        name: sum(getattr(run, name) for run in runs)
        for name in ("new", "updated", "unchanged", "withdrawn", "signals")
    }
    said = [f"{count:,} {name}" for name, count in counts.items() if count]
    is_done = all(run.state == State.DONE for run in runs)
    return ", ".join(said) or ("nothing" if is_done else "")
