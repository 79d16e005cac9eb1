"""An audit of what is loaded, in the embedded PostgreSQL: the export, the checks in the sandbox, and both together.

The floor is DuckDB alone, which reads the same exported table into typed columns and aggregates over ``id`` by hash, in a
child process of the same kind (measure.floor_of). *Plain* has the built-in checks and the six expectations of the benchmark's
suite; *ruled* has limits of depth and children and unique siblings besides. Run it by ``make bench BENCH=audit``.

    python -m benchmarks.audit [--records 1000000] [--rounds 5] [--keep FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from benchmarks import data, measure
from pipeline.adapters import postgres as adapter
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.local import postgres
from pipeline.local.stack import Stack
from pipeline.sandbox import audit_table, process
from pipeline.settings import ROOT
from pipeline.warehouse import migrate
from pipeline.warehouse.table_export import export_table

PEAK_MIB = 1024
"""What the child may need at most, whatever the table's size; more is an error of the benchmark."""

BOUNDS = {"max_depth": 100, "max_children": 5, "min_depth": 1}
RULES = {"unique_siblings": {"columns": ["name"], "folded": True}}


class Audit:
    """One table to audit, with what each audit of it took."""

    def __init__(self, engine: Engine, dataset: Dataset, folder: Path) -> None:
        self._engine = engine
        self._dataset = dataset
        self._folder = folder
        self.export_seconds: list[float] = []
        self.peak_mib = self.errors = 0

    def run(self) -> float:
        """Seconds for the whole audit."""
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            began = time.perf_counter()
            exported = export_table(self._engine, self._dataset, Path(scratch) / audit_table.TABLE)
            self.export_seconds.append(time.perf_counter() - began)
            given = (Path(scratch), self._dataset, exported.records, exported.longest_bytes)
            peak, self.errors = process.run(measure.audited, *given, **measure.LIMITS)
            seconds = time.perf_counter() - began
        self.peak_mib = max(self.peak_mib, peak)
        if self.peak_mib > PEAK_MIB:
            raise RuntimeError(f"The audit needed {self.peak_mib} MiB; at most {PEAK_MIB} MiB are allowed.")
        return seconds


def fill(url: str, file: Path) -> None:
    """Put the records of a file into the table."""
    columns = ", ".join(f'"{name}"' for name in data.COLUMNS)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"create temporary table arriving on commit drop as select {columns} from warehouse.bench with no data")
        with cursor.copy(f"copy arriving ({columns}) from stdin (format csv, header)") as copy, file.open("rb") as text:
            while piece := text.read(1 << 20):
                copy.write(piece)
        cursor.execute(
            f"""insert into warehouse.bench ({columns}, _import_id, _row)
            select {columns}, gen_random_uuid(), row_number() over () from arriving"""
        )


def measured(url: str, dataset: Dataset, file: Path, folder: Path, rounds: int) -> dict[str, object]:
    """Plain and ruled audits beside the floor, all in turn."""
    engine = adapter.connect(url, pool_size=1)
    meta = {**dataset.suite["meta"], "bounds": BOUNDS, "rules": RULES}
    ruled = replace(dataset, suite={**dataset.suite, "meta": meta})
    audits = {"plain": Audit(engine, dataset, folder), "ruled": Audit(engine, ruled, folder)}
    runs = {name: one.run for name, one in audits.items()}
    times = measure.alternating(rounds, floor=lambda: measure.floor_of(file), **runs)
    engine.dispose()
    return {
        name: {
            "seconds": round(times[name], 3),
            "export_seconds": round(sorted(one.export_seconds)[len(one.export_seconds) // 2], 3),
            "floor_seconds": round(times["floor"], 3),
            "ratio": round(times[name] / times["floor"], 2),
            "errors": one.errors,
            "peak_mib": one.peak_mib,
        }
        for name, one in audits.items()
    }


def main() -> None:
    """Measure, print, and with --keep write results/audit.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        dataset = load_dataset(data.DATASET, folder / "root")
        file = data.make_file(folder / "tree.csv", asked.records, shuffled=True)
        process.warm()
        with Stack(folder / "home", components=("postgres",)) as stack:
            url = postgres.url(stack.home)
            migrate.migrate(url, root=folder / "root")
            fill(url, file)
            found = measured(url, dataset, file, folder, asked.rounds)
    for name, values in found.items():
        print(f"{name:8} {asked.records:,} records  " + "  ".join(f"{key} {value:,}" for key, value in values.items()))  # type: ignore[attr-defined]
    if asked.keep:
        measure.keep(asked.keep, {"records": asked.records, "rounds": asked.rounds, **found})


if __name__ == "__main__":
    main()
