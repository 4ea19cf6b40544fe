"""Evaluate the production ranking on recorded sets, beside baselines."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from digest.ranking import onnx_model
from digest.ranking.co_readership import MIN_SHARED_READERS
from digest.ranking.evaluation import (
    BEHIND,
    LOWER_IS_BETTER,
    Embed,
    Evaluation,
    count_behind,
    evaluate,
)
from digest.ranking.relevance import InterestQuery

TOPICS = Path(__file__).resolve().parents[2] / "fixtures" / "topics.json"


class Command(BaseCommand):
    help = "Measure the ranking on recorded sets of readers, days or claims, beside baselines. Needs no database; EMBEDDING_FOLDER is used."
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
            help=f"Rank as the pages find related papers, by text and by pairs of papers that at least this many readers of the set follow. Pages use {MIN_SHARED_READERS}.",
        )
        parser.add_argument(
            "--rankings", type=Path, help="Write every ranking here, one a line."
        )
        parser.add_argument("--json", type=Path, help="Write the measures here.")

    def handle(self, *args: Any, **options: Any) -> None:
        summaries = {}
        lines = []
        embed, min_shared = load_embed(), options["others"]
        for path in options["path"]:
            try:
                about, results = evaluate(
                    path, options["readers"], embed, min_shared, load_topics()
                )
            except (OSError, ValueError, KeyError) as problem:
                raise CommandError(f"{path} is not a set: {problem!r}") from problem
            key = "day" if (path / "days.jsonl").exists() else "reader"
            if min_shared and key == "reader":
                name = about.get("name", path)
                about["name"] = (
                    f"{name}, related papers, pairs of {min_shared}+ readers"
                )
            print_table(self.stdout, path, about, results)
            summaries[str(path)] = summarize(about, results)
            rankings = results["production"].rankings.items()
            lines += [json.dumps({key: n, "ranking": ids}) for n, ids in rankings]
        if options["rankings"]:
            options["rankings"].write_text("".join(f"{line}\n" for line in lines))
        if options["json"]:
            options["json"].write_text(json.dumps(summaries, indent=2) + "\n")


def load_embed() -> Embed | None:
    if not settings.EMBEDDING_FOLDER:
        return None
    try:
        return onnx_model.load_folder(settings.EMBEDDING_FOLDER).embed
    except onnx_model.UnusableModel as problem:
        raise CommandError(f"{problem} {problem.hint}") from problem


def load_topics() -> dict[str, InterestQuery]:
    """Read the shipped topics, which the set of claims names by slug."""
    rows = [row["fields"] for row in json.loads(TOPICS.read_text())]
    return {
        row["slug"]: InterestQuery(
            "topic",
            row["name"],
            row["description"],
            tuple(row["keywords"]),
            tuple(row["categories"]),
        )
        for row in rows
    }


def summarize(about: dict[str, Any], results: dict[str, Evaluation]) -> dict[str, Any]:
    """The mean and 95 % interval of each measure of each ranker, for machines."""
    rankers = {
        name: {
            measure: {
                "mean": round(mean, 4),
                "low": round(low, 4),
                "high": round(high, 4),
            }
            for measure, (mean, low, high) in result.summary().items()
        }
        for name, result in results.items()
    }
    return {
        "name": about.get("name"),
        "metric": about.get("metric"),
        "count": len(results["production"].rankings),
        "rankers": rankers,
    }


def print_table(
    out: Any, path: Path, about: dict[str, Any], results: dict[str, Evaluation]
) -> None:
    summaries = {name: result.summary() for name, result in results.items()}
    names = list(next(iter(summaries.values())))
    names.sort(key=lambda name: (name != about.get("metric"), name))
    count = len(results["production"].rankings)
    table = Table("ranker", *names, title=f"{about.get('name', path)}: {count}")
    for ranker, summary in summaries.items():
        cells = [
            format_cell(summary[name]) if name in summary else "" for name in names
        ]
        table.add_row(ranker, *cells)
    measure = next((name for name in ("ap", "top5") if name in names), "")
    if measure:
        behind, compared = count_behind(results, measure)
        table.caption = (
            f"production is more than {BEHIND} of {measure} below the best of the others"
            f" for {behind} of {compared}"
        )
    elif names and names[0] in LOWER_IS_BETTER:
        table.caption = f"{names[0]}: lower is better"
    stream: TextIO = out
    Console(file=stream, width=150).print(table)


def format_cell(summary: tuple[float, float, float]) -> str:
    mean, low, high = summary
    return f"{mean:.3f} ({low:.3f}-{high:.3f})"
