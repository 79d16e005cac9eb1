"""Staging table -> parents-first order -> numbered batches of 100 to 200 records -> Parquet parts, and a manifest.

The boundaries are data, in the manifest and in the parts; nothing later computes them again. The same file gives the same
parts, byte for byte, so a preparation that was cut off is simply done again.

A part holds at most ``PART_BYTES`` of text, or one record: the boundaries follow from a running sum of bytes, so that the
memory of the worker that loads a part is bounded whatever the widths (docs/decisions/0021).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.messages import Plan
from pipeline.datasets.dataset import Dataset
from pipeline.staging.database import WIDE_BYTES, by_rows, climb, connect, longest_row, number, quoted
from pipeline.validate.tree_overlay import lay_out

FETCH_ROWS = 20_000
PART_BYTES = 64 << 20
"""Bytes that the values of a part may have: of wide records it takes fewer, since the loader holds a part in memory."""

SPOOL_BYTES = 32 << 20
"""Bytes of wide records that are read at once, to be distributed over the parts."""

VALUE_BYTES = 8
"""What a value takes beside its text: an offset, or the number or date itself."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Cutting:
    """How an import is to be cut: a batch has 100 to ``batch_records`` records, and a part ``batches_per_part`` batches.

    Both have fewer where there are fewer in all, or where the records are wide.
    """

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
    part_bytes: int = 0  # what a part may hold; earlier manifests do not say

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
        wanted = (cutting.batch_records, cutting.batches_per_part, PART_BYTES)
        return (self.batch_records, self.batches_per_part, self.part_bytes) == wanted

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
        widest = longest_row(connection)
        records = _put_in_order(connection, dataset, widest)
        batches = _batches(connection, records, cutting)
        cuts = _parts(batches, cutting.batches_per_part)
        needs = _needs(connection, cuts)
        if widest > WIDE_BYTES:
            tables = _gathered(connection, dataset, cuts, folder)
        else:
            tables = _streamed(connection, dataset, cuts, widest)
        parts = tuple(_written(tables, needs, folder))
    manifest = Manifest(
        cutting.import_id,
        dataset.name,
        records,
        len(batches),
        cutting.batch_records,
        parts,
        cutting.batches_per_part,
        PART_BYTES,
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


def _put_in_order(connection: duckdb.DuckDBPyConnection, dataset: Dataset, widest: int) -> int:
    """Make ``in_order`` (_row, _above, _bytes, columns): by level, then parent, then id. Return how many records it has.

    They are sorted with all that they hold: to sort their numbers, and fetch the rest by them, takes longer. Where the
    ``widest`` is too wide for that, the columns are left out.
    """
    columns = "".join(f", incoming.{quoted(name)}" for name in dataset.names)
    parent, key = (f"incoming.{quoted(name)}" for name in (dataset.parent, dataset.key))
    size, sizes = _size(connection, dataset), ""
    if widest > WIDE_BYTES:
        connection.execute("create or replace temp table sizes (_row bigint, _bytes bigint)")
        by_rows(connection, f"insert into sizes select _row, {size} from incoming where {{range}}")
        size, sizes, columns = "sizes._bytes", "join sizes using (_row)", ""
    connection.execute(
        f"""create or replace temp table in_order as
        select incoming._row, places._above, ({size})::bigint as _bytes{columns}
        from incoming join (
            select forest._row, forest.above as _above, coalesce(levels.level + 1, 0) as level
            from forest left join levels on forest.above = levels._row
        ) places using (_row) {sizes}
        order by places.level, {parent} nulls first, {key}"""
    )
    connection.execute("drop table levels")
    return number(connection, "select count(*) from in_order")


def _size(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """SQL for the bytes that a record's values take."""
    kinds = {str(name): str(kind) for name, kind, *_ in connection.execute("describe incoming").fetchall()}
    texts = [f"coalesce(strlen(incoming.{quoted(name)}), 0)" for name in dataset.names if kinds[name] == "VARCHAR"]
    return " + ".join([str(VALUE_BYTES * (len(dataset.names) + 2)), *texts])


# --- The boundaries ---


class _Batch(NamedTuple):
    """Consecutive records, of which ``size_bytes`` is the sum."""

    records: int
    size_bytes: int


class _Cut(NamedTuple):
    """What makes one part: its first record's place in the order, and its batches, numbered from ``first_batch``."""

    first: int
    first_batch: int
    batches: tuple[_Batch, ...]

    @property
    def records(self) -> int:
        """How many records the part has."""
        return sum(batch.records for batch in self.batches)

    def numbers(self) -> pa.Array:
        """The batch's number for each of its records."""
        numbers = np.arange(self.first_batch, self.first_batch + len(self.batches), dtype=np.int32)
        return pa.array(np.repeat(numbers, [batch.records for batch in self.batches]))


def _batches(connection: duckdb.DuckDBPyConnection, records: int, cutting: Cutting) -> list[_Batch]:
    """Cut the order into batches whose numbers of records differ by one at most; one that is too wide for a part is cut again.

    The row ids of a new table are the numbers of its rows, in their order; a window would have to count them.
    """
    even = ceil(records / cutting.batch_records)
    query = (
        f"select count(*), sum(_bytes)::bigint from in_order group by rowid * {even} // {max(records, 1)} order by min(rowid)"
    )
    batches: list[_Batch] = []
    first = 0
    for count, size in connection.execute(query).fetchall():
        if size <= PART_BYTES:
            batches.append(_Batch(count, size))
        else:
            range_ = f"rowid >= {first} and rowid < {first + count}"
            sizes = [
                row[0] for row in connection.execute(f"select _bytes from in_order where {range_} order by rowid").fetchall()
            ]
            batches += [_Batch(len(run), sum(run)) for run in _runs(sizes, count)]
        first += count
    return batches


def _parts(batches: Sequence[_Batch], batches_per_part: int) -> list[_Cut]:
    """Put as many batches into each part as were asked for, or as ``PART_BYTES`` have room for."""
    cuts: list[_Cut] = []
    first = taken = 0
    for run in _runs([batch.size_bytes for batch in batches], batches_per_part):
        cuts.append(_Cut(first, taken + 1, tuple(batches[taken : taken + len(run)])))
        first, taken = first + cuts[-1].records, taken + len(run)
    return cuts


def _runs(sizes: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """Consecutive runs of at most ``most`` sizes whose sum is at most ``PART_BYTES``; a larger size is a run by itself."""
    first = total = 0
    for place, size in enumerate(sizes):
        if place > first and (total + size > PART_BYTES or place - first == most):
            yield sizes[first:place]
            first, total = place, 0
        total += size
    if sizes:
        yield sizes[first:]


def _needs(connection: duckdb.DuckDBPyConnection, cuts: Sequence[_Cut]) -> list[int]:
    """For each part, the last of the earlier parts that it, or a part before it, has a parent in; 0 if there is none.

    Makes ``placed`` (_row, _above, place, part).
    """
    ends = pa.table({"first": pa.array([cut.first for cut in cuts], pa.int64()), "part": range(1, len(cuts) + 1)})
    connection.register("cuts", ends)
    connection.execute(
        """create or replace temp table placed as
        select in_order._row, in_order._above, in_order.rowid as place, cuts.part
        from in_order asof join cuts on in_order.rowid >= cuts.first"""
    )
    connection.unregister("cuts")
    lasts = connection.execute(
        """select max(above.part) filter (where above.part < child.part)
        from placed child left join placed above on child._above = above._row
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


def _streamed(connection: duckdb.DuckDBPyConnection, dataset: Dataset, cuts: Sequence[_Cut], widest: int) -> Iterator[pa.Table]:
    """Yield the records of each part as one Arrow table, in order; no more than about one part is in memory."""
    columns = ", ".join(map(quoted, dataset.names))
    rows = max(min(FETCH_ROWS, PART_BYTES // max(widest, 1), max((cut.records for cut in cuts), default=1)), 1)
    stream: Any = connection.sql(f"select _row, {columns} from in_order").to_arrow_reader(rows)
    waiting = pa.Table.from_batches([], schema=stream.schema)
    for cut in cuts:
        while waiting.num_rows < cut.records:
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([stream.read_next_batch()])])
        yield waiting.slice(0, cut.records).add_column(0, "_batch", cut.numbers())
        waiting = waiting.slice(cut.records)


def _gathered(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, cuts: Sequence[_Cut], folder: Path
) -> Iterator[pa.Table]:
    """Do the same for records too wide to be sorted: they are read in the file's order, piece by piece, and distributed over
    files on disk, one a part, each of which is sorted by itself."""
    spools = [folder / f"spool-{part:06d}.arrow" for part in range(1, len(cuts) + 1)]
    for first, last in _pieces(connection):
        _distribute(_piece(connection, dataset, first, last), spools)
    for cut, spool in zip(cuts, spools, strict=True):
        table = _read_spool(spool)
        spool.unlink()
        table = table.take(pc.sort_indices(table.column("_place"))).drop_columns(["_place"])
        yield table.add_column(0, "_batch", cut.numbers())


def _pieces(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    """The file's rows in ranges of about ``SPOOL_BYTES``: the first and the last row of each."""
    found = connection.execute(
        f"""select min(_row), max(_row) from (
            select _row, sum(_bytes) over (order by _row rows unbounded preceding) // {SPOOL_BYTES} as piece
            from sizes semi join placed using (_row)
        ) group by piece order by piece"""
    ).fetchall()
    return [(int(first), int(last)) for first, last in found]


def _piece(connection: duckdb.DuckDBPyConnection, dataset: Dataset, first: int, last: int) -> pa.Table:
    """The records of the rows from ``first`` to ``last``, each with its part and its place, in that order."""
    columns = ", ".join(map(quoted, dataset.names))
    range_ = f"_row between {first} and {last}"
    rows = connection.sql(f"select _row, {columns} from incoming where {range_}").to_arrow_table()
    placed = connection.sql(f"select _row, part, place from placed where {range_}").to_arrow_table()
    found = pc.index_in(rows.column("_row"), value_set=placed.column("_row").combine_chunks())
    rows, found = rows.filter(found.is_valid()), found.drop_null()
    for name in ("part", "place"):
        rows = rows.append_column(f"_{name}", placed.column(name).take(found))
    return rows.sort_by([("_part", "ascending"), ("_place", "ascending")])


def _distribute(rows: pa.Table, spools: Sequence[Path]) -> None:
    """Append each record to the file of its part."""
    parts = rows.column("_part").to_numpy()
    rows = rows.drop_columns(["_part"])
    bounds = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
    for first, last in pairwise(bounds):
        if first < last:
            with spools[int(parts[first]) - 1].open("ab") as file, pa.ipc.new_stream(file, rows.schema) as writer:
                writer.write_table(rows.slice(first, last - first))


def _read_spool(spool: Path) -> pa.Table:
    """All that was appended to one file."""
    tables = []
    with spool.open("rb") as file:
        while file.peek(1):
            tables.append(pa.ipc.open_stream(file).read_all())
    return pa.concat_tables(tables)


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
