"""The same file into the same PostgreSQL, by hand, by dlt and by Bulkhead, in turn: seconds, and ratios to the bare upsert.

Bulkhead's seconds are from the first byte of the upload to ``succeeded`` by the ledger, on the embedded stack with everything
on: S3, event, Lambda, Temporal, all checks, Data Docs, batches in S3, lineage, ledger. The others read the file from disk.
*Again* is the same file once more, into the table that has it all. Each round has files of its own, in which nothing was seen
before; before each load the table is emptied, and what is to be written to disk is written. ``make bench`` runs it.

With ``--trees`` the files are real trees (benchmarks/real_data/trees.py) in the order of their source.

    python -m benchmarks.peers [--records 1000000] [--rounds 5] [--only NAME ...] [--keep FILE] [--draw FOLDER]
    python -m benchmarks.peers --trees taxa china paths [--cache FOLDER] [--rounds 5] [--only NAME ...] [--keep FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks import data, measure
from benchmarks.peers import bare
from benchmarks.real_data import trees
from benchmarks.scale import a_stack, warm
from pipeline.client.api import Client
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.settings import ROOT

PEERS = ROOT / ".venv" / "peers" / "bin" / "python"
"""The Python that has dlt; the Makefile sees to it."""

Make = Callable[[Path, int], tuple[Path, int]]
"""Writes the file of a round into a folder, and returns it with the number of its records."""

BASE = "bare upsert"


class Contest:
    """One PostgreSQL, with a table for each kind of contestant, and a stack around it."""

    def __init__(self, url: str, client: Client, folder: Path) -> None:
        self._url = url
        self._client = client
        self._folder = folder
        with psycopg.connect(url) as connection:
            connection.execute(bare.SCHEMA)
        self.contestants: dict[str, Callable[[Path, int], float]] = {
            BASE: self._bare,
            "bare upsert, again": self._bare_again,
            "bare upsert, two connections": self._in_parts,
            "dlt, Arrow": lambda file, records: self._dlt("arrow", file, records),
            "dlt, rows": lambda file, records: self._dlt("rows", file, records),
            "Bulkhead": self._bulkhead,
            "Bulkhead, again": self._bulkhead_again,
        }
        """Each takes a file and the number of its records, and returns seconds. *Again* follows its first time."""

    def _bare(self, file: Path, records: int) -> float:
        self._empty(bare.TABLE)
        return self._timed(lambda: bare.upsert(self._url, file), bare.TABLE, records)

    def _bare_again(self, file: Path, records: int) -> float:
        self._settle()
        return self._timed(lambda: bare.upsert(self._url, file), bare.TABLE, records)

    def _in_parts(self, file: Path, records: int) -> float:
        self._empty(bare.TABLE)
        return self._timed(lambda: bare.upsert_in_parts(self._url, file), bare.TABLE, records)

    def _timed(self, load: Callable[[], None], table: str, records: int) -> float:
        began = time.perf_counter()
        load()
        seconds = time.perf_counter() - began
        self._demand(table, records)
        return seconds

    def _dlt(self, kind: str, file: Path, records: int) -> float:
        """In a process of its own, which says how long it took without its imports."""
        schema = f"dlt_{kind}"
        self._empty(bare.TABLE, f"warehouse.{data.DATASET}")
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            command = [str(PEERS), str(Path(__file__).with_name("dlt_merge.py")), self._url, str(file), kind, schema, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"dlt: {done.stderr}")
        self._demand(f"{schema}.records", records)
        with psycopg.connect(self._url) as connection:
            for name in (schema, f"{schema}_staging"):
                connection.execute(f"drop schema if exists {name} cascade")
        return float(done.stdout)

    def _bulkhead(self, file: Path, records: int) -> float:
        self._empty(f"warehouse.{data.DATASET}")
        return self._import(file, records, Options(), "inserted")

    def _bulkhead_again(self, file: Path, records: int) -> float:
        self._settle()
        return self._import(file, records, Options(force=True), "unchanged")

    def _import(self, file: Path, records: int, options: Options, expected: str) -> float:
        began = time.time()
        one = self._client.upload(file, data.DATASET, options=options)
        one = self._client.wait(one["id"], timeout=3600)
        if (one["state"], one["counts"][expected]) != (State.SUCCEEDED, records):
            raise RuntimeError(f"The import ended as {one['state']}: {one['counts']} {one.get('reason')}")
        self._demand(f"warehouse.{data.DATASET}", records)
        return datetime.fromisoformat(one["finished_at"]).timestamp() - began

    def _empty(self, *tables: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for table in tables:
                connection.execute(f"truncate {table}")
        self._settle()

    def _settle(self) -> None:
        """Flush all writes to disk, so that no run is slowed down by the one before it."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("checkpoint")

    def _demand(self, table: str, records: int) -> None:
        with psycopg.connect(self._url) as connection:
            found = connection.execute(f"select count(*) from {table}").fetchone()
        if found != (records,):
            raise RuntimeError(f"{records:,} records were to be in {table}; {found} are there.")


def synthetic(records: int) -> dict[str, Make]:
    """Files of so many records, by their order."""

    def made(folder: Path, number: int, *, shuffled: bool) -> tuple[Path, int]:
        return data.make_file(folder / "records.csv", records, shuffled=shuffled, seed=number), records

    return {"shuffled": partial(made, shuffled=True), "parents first": partial(made, shuffled=False)}


def real(names: Iterable[str], cache: Path) -> dict[str, Make]:
    """Files of real trees, by name."""

    def made(folder: Path, number: int, *, name: str) -> tuple[Path, int]:
        return trees.make_file(folder / "records.csv", trees.TREES[name](cache), seed=number)

    return {name: partial(made, name=name) for name in names}


def contest(files: Mapping[str, Make], rounds: int, names: Iterable[str] | None) -> dict[str, Any]:
    """Seconds of every contestant in every round, by file."""
    found: dict[str, dict[str, list[float]]] = {order: {} for order in files}
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        with a_stack(folder / "home", folder / "root") as stack:
            client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
            warm(client, folder)
            one = Contest(stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"], client, folder)
            for number in range(rounds):
                for order, make in files.items():
                    file, records = make(folder, number + 1)
                    for name in names or one.contestants:
                        seconds = one.contestants[name](file, records)
                        found[order].setdefault(name, []).append(seconds)
                        print(f"{number + 1} {order:14} {name:30} {seconds:8.2f} s", flush=True)
    return {order: _summary(times) for order, times in found.items()}


def _summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians; a ratio is the median of the ratios of the rounds, each to its own round's bare upsert."""
    base = times.get(BASE)
    return {
        name: {
            "seconds": round(median(seconds), 2),
            "ratio": round(median(one / floor for one, floor in zip(seconds, base, strict=True)), 2) if base else None,
            "rounds": [round(one, 2) for one in seconds],
        }
        for name, seconds in times.items()
    }


def versions_of_peers() -> dict[str, str]:
    """What else was measured."""
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in ('dlt', 'psycopg2-binary')}))"
    with suppress(OSError):
        found: dict[str, str] = json.loads(subprocess.run([PEERS, "-c", code], capture_output=True, check=True).stdout)
        return found
    return {}


def main() -> None:
    """Measure, print, and with --keep write results/peers.json; with --draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trees", nargs="+", metavar="NAME", choices=trees.TREES, help="real trees instead")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where the packages of the real trees are kept")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contestants alone")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="draw it, as SVG")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = real(asked.trees, asked.cache or Path(scratch)) if asked.trees else synthetic(asked.records)
        found: dict[str, Any] = {"peers": versions_of_peers(), "orders": contest(files, asked.rounds, asked.only)}
    if not asked.trees:
        found["records"] = asked.records
    for order, times in found["orders"].items():
        print(f"\n{order}")
        for name, one in times.items():
            print(f"  {name:30} {one['seconds']:8.2f} s   {one['ratio']}")
    if asked.keep:
        measure.keep(asked.keep, found)
    if asked.draw:
        drawn = [str(PEERS), str(Path(__file__).with_name("draw.py")), str(asked.draw)]
        subprocess.run(drawn, input=json.dumps(found), text=True, check=True)


if __name__ == "__main__":
    main()
