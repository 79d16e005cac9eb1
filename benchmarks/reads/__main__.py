"""What the pages of the API ask of a large table, while nothing else goes on and beside a load; and what a page would cost
without the index on the parent, which is what it stands beside.

    python -m benchmarks.reads [--records 10000000] [--rounds 2000] [--loads 2] [--keep FILE]
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from benchmarks import data, measure
from benchmarks.reads import report
from benchmarks.reads.load_beside import loading
from benchmarks.reads.questions import FLOOR, PAGE, asked, descendants, questions, without_index
from benchmarks.reads.table import Table
from pipeline.adapters import postgres
from pipeline.datasets.dataset import load_dataset
from pipeline.local.stack import Stack
from pipeline.settings import ROOT
from pipeline.warehouse import migrate
from pipeline.warehouse.query.records import statement


def main() -> None:
    """Measure, print, and with --keep write results/reads.json."""
    given = arguments()
    random.seed(4)
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        with Stack(folder / "home", components=("postgres",)) as stack:
            url = stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"]
            migrate.migrate(url, root=folder / "root")
            table = Table(url, load_dataset(data.DATASET, folder / "root"), given.records)
            found = compared(table, folder, given)
    print(*report.lines(found), sep="\n")
    if given.keep:
        measure.keep(given.keep, found)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--scans", type=int, default=5, help="rounds without the index")
    parser.add_argument("--loads", type=int, default=2, help="parts that are loaded at once beside the reads")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    return parser.parse_args()


def compared(table: Table, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Measure quiet, beside a load, and without the index."""
    found: dict[str, Any] = {"records": table.records, "loads": given.loads, "fill_seconds": round(table.fill(), 1)}
    engine = postgres.connect(table.url, pool_size=1, name="bench reads")
    try:
        measured(table, engine, max(given.rounds // 10, 1))  # what is read first comes from the disk
        found["quiet"] = measured(table, engine, given.rounds)
        with loading(table, folder / "root", folder, given.loads) as speed:
            found["loading"] = measured(table, engine, given.rounds)
            found["loaded_a_second"] = round(speed())
        found["index"] = without_index(engine, table, given.rounds, given.scans)
    finally:
        engine.dispose()
    return found


def measured(table: Table, engine: Engine, rounds: int) -> dict[str, Any]:
    """Ask every question, so many times."""
    with engine.connect() as connection:
        found = {
            name: asked(connection, statement(query, table.dataset).text, values, rounds)
            for name, (query, values) in questions(table).items()
        }
        found["floor: no table at all"] = asked(connection, FLOOR, dict, rounds)
    found[f"page of {PAGE} descendants"] = descendants(engine, table, max(rounds // 10, 1))
    return {**found, "load average": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    main()
