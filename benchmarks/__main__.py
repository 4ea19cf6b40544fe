"""`make bench`: measure, print a table, and write benchmarks/latest.json."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import ingest, selection

LATEST = Path(__file__).with_name("latest.json")


def main() -> None:
    figures = selection.measure() | ingest.measure()
    table = Table("part", "measure", "value")
    for part, measures in figures.items():
        for name, value in measures.items():
            table.add_row(part, name, f"{value:,.4g}")
    Console().print(table)
    LATEST.write_text(json.dumps(figures, indent=2) + "\n")


main()
