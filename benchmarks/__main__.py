"""`make bench`: measure, print a table, and write benchmarks/latest.json.

`make bench PART=sending` measures one part and keeps the other figures.
"""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import admin, ingest, planning, search, selection, sending, site

LATEST = Path(__file__).with_name("latest.json")

PARTS = {
    "selection": selection.measure,
    "ingest": ingest.measure,
    "planning": planning.measure,
    "sending": sending.measure,
    "search": search.measure,
    "site": site.measure,
    "admin": admin.measure,
}


def main(names: list[str]) -> None:
    figures: dict[str, dict[str, float | int]] = {}
    for name in names or PARTS:
        figures |= PARTS[name]()
    table = Table("part", "measure", "value")
    for part, measures in figures.items():
        for name, value in measures.items():
            table.add_row(part, name, f"{value:,.4g}")
    Console().print(table)
    earlier = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    LATEST.write_text(json.dumps(earlier | figures, indent=2) + "\n")


main(sys.argv[1:])
