"""Staging table -> parents-first order -> numbered batches of 100 to 200 records -> Parquet parts, and a manifest.

The boundaries are data, in the manifest and in the parts; nothing later computes them again. The same file gives the same
parts, byte for byte, so a preparation that was cut off is simply done again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts import Plan
from pipeline.datasets import Dataset
from pipeline.tree import lay_out
from pipeline.workspace import climb, connect, number, quoted

FETCH_ROWS = 20_000
SAMPLE_ROWS = 10_000
PART_BYTES = 64 << 20
"""Text that a part may hold: of wide records it takes fewer, since whoever loads a part holds it in memory."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Cutting:
    """How an import is to be cut: a batch has 100 to ``batch_records`` records, unless there are fewer in all, and a part
    ``batches_per_part`` batches, unless its records are wide."""

    import_id: str
    batch_records: int = 200
    batches_per_part: int = 250


@dataclass(frozen=True)
class Part:
    """One Parquet object: consecutive batches of one wave. ``sha256`` is of the whole file.

    It may be loaded when all parts up to ``needs`` are.
    """

    part_no: int
    wave: int
    needs: int
    records: int
    first_batch: int
    last_batch: int
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        """Its name in the import's folder."""
        return f"part-{self.part_no:06d}.parquet"


@dataclass(frozen=True)
class Manifest:
    """How an import was cut."""

    import_id: str
    dataset: str
    records: int
    batches: int
    batch_records: int
    parts: tuple[Part, ...]
    batches_per_part: int = 0  # as it was asked for; earlier manifests do not say

    @property
    def waves(self) -> tuple[int, ...]:
        """The last part's number of each wave."""
        last = {part.wave: part.part_no for part in self.parts}
        return tuple(last[wave] for wave in sorted(last))

    @property
    def plan(self) -> Plan:
        """What the workflow needs to know of it."""
        needs = tuple(part.needs for part in self.parts)
        return Plan(records=self.records, batches=self.batches, parts=len(self.parts), waves=self.waves, needs=needs)

    def is_cut_by(self, cutting: Cutting) -> bool:
        """It is how ``cutting`` would cut the same records."""
        return (self.batch_records, self.batches_per_part) == (cutting.batch_records, cutting.batches_per_part)

    def part(self, part_no: int) -> Part:
        """A part by its number, from 1."""
        return self.parts[part_no - 1]

    def to_json(self) -> str:
        """The manifest as it is stored."""
        return json.dumps({**asdict(self), "waves": self.waves}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what to_json wrote."""
        fields = json.loads(text)
        waves = [0, *fields.pop("waves")]
        parts = ({"needs": waves[part["wave"] - 1], **part} for part in fields["parts"])  # earlier manifests do not say
        return cls(**{**fields, "parts": tuple(Part(**part) for part in parts)})


def cut(database: Path, dataset: Dataset, cutting: Cutting, *, folder: Path) -> Manifest:
    """Cut ``incoming`` into parts below ``folder`` (made anew) and return the manifest, which is written there last.

    What is not ``quarantined`` of it must be valid: ids unique, no cycles.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with connect(database) as connection:
        _lay_out_forest(connection, dataset)
        _give_levels(connection)
        records = _put_in_order(connection, dataset)
        batches = ceil(records / cutting.batch_records)
        _give_places(connection, records, batches, _batches_per_part(connection, dataset, records, cutting))
        needs = _needs(connection)
        parts = tuple(_written(_tables(connection, dataset), needs, folder))
    manifest = Manifest(
        cutting.import_id, dataset.name, records, batches, cutting.batch_records, parts, cutting.batches_per_part
    )
    if sum(part.records for part in parts) != records:
        raise RuntimeError(f"{records} records went into the batches, {sum(p.records for p in parts)} came out.")
    (folder / MANIFEST).write_text(manifest.to_json())
    return manifest


# --- The order ---

_ANCHORS = """
create or replace temp table anchors as
select w.id, f._row as anchor, case when f.id is null then up.id end as reached
from warehouse_edges w
left join warehouse_edges up on w."parentId" = up.id
left join (from links anti join quarantined using (_row)) f on w."parentId" = f.id
"""
_ANCHOR_STRIDE = """
create or replace temp table anchors as
select a.id, coalesce(a.anchor, b.anchor) as anchor, case when a.anchor is null then b.reached end as reached
from anchors a left join anchors b on a.reached = b.id
"""
_UNANCHORED = "select count(*) from anchors where reached is not null"
_FOREST = """
create or replace temp view forest as
select links._row, links.id, links.parent, coalesce(nullif(links.above, links._row), a.anchor) as above
from links left join (select id, anchor from anchors where anchor is not null) a on links.above is null and links.parent = a.id
where links._row not in (select _row from quarantined)
"""


def _lay_out_forest(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """``forest`` (_row, id, parent, above): each record with the next of the file's records above it in the tree
    that results. The way there may lead through the warehouse: docs/decisions/0005.

    What hangs below a record in quarantine is there too, so ``above`` never is one.
    """
    connection.execute("create table if not exists quarantined (_row bigint)")
    lay_out(connection, dataset)
    connection.execute('create table if not exists warehouse_edges (id varchar, "parentId" varchar)')
    connection.execute(_ANCHORS)
    climb(connection, _ANCHOR_STRIDE, _UNANCHORED)  # who is left is on an old circle, or below it, and the file is not
    connection.execute(_FOREST)


_FURTHER_UP = """
create or replace temp table levels as
select low._row, high.reached, low.level + high.level as level
from levels low join levels high on low.reached = high._row
union all
select _row, reached, level from levels where reached is null
"""


def _give_levels(connection: duckdb.DuckDBPyConnection) -> None:
    """``levels`` (_row, level): how many of the file's records are above each that has others below it; few have, in a tree."""
    connection.execute(
        """create or replace temp table levels as
        select _row, above as reached, (above is not null)::integer as level
        from forest semi join (select distinct above as _row from forest) parents using (_row)"""
    )
    if climb(connection, _FURTHER_UP, "select count(*) from levels where reached is not null"):
        raise RuntimeError("The records to be cut into batches go in circles.")


def _put_in_order(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> int:
    """``in_order`` (_row, _above, columns): by level, then parent, then id; how many records it has.

    They are sorted with all that they hold: to sort their numbers, and fetch the rest by them, takes longer.
    """
    columns = ", ".join(f"incoming.{quoted(name)}" for name in dataset.names)
    parent, key = (f"incoming.{quoted(name)}" for name in (dataset.parent, dataset.key))
    connection.execute(
        f"""create or replace temp table in_order as
        select incoming._row, places._above, {columns}
        from incoming join (
            select forest._row, forest.above as _above, coalesce(levels.level + 1, 0) as level
            from forest left join levels on forest.above = levels._row
        ) places using (_row)
        order by places.level, {parent} nulls first, {key}"""
    )
    connection.execute("drop table levels")
    return number(connection, "select count(*) from in_order")


def _batches_per_part(connection: duckdb.DuckDBPyConnection, dataset: Dataset, records: int, cutting: Cutting) -> int:
    """As many as were asked for, or as many as ``PART_BYTES`` have room for, judged by one record here and one there."""
    width = " + ".join(f"coalesce(strlen({quoted(name)}::varchar), 0)" for name in dataset.names)
    every = max(records // SAMPLE_ROWS, 1)
    bytes_each = number(connection, f"select coalesce(avg({width}), 0)::bigint from in_order where rowid % {every} = 0")
    return min(cutting.batches_per_part, max(PART_BYTES // max(bytes_each * cutting.batch_records, 1), 1))


def _give_places(connection: duckdb.DuckDBPyConnection, records: int, batches: int, batches_per_part: int) -> None:
    """``places``: the records in their order, with place, batch and part; batches differ by one record at most.

    The row ids of a new table are the numbers of its rows, in their order; a window would have to count them.
    """
    connection.execute(
        f"""create or replace temp view places as
        select rowid as place, * , rowid * {batches} // {max(records, 1)} + 1 as _batch,
            (rowid * {batches} // {max(records, 1)}) // {batches_per_part} + 1 as part
        from in_order"""
    )


def _needs(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """For each part, the last of the earlier parts that it, or a part before it, has a parent in; 0 if there is none."""
    lasts = connection.execute(
        """select max(above.part) filter (where above.part < child.part)
        from places child left join places above on child._above = above._row
        group by child.part order by child.part"""
    ).fetchall()
    return list(accumulate((last or 0 for (last,) in lasts), max))


def _waves(needs: Sequence[int]) -> list[int]:
    """The wave of each part: that of the part before it, unless it needs a part that lies in this very wave."""
    waves: list[int] = []
    for needed in needs:
        waves.append(max(waves[-1] if waves else 1, waves[needed - 1] + 1 if needed else 1))
    return waves


# --- The parts ---


def _tables(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> Iterator[pa.Table]:
    """The records of each part as one Arrow table, in order; no more than about one part is in memory."""
    sizes = [row[0] for row in connection.execute("select count(*) from places group by part order by part").fetchall()]
    columns = ", ".join(map(quoted, dataset.names))
    rows = min(FETCH_ROWS, max(sizes, default=FETCH_ROWS))
    stream: Any = connection.sql(f"select _batch::integer as _batch, _row, {columns} from places").to_arrow_reader(rows)
    waiting = pa.Table.from_batches([], schema=stream.schema)
    for size in sizes:
        while waiting.num_rows < size:
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([stream.read_next_batch()])])
        yield waiting.slice(0, size)
        waiting = waiting.slice(size)


def _written(tables: Iterator[pa.Table], needs: Sequence[int], folder: Path) -> Iterator[Part]:
    """The parts in their order, each written while the next is fetched."""
    with ThreadPoolExecutor(1) as pen:
        writing: Future[Part] | None = None
        for part_no, (table, wave, needed) in enumerate(zip(tables, _waves(needs), needs, strict=True), start=1):
            if writing:
                yield writing.result()
            writing = pen.submit(_write, part_no, wave, needed, table, folder)
        if writing:
            yield writing.result()


def _write(part_no: int, wave: int, needs: int, table: pa.Table, folder: Path) -> Part:
    batches = table.column("_batch")
    first, last = batches[0].as_py(), batches[-1].as_py()
    part = Part(part_no, wave, needs, table.num_rows, first, last, "", 0)
    path = folder / part.filename
    pq.write_table(
        table.combine_chunks(),
        path,
        row_group_size=table.num_rows,
        compression="zstd",
        use_dictionary=False,  # almost every value is another, and zstd finds those that are not: smaller, in half the time
        write_page_checksum=True,
        store_schema=False,
    )
    data = path.read_bytes()
    written = pq.read_metadata(path).num_rows
    return replace(part, records=written, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
