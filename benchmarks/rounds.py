"""In how many rounds real trees are loaded, by the order of their parts and the number of workers.

    python -m benchmarks.rounds [--trees NAME ...] [--cache FOLDER] [--keep FILE]

A round is the time of one part: each worker loads one whose needed parts are all loaded. Files are cut into parts of the
usual size, once depth first and once by level; the seconds of that are kept too. The fewest possible rounds are the number of
parts divided by the number of workers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import measure
from benchmarks.real_data.trees import TREES, make_file
from pipeline.datasets.dataset import load_dataset
from pipeline.prepare import parents_first, parts
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.sqlfiles import literal
from pipeline.staging.database import StagingDatabase

WORKERS = (1, 2, 4, 8, 16, 64)
ORDERS = {"depth first": parents_first.RECORDS_MAX, "by level": 0}
"""How many records may be ordered depth first."""


def rounds(needs: Sequence[int], workers: int) -> int:
    """Return the rounds in which so many workers load parts, each of which needs all up to a number (``Part.needs``)."""
    waiting = list(range(1, len(needs) + 1))
    count = 0
    while waiting:
        loaded = waiting[0] - 1  # all parts up to this one are
        ready = [part for part in waiting if needs[part - 1] <= loaded][:workers]
        waiting = [part for part in waiting if part not in ready]
        count += 1
    return count


def cut(file: Path, folder: Path) -> tuple[Manifest, float]:
    """Cut a file of the benchmark's columns; return the manifest, and the seconds it took."""
    with StagingDatabase.in_memory(folder / "spill") as database, database.connect() as connection:
        read = f"read_csv({literal(str(file))}, all_varchar = true)"
        connection.execute(
            f"""create table incoming as
            select row_number() over () as _row, id, "parentId", name, kind as attributes from {read}"""
        )
        began = time.perf_counter()
        manifest = parts.cut(connection, load_dataset("records"), BatchSizes("rounds"), folder=folder / "parts")
        return manifest, time.perf_counter() - began


def measured(file: Path, folder: Path) -> dict[str, Any]:
    """Return what is found of one file, by order."""
    found = {}
    for order, most in ORDERS.items():
        with patch.object(parents_first, "RECORDS_MAX", most):
            manifest, seconds = cut(file, folder)
        needs = [part.needs for part in manifest.parts]
        found[order] = {
            "order": manifest.order,
            "spine": manifest.spine,
            "parts": len(needs),
            "seconds": round(seconds, 2),
            "rounds": {str(workers): rounds(needs, workers) for workers in WORKERS},
            "fewest": {str(workers): ceil(len(needs) / workers) for workers in WORKERS},
        }
    return found


def main() -> None:
    """Measure, print, and with --keep write results/rounds.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", nargs="+", metavar="NAME", choices=TREES, default=list(TREES))
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where the packages of the trees are kept")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        (folder / "spill").mkdir()
        for name in asked.trees:
            file, records = make_file(folder / "records.csv", TREES[name](asked.cache or folder), seed=1)
            found[name] = {"records": records, **measured(file, folder)}
            for order in ORDERS:
                one = found[name][order]
                print(f"{name:8} {records:9,} records  {order:12} {one['parts']:4} parts, spine {one['spine']:4}", end="  ")
                print("  ".join(f"{workers} workers {count}" for workers, count in one["rounds"].items()))
    if asked.keep:
        measure.keep(asked.keep, found)


if __name__ == "__main__":
    main()
