"""Describe ingest runs for operators: what was read, the result, what happens next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from digest.ingest import rerun
from digest.models import IngestRun

Kind, State = IngestRun.Kind, IngestRun.State

# Failures of the last days are listed first; older ones were repeated since.
RECENT = timedelta(days=2)
# Runs of a day and a half on a busy site, most of them lists of Hugging Face.
MAX_RUNS_READ = 300
_STATE_ORDER = {State.FAILED: 0, State.RUNNING: 1, State.DONE: 2}


@dataclass(frozen=True)
class RunSummary:
    """One run, or one round of Hugging Face's lists, for the dashboard."""

    run: IngestRun
    title: str
    state: str
    text: str
    next: str


def recent_summaries(now: datetime, limit: int) -> list[RunSummary]:
    """Summarise the newest runs; first those that failed and have not succeeded since."""
    runs = IngestRun.objects.newest_first()[:MAX_RUNS_READ]
    summaries, succeeded = [], set()
    for worst, group in _group_rounds(runs):
        key = _subject(worst)
        if worst.state == State.DONE or key not in succeeded:
            summaries.append(_summarize_group(worst, group, now))
        if worst.state == State.DONE:
            succeeded.add(key)
    recent = [summary for summary in summaries if summary.run.started_at > now - RECENT]
    older = [summary for summary in summaries if summary.run.started_at <= now - RECENT]
    recent.sort(key=lambda one: _STATE_ORDER[State(one.state)])
    return [*recent, *older][:limit]


def _group_rounds(
    runs: Iterable[IngestRun],
) -> Iterable[tuple[IngestRun, list[IngestRun]]]:
    """Pair each run, or each round of Hugging Face's lists, with its worst run."""
    for _, group in groupby(runs, key=_round_key):
        members = list(group)
        yield min(members, key=lambda run: _STATE_ORDER[State(run.state)]), members


def _round_key(run: IngestRun) -> tuple[str, object]:
    if run.kind == Kind.HUGGINGFACE:
        return run.kind, run.started_at
    return run.kind, run.pk


def _subject(run: IngestRun) -> tuple[object, ...]:
    """What was read: a later success with the same subject replaces a failure."""
    if run.kind in (Kind.HUGGINGFACE, Kind.PENDING_PAPERS):
        return (run.kind,)
    if run.kind == Kind.FEED:
        return run.kind, *run.categories
    if run.kind == Kind.DAILY_CHECK:
        return run.kind, run.set_spec
    window = (run.set_spec, run.window_from, run.window_until)
    return run.kind, run.origin, run.paper_identifier, *window


def _summarize_group(
    run: IngestRun, group: list[IngestRun], now: datetime
) -> RunSummary:
    title, text = describe_run(run), run.error
    if run.state != State.FAILED:
        text = _describe_result(group)
    if len(group) > 1:
        text = f"{title}: {text}" if run.state == State.FAILED else text
        title = f"Hugging Face, {len(group)} days"
    return RunSummary(run, title, run.state, text, rerun.next_step(run, now))


def _describe_result(runs: list[IngestRun]) -> str:
    notes = ", ".join(dict.fromkeys(run.note for run in runs if run.note))
    return ": ".join(filter(None, (describe_counts(*runs), notes)))


def describe_run(run: IngestRun) -> str:
    match run.kind:
        case Kind.FEED:
            return "arXiv feed"
        case Kind.HUGGINGFACE:
            return f"Hugging Face, {_format_day(run.window_from)}"
        case Kind.DAILY_CHECK:
            return (
                f"Daily check of {run.set_spec}, since {_format_day(run.window_from)}"
            )
        case Kind.HARVEST:
            end = f"to {_format_day(run.window_until)}" if run.window_until else "on"
            return (
                f"Harvest of {run.set_spec} from {_format_day(run.window_from)} {end}"
            )
        case Kind.PAPER:
            return f"Paper {run.paper_identifier}"
        case Kind.PENDING_PAPERS:
            return "Papers of reading lists"
        case _:
            return Path(run.origin).name


def _format_day(day: date | None) -> str:
    return f"{day.day} {day:%b}" if day else "?"


def describe_counts(*runs: IngestRun) -> str:
    counts = {
        name: sum(getattr(run, name) for run in runs)
        for name in ("new", "updated", "unchanged", "withdrawn", "restored", "samples")
    }
    counts["refused"] = sum(len(run.refused_records) for run in runs)
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    is_done = all(run.state == State.DONE for run in runs)
    return ", ".join(parts) or ("nothing new" if is_done else "")
