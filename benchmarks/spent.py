"""What each microsecond a record is spent on, from the upload to ``succeeded``, beside what no pipeline can do without.

The import's states by the ledger, on the embedded stack with everything on; the steps of its validation, timed in a child of
the sandbox that does the same once more; and the two limits in the same run: DuckDB that reads the file and aggregates over the
key, and a bare upsert of the same records over two connections.

    python -m benchmarks.spent [--trees taxa] [--records 1000000] [--cache FOLDER] [--keep FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import data, measure, validation_steps
from benchmarks.peers import bare
from benchmarks.real_data import trees
from benchmarks.scale import a_stack, demand_success, seconds_in_states, warm
from pipeline.client.api import Client
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.local.stack import Stack
from pipeline.prepare.manifest import BatchSizes
from pipeline.sandbox import process, validate_file
from pipeline.settings import ROOT, Settings

WAIT_SECONDS = 3600.0


def steps_of(file: Path, dataset: Dataset) -> dict[str, list[float]]:
    """Return the seconds and the processor seconds of each step of a file's validation, in a child of the sandbox."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        (Path(folder) / validate_file.SOURCE).symlink_to(file)
        limits: Any = measure.LIMITS
        found: dict[str, list[float]] = process.run(
            validation_steps.timed, Path(folder), dataset, _sizes(), **limits, answer=lambda _: None
        )
        return found


def _sizes() -> BatchSizes:
    settings = Settings()
    return BatchSizes("spent", settings.batch_records, settings.batches_per_part)


def measured(file: Path, records: int, folder: Path) -> dict[str, Any]:
    """Return the microseconds a record of each state, of each step of the validation, and of the limits."""
    root = folder / "root"
    data.make_dataset(root, ROOT)
    with a_stack(folder / "home", root) as stack:
        client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
        warm(client, folder)
        states = _states(client, stack, file, records)
        upsert = _bare_upsert(stack, file)
    steps = steps_of(file, load_dataset(data.DATASET, root))
    reading = measure.floor_of(file)

    def each(seconds: float) -> float:
        return round(seconds / records * 1e6, 2)

    return {
        "records": records,
        "states": {name: each(seconds) for name, seconds in states.items()},
        "steps of the validation": {name: each(seconds) for name, (seconds, _) in steps.items()},
        "processors of its steps": {name: each(cpu) for name, (_, cpu) in steps.items()},
        "limits": {"DuckDB reads and aggregates": each(reading), "bare upsert, two connections": each(upsert)},
    }


def _states(client: Client, stack: Stack, file: Path, records: int) -> dict[str, float]:
    """Import the file; return the seconds of its upload, of each state, and of all of it."""
    began = time.perf_counter()
    one = client.upload(file, data.DATASET)
    uploaded = time.perf_counter()
    one = client.wait(one["id"], timeout=WAIT_SECONDS)
    ended = time.perf_counter()
    demand_success(one, records)
    return {"upload": uploaded - began, **seconds_in_states(stack, one["id"]), "all of it": ended - began}


def _bare_upsert(stack: Stack, file: Path) -> float:
    url = stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute(bare.SCHEMA)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("checkpoint")
    began = time.perf_counter()
    bare.upsert_in_parts(url, file)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print, and with --keep write results/spent.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", nargs="*", metavar="NAME", choices=trees.TREES, default=[], help="real trees, by name")
    parser.add_argument("--records", type=int, default=1_000_000, help="of a synthetic tree, shuffled; 0: none")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where the packages of the trees are kept")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for name in (*(["shuffled"] if asked.records else []), *asked.trees):
        with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
            folder, file, records = Path(scratch), Path(scratch) / "records.csv", asked.records
            if name == "shuffled":
                data.make_file(file, records, shuffled=True)
            else:
                file, records = trees.make_file(file, trees.TREES[name](asked.cache or folder), seed=1)
            found[name] = measured(file, records, folder)
        _show(name, found[name])
    if asked.keep:
        measure.keep(asked.keep, found)


def _show(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['records']:,} records, microseconds a record")
    for kind, values in found.items():
        if isinstance(values, dict):
            print(f"  {kind:26}", "  ".join(f"{one} {value}" for one, value in values.items()), flush=True)


if __name__ == "__main__":
    main()
