"""The load stage alone: real parts into the real embedded PostgreSQL, by their size, row groups, and connections.

The floor is what no upsert can do without, in the same run: one connection, one transaction, COPY into a temporary table, then
one INSERT ... ON CONFLICT into the same table with the same indexes - from text that lies ready in memory, in our order
(*floor*) and in the file's own (*as it came*). Run it by ``make bench``.

    python -m benchmarks.loading [--records 1000000] [--rounds 3] [--part-records 5000,10000,20000,50000]
        [--connections 1,2,3,4] [--keep FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks import data, measure
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.load.load_part import load_part
from pipeline.load.part_file import PartFile
from pipeline.local import postgres
from pipeline.local.stack import Stack
from pipeline.prepare.manifest import MANIFEST, BatchSizes, Manifest
from pipeline.sandbox import process, validate_file
from pipeline.settings import ROOT
from pipeline.warehouse import migrate

BATCH = 200
TABLE = f"warehouse.{data.DATASET}"

_COLUMNS = ", ".join(f'"{name}"' for name in data.COLUMNS)
_OTHERS = [f'"{name}"' for name in data.COLUMNS if name != "id"]


def _of(relation: str) -> str:
    return ", ".join(f"{relation}.{name}" for name in _OTHERS)


_ARRIVING = f"create temporary table arriving on commit drop as select 0::bigint as _row, {_COLUMNS} from {TABLE} with no data"
_UPSERT = f"""insert into {TABLE} as target ({_COLUMNS}, _import_id, _row)
select {_COLUMNS}, %s::uuid, _row from arriving
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _OTHERS)},
    _import_id = excluded._import_id, _row = excluded._row, _loaded_at = now()
where ({_of("target")}) is distinct from ({_of("excluded")})"""


@dataclass(frozen=True)
class Cut:
    """Parts in a folder, in waves, with the checksum of each."""

    folder: Path
    waves: list[list[int]]
    sums: dict[int, str]
    records: int

    def path(self, part_no: int) -> Path:
        return self.folder / f"part-{part_no:06d}.parquet"


def cut(file: Path, dataset: Dataset, part_records: int, folder: Path) -> Cut:
    """The file's parts, as a worker stores them: one row group a part."""
    folder.mkdir()
    (folder / validate_file.SOURCE).symlink_to(file)
    cutting = BatchSizes("bench", BATCH, max(part_records // BATCH, 1))
    process.run(measure.cut, folder, dataset, cutting, **measure.LIMITS, answer=lambda parents: None)
    parts = folder / validate_file.PARTS
    manifest = Manifest.from_json((parts / MANIFEST).read_text(encoding="utf-8"))
    waves: dict[int, list[int]] = {}
    for part in manifest.parts:
        waves.setdefault(part.wave, []).append(part.part_no)
    return Cut(parts, list(waves.values()), {part.part_no: part.sha256 for part in manifest.parts}, manifest.records)


def grouped(whole: Cut, folder: Path) -> Cut:
    """The same parts with a row group a batch."""
    folder.mkdir()
    sums = {}
    for part_no in whole.sums:
        path = folder / whole.path(part_no).name
        table = pq.read_table(whole.path(part_no))
        options = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True, "store_schema": False}
        pq.write_table(table, path, row_group_size=BATCH, **options)
        sums[part_no] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Cut(folder, whole.waves, sums, whole.records)


class Database:
    """The embedded PostgreSQL with an empty table for each run."""

    def __init__(self, url: str, dataset: Dataset) -> None:
        self._url = url
        self._dataset = dataset

    @contextmanager
    def _emptied(self, records: int) -> Iterator[None]:
        """Before: nothing in the table, nothing left to be written to disk. After: all records are there."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"truncate {TABLE}")
            connection.execute("checkpoint")
            yield
            ((found,),) = connection.execute(f"select count(*) from {TABLE}").fetchall()
        if found != records:
            raise RuntimeError(f"{records:,} records were to be loaded, {found:,} are there.")

    def load(self, cut: Cut, connections: int) -> float:
        """Seconds for all parts, wave by wave, so many at once: as a worker does it, less S3 and Temporal."""
        import_id = str(uuid.uuid4())
        with self._emptied(cut.records), ExitStack() as opened:
            free: SimpleQueue[Any] = SimpleQueue()
            for _ in range(connections):
                free.put(opened.enter_context(psycopg.connect(self._url)))
            self._open_import(import_id)

            def one(part_no: int) -> None:
                connection = free.get()
                load_part(connection, self._dataset, PartFile(cut.path(part_no), import_id, part_no, cut.sums[part_no]))
                free.put(connection)

            pool = opened.enter_context(ThreadPoolExecutor(connections))
            began = time.perf_counter()
            for wave in cut.waves:
                list(pool.map(one, wave))
            return time.perf_counter() - began

    def _open_import(self, import_id: str) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute("update ledger.import set state = 'succeeded' where state = 'loading'")  # one is at work
            connection.execute(
                "insert into ledger.import (id, dataset, state) values (%s, %s, 'loading')", (import_id, self._dataset.name)
            )

    def floor(self, text: bytes, records: int) -> float:
        """Seconds for a bare upsert of ``text``."""
        with self._emptied(records), psycopg.connect(self._url) as connection:
            began = time.perf_counter()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(_ARRIVING)
                with cursor.copy(f"copy arriving (_row, {_COLUMNS}) from stdin (format csv)") as copy:
                    for piece in _pieces(text):
                        copy.write(piece)
                cursor.execute(_UPSERT, (str(uuid.uuid4()),))
            return time.perf_counter() - began


def _pieces(text: bytes, size: int = 1 << 20) -> Iterator[memoryview]:
    view = memoryview(text)
    return (view[start : start + size] for start in range(0, len(text), size))


def as_text(cut: Cut, *, by_row: bool) -> bytes:
    """All parts as CSV, in their order or in that of the file's rows."""
    table = pa.concat_tables([pq.read_table(cut.path(part_no)) for part_no in sorted(cut.sums)])
    if by_row:
        table = table.sort_by("_row")
    text = io.BytesIO()
    options = pacsv.WriteOptions(include_header=False, quoting_style="needed")
    pacsv.write_csv(table.select(["_row", *data.COLUMNS]), text, options)
    return text.getvalue()


def matrix(database: Database, cuts: dict[str, Cut], connections: list[int], rounds: int) -> dict[str, object]:
    """Each combination beside the floor, all in turn; the ratio is to the floor in our order."""
    first = next(iter(cuts.values()))
    texts = {"floor": as_text(first, by_row=False), "as it came": as_text(first, by_row=True)}
    measured: dict[str, Callable[[], float]] = {
        name: lambda text=text: database.floor(text, first.records)  # type: ignore[misc]
        for name, text in texts.items()
    }
    for name, cut in cuts.items():
        for number in connections:
            measured[f"{name}, {number} connections"] = lambda cut=cut, number=number: database.load(cut, number)  # type: ignore[misc]
    times = measure.alternating(rounds, **measured)
    return {
        name: {
            "seconds": round(seconds, 2),
            "ratio": round(seconds / times["floor"], 2),
            "records_per_second": round(first.records / seconds),
        }
        for name, seconds in times.items()
    }


def main() -> None:
    """Measure, print, and with --keep write results/loading.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part-records", type=_numbers, default=[5_000, 10_000, 20_000, 50_000])
    parser.add_argument("--connections", type=_numbers, default=[1, 2, 3, 4])
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        dataset = load_dataset(data.DATASET, folder / "root")
        file = data.make_file(folder / "tree.csv", asked.records, shuffled=True)
        cuts: dict[str, Cut] = {}
        for size in asked.part_records:
            whole = cut(file, dataset, size, folder / f"whole-{size}")
            cuts[f"parts of {size}"] = whole
            cuts[f"parts of {size}, a row group a batch"] = grouped(whole, folder / f"grouped-{size}")
        with Stack(folder / "home", components=("postgres",)) as stack:
            url = postgres.url(stack.home)
            migrate.migrate(url, root=folder / "root")
            found: dict[str, object] = {
                "records": asked.records,
                "rounds": asked.rounds,
                "waves": {name: len(cut.waves) for name, cut in cuts.items()},
                "megabytes": {name: round(_megabytes(cut), 1) for name, cut in cuts.items()},
                "loads": matrix(Database(url, dataset), cuts, asked.connections, asked.rounds),
            }
    _show(found["loads"])
    if asked.keep:
        measure.keep(asked.keep, found)


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _megabytes(cut: Cut) -> float:
    return sum(cut.path(part_no).stat().st_size for part_no in cut.sums) / 1e6


def _show(loads: Any) -> None:
    for name, values in loads.items():
        print(f"{name:52} " + "  ".join(f"{key} {value:,}" for key, value in values.items()))


if __name__ == "__main__":
    main()
