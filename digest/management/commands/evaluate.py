"""The door of evaluation: the production ranking on recorded sets, beside baselines."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from digest.ranking import lsa, onnx_model
from digest.ranking.co_readership import MIN_SHARED_READERS
from digest.ranking.evaluation import BEHIND, Fit, Found, behind, evaluate


class Command(BaseCommand):
    help = "Measure the ranking on recorded sets of readers or days, beside baselines. Needs no database; EMBEDDING_FOLDER counts."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="+", type=Path, help="A set's folder.")
        parser.add_argument(
            "--readers", default="", help="Another readers file of the set."
        )
        parser.add_argument(
            "--others",
            type=int,
            default=0,
            metavar="COUNT",
            help=f"Rank as the pages find related papers, by text and by pairs of papers that at least so many readers of the set follow. The service says {MIN_SHARED_READERS}.",
        )
        parser.add_argument(
            "--rankings", type=Path, help="Write every ranking here, one a line."
        )
        parser.add_argument("--json", type=Path, help="Write the measures here.")

    def handle(self, *args: Any, **options: Any) -> None:
        results = {}
        lines = []
        fit = fit_of_production()
        for path in options["path"]:
            try:
                about, found = evaluate(
                    path, options["readers"], fit, options["others"]
                )
            except (OSError, ValueError, KeyError) as problem:
                raise CommandError(f"{path} is not a set: {problem!r}") from problem
            key = "day" if (path / "days.jsonl").exists() else "reader"
            if (count := options["others"]) and key == "reader":
                name = about.get("name", path)
                about["name"] = f"{name}, related papers, pairs of {count}+ readers"
            show(self.stdout, path, about, found)
            results[str(path)] = summaries(about, found)
            rankings = found["production"].rankings.items()
            lines += [json.dumps({key: n, "ranking": ids}) for n, ids in rankings]
        if options["rankings"]:
            options["rankings"].write_text("".join(f"{line}\n" for line in lines))
        if options["json"]:
            options["json"].write_text(json.dumps(results, indent=2) + "\n")


def fit_of_production() -> Fit:
    """What makes the vectors here: the folder of the settings, else a fit of our own."""
    if not settings.EMBEDDING_FOLDER:
        return lsa.fit
    try:
        folder = onnx_model.load(settings.EMBEDDING_FOLDER)
    except onnx_model.Unusable as problem:
        raise CommandError(f"{problem} {problem.hint}") from problem
    return lambda texts: onnx_model.fit(folder, texts[: onnx_model.FIT_ON])


def summaries(about: dict[str, Any], found: dict[str, Found]) -> dict[str, Any]:
    """What a machine reads: mean and 95 % interval of each measure of each ranker."""
    rankers = {
        name: {
            measure: {
                "mean": round(mean, 4),
                "low": round(low, 4),
                "high": round(high, 4),
            }
            for measure, (mean, low, high) in one.summary().items()
        }
        for name, one in found.items()
    }
    counted = len(found["production"].rankings)
    return {
        "name": about.get("name"),
        "metric": about.get("metric"),
        "count": counted,
        "rankers": rankers,
    }


def show(out: Any, path: Path, about: dict[str, Any], found: dict[str, Found]) -> None:
    """A table: a ranker a row, the main measure first."""
    rows = {name: one.summary() for name, one in found.items()}
    names = list(next(iter(rows.values())))
    names.sort(key=lambda name: (name != about.get("metric"), name))
    count = len(found["production"].rankings)
    table = Table("ranker", *names, title=f"{about.get('name', path)}: {count}")
    for ranker, summary in rows.items():
        table.add_row(ranker, *(cell(summary[name]) for name in names))
    measure = "ap" if "ap" in names else "top5"
    fewer, of = behind(found, measure)
    table.caption = (
        f"production is more than {BEHIND} of {measure} below the best of the others "
        f"for {fewer} of {of}"
    )
    stream: TextIO = out
    Console(file=stream, width=150).print(table)


def cell(summary: tuple[float, float, float]) -> str:
    mean, low, high = summary
    return f"{mean:.3f} ({low:.3f}-{high:.3f})"
