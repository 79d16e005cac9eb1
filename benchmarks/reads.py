"""What the pages of the API ask of a large table, while nothing else goes on and beside a load; and what a page would cost
without the index on the parent, which is what it stands beside.

    python -m benchmarks.reads [--records 10000000] [--rounds 2000] [--loads 2] [--keep FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import multiprocessing
import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, text

from benchmarks import data, measure
from pipeline.adapters import postgres
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.load.load_part import load_part
from pipeline.load.part_file import PartFile
from pipeline.local.stack import Stack
from pipeline.settings import ROOT
from pipeline.warehouse import migrate
from pipeline.warehouse.query import Records
from pipeline.warehouse.query.records import statement

PAGE = 50
WIDE_CHILDREN = 100
"""A fifth of the records hang in hundreds below few parents, one here and one there in the table, so that a page of 50 has 50
and finds each of them in another place. The others are a tree of fours."""
PART_RECORDS = 20_000

_FILL = """
insert into warehouse.bench (id, "parentId", name, kind, amount, note, _import_id, _row)
select
    i::text,
    case when i >= {tree} then ((i - {tree}) % {wide})::text when i > 0 then ((i - 1) / 4)::text end,
    'Record number ' || i,
    'kind ' || i % 7,
    (i % 100000) / 100.0,
    'What is to be said of the record number ' || i,
    '{import_id}',
    i + 1
from generate_series(0, {records} - 1) as i
"""


@dataclass(frozen=True)
class Table:
    """The records 0 to ``tree`` - 1 are a tree of fours; those from there on hang below the first ``wide`` of them."""

    url: str
    dataset: Dataset
    records: int

    @property
    def tree(self) -> int:
        """How many are in the tree of fours."""
        return self.records * 4 // 5

    @property
    def wide(self) -> int:
        """How many have hundreds of children."""
        return (self.records - self.tree) // WIDE_CHILDREN

    def fill(self) -> float:
        """Write all records, then the indexes, which is quickest; returns the seconds."""
        began = time.perf_counter()
        import_id = new_import(self.url)
        filled = _FILL.format(tree=self.tree, wide=self.wide, records=self.records, import_id=import_id)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("set maintenance_work_mem = '1GB'")
            connection.execute('drop index warehouse."bench_parentId_id"')
            connection.execute("alter table warehouse.bench drop constraint bench_pkey")
            connection.execute(filled)
            connection.execute("alter table warehouse.bench add primary key (id)")
            connection.execute('create index "bench_parentId_id" on warehouse.bench ("parentId", id)')
            connection.execute("vacuum (analyze) warehouse.bench")
        return time.perf_counter() - began


_BARE = """
select *
from warehouse.bench
where "parentId" = :parent and id > :after
order by id
limit :limit
"""
_FLOOR = "select sum(i) from generate_series(1, 4000) as i"
"""About half a millisecond of PostgreSQL's that touches no table: how it fares tells what the machine does to all others."""
CHILDREN = f"page of {PAGE} children"

Question = tuple[str, Callable[[], dict[str, Any]]]
"""A query of sql/queries/records_*.sql, and what makes its values, at random."""


def questions(table: Table) -> dict[str, Question]:
    """What is asked, by the name that it has in the results."""

    def wide() -> str:
        return str(random.randrange(table.wide))

    def inner() -> str:
        return str(random.randrange(table.wide, table.tree // 4 - 1))

    return {
        CHILDREN: ("children", lambda: {"parent": wide(), "after": "", "limit": PAGE}),
        "page of 4 children": ("children", lambda: {"parent": inner(), "after": "", "limit": PAGE}),
        "count of 104 children": ("children_counts", lambda: {"ids": [wide()], "most": None}),
        f"counts of {PAGE} parents": ("children_counts", lambda: {"ids": [inner() for _ in range(PAGE)], "most": None}),
        "ancestors of a leaf": ("ancestors", lambda: {"id": str(random.randrange(table.tree // 4, table.tree)), "limit": 100}),
    }


def asked(connection: Connection, sql: str, values: Callable[[], dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Milliseconds in the database (planning and execution, as it says itself), and until the rows are here."""
    explain = text(f"explain (analyze, timing off, summary on, format json) {sql}")
    inside, outside = [], []
    for _ in range(rounds):
        (plan,) = connection.execute(explain, values()).scalar_one()
        inside.append(plan["Planning Time"] + plan["Execution Time"])
        began = time.perf_counter()
        connection.execute(text(sql), values()).all()
        outside.append((time.perf_counter() - began) * 1000)
    return {"database": percentiles(inside), "client": percentiles(outside), "plan": in_short(plan["Plan"])}


def descendants(engine: Engine, table: Table, rounds: int) -> dict[str, Any]:
    """A page in reading order; it takes several statements, so only the client's time is to be had."""
    records, seen = Records(engine), []
    for _ in range(rounds):
        above = str(random.randrange(table.wide, table.tree // 64))
        began = time.perf_counter()
        records.descendants(table.dataset, above, cursor=None, limit=PAGE)
        seen.append((time.perf_counter() - began) * 1000)
    return {"client": percentiles(seen)}


def without_index(engine: Engine, table: Table, rounds: int, scans: int) -> dict[str, Any]:
    """The bare page of children (not asking whether they have children, which would be a scan for each) with the index on the
    parent, and without it: it is gone for that transaction only."""
    _, values = questions(table)[CHILDREN]
    with engine.connect() as connection:
        quick = asked(connection, _BARE, values, rounds)
        connection.exec_driver_sql('drop index warehouse."bench_parentId_id"')
        slow = asked(connection, _BARE, values, scans)
    ratio = round(slow["database"]["p50_ms"] / quick["database"]["p50_ms"])
    return {"with": quick, "without": slow, "ratio": ratio}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The median, the 99th percentile and the largest."""
    ordered = sorted(values)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
        "max_ms": round(ordered[-1], 3),
    }


def in_short(plan: dict[str, Any]) -> str:
    """A plan as its nodes, from the outside in."""
    name = " on ".join(filter(None, (plan["Node Type"], plan.get("Index Name") or plan.get("Relation Name"))))
    inner = ", ".join(in_short(one) for one in plan.get("Plans", []))
    return f"{name} ({inner})" if inner else name


# --- the load beside ---


def new_import(url: str) -> str:
    """Begin an import that is being loaded, in place of an earlier one: one of a dataset is at work."""
    import_id = str(uuid.uuid4())
    with psycopg.connect(url) as connection:
        connection.execute("update ledger.import set state = 'succeeded' where dataset = 'bench'")
        connection.execute("insert into ledger.import (id, dataset, state) values (%s, 'bench', 'loading')", (import_id,))
    return import_id


def load_on(table: Table, root: Path, folder: Path, import_id: str, number: int, over: Any, loaded: Any) -> None:
    """Load part after part of new records below the present ones, until ``over``. Runs in a process of its own.

    Each ``number`` of a process has parts and records of its own.
    """
    dataset, first = load_dataset(data.DATASET, root), table.records * (number + 2)
    path = folder / f"{import_id}-{number}.parquet"
    with psycopg.connect(table.url) as connection:
        for part_no in itertools.count(number * 1_000_000 + 1):
            if over.is_set():
                return
            first += PART_RECORDS
            pq.write_table(part_of(table, first), path, write_page_checksum=True)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            load_part(connection, dataset, PartFile(path, import_id, part_no, sha256))
            with loaded.get_lock():
                loaded.value += PART_RECORDS


def part_of(table: Table, first: int) -> pa.Table:
    """A part of new records, below parents anywhere in the tree of fours, in the order in which parts come."""
    ids = range(first, first + PART_RECORDS)
    parents = sorted(str(random.randrange(table.tree)) for _ in ids)
    return pa.table(
        {
            "_batch": pa.array([place // 200 + 1 for place in range(PART_RECORDS)], pa.int32()),
            "_row": pa.array([place + 1 for place in range(PART_RECORDS)], pa.int64()),
            "id": [str(one) for one in ids],
            "parentId": parents,
            "name": [f"Record number {one}" for one in ids],
            "kind": [f"kind {one % 7}" for one in ids],
            "amount": pa.array([one % 100000 for one in ids], pa.int32()),
            "note": [f"What is to be said of the record number {one}" for one in ids],
        }
    )


@contextmanager
def loading(table: Table, root: Path, folder: Path, loads: int) -> Iterator[Callable[[], float]]:
    """While so many processes load; gives a function for the records that all of them loaded a second so far."""
    processes = multiprocessing.get_context("spawn")
    over, loaded = processes.Event(), processes.Value("q", 0)
    import_id = new_import(table.url)
    at_work = [
        processes.Process(target=load_on, args=(table, root, folder, import_id, number, over, loaded))
        for number in range(loads)
    ]
    for process in at_work:
        process.start()
    try:
        while loaded.value < loads * PART_RECORDS:
            if not all(process.is_alive() for process in at_work):
                raise RuntimeError("A load ended before it loaded anything.")
            time.sleep(0.05)
        began, before = time.perf_counter(), loaded.value

        def speed() -> float:
            while loaded.value == before:  # a part counts once it is loaded
                time.sleep(0.05)
            return float(loaded.value - before) / (time.perf_counter() - began)

        yield speed
        if not all(process.is_alive() for process in at_work):
            raise RuntimeError("A load ended too early.")
    finally:
        over.set()
        for process in at_work:
            process.join()


def measured(table: Table, engine: Engine, rounds: int) -> dict[str, Any]:
    """Every question, so many times."""
    with engine.connect() as connection:
        found = {
            name: asked(connection, statement(query, table.dataset).text, values, rounds)
            for name, (query, values) in questions(table).items()
        }
        found["floor: no table at all"] = asked(connection, _FLOOR, dict, rounds)
    found[f"page of {PAGE} descendants"] = descendants(engine, table, max(rounds // 10, 1))
    return {**found, "load average": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Measure, print, and with --keep write results/reads.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--scans", type=int, default=5, help="rounds without the index")
    parser.add_argument("--loads", type=int, default=2, help="parts that are loaded at once beside the reads")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    given = parser.parse_args()
    random.seed(4)
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        with Stack(folder / "home", components=("postgres",)) as stack:
            url = stack.environment["DATABASE_URL"]
            migrate.migrate(url, root=folder / "root")
            table = Table(url, load_dataset(data.DATASET, folder / "root"), given.records)
            found = compared(table, folder, given)
    for state in ("quiet", "loading"):
        for name, what in found[state].items():
            print(f"{state:8} {name:24} {_shown(what) if isinstance(what, dict) else what}")
    for state in ("with", "without"):
        print(f"{state:8} the index                {_shown(found['index'][state])}")
    print(f"         times as long            {found['index']['ratio']:,}")
    print(f"         records loaded a second  {found['loaded_a_second']:,}")
    if given.keep:
        measure.keep(given.keep, found)


def compared(table: Table, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Quiet, beside a load, and without the index."""
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


def _shown(what: dict[str, Any]) -> str:
    return "  ".join(
        f"{where} p50 {times['p50_ms']:.2f} p99 {times['p99_ms']:.2f} max {times['max_ms']:.1f} ms"
        for where, times in what.items()
        if isinstance(times, dict)
    )


if __name__ == "__main__":
    main()
