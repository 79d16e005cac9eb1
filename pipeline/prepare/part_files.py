"""Write parts as Parquet files, from memory where they fit and from a spool file where not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.datasets.dataset import Dataset
from pipeline.prepare.boundaries import PartCut, waves_of
from pipeline.prepare.manifest import BatchSizes, Part
from pipeline.sqlfiles import quoted

FETCH_ROWS = 20_000
"""Records of one Arrow batch that DuckDB hands over, at most."""

SPOOL_BYTES = 32 << 20
"""Bytes of wide records that are read at once, to be distributed over the parts."""


def streamed_tables(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, cuts: Sequence[PartCut], *, widest: int, cutting: BatchSizes
) -> Iterator[pa.Table]:
    """Yield the records of each part as one Arrow table, in order; no more than about one part is in memory."""
    columns = ", ".join(map(quoted, dataset.names))
    rows = max(min(FETCH_ROWS, cutting.part_bytes // max(widest, 1), max((cut.records for cut in cuts), default=1)), 1)
    stream: Any = connection.sql(f"select _row, {columns} from in_order").to_arrow_reader(rows)
    waiting = pa.Table.from_batches([], schema=stream.schema)
    for cut in cuts:
        while waiting.num_rows < cut.records:
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([stream.read_next_batch()])])
        yield waiting.slice(0, cut.records).add_column(0, "_batch", cut.numbers())
        waiting = waiting.slice(cut.records)


def gathered_tables(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, cuts: Sequence[PartCut], folder: Path
) -> Iterator[pa.Table]:
    """Yield the same for records too wide to be sorted: read them in the file's order, piece by piece, distribute them over
    spool files in ``folder``, one a part, and sort each of these by itself."""
    spools = [folder / f"spool-{part:06d}.arrow" for part in range(1, len(cuts) + 1)]
    for first, last in _pieces(connection):
        _distribute(_piece(connection, dataset, first, last), spools)
    for cut, spool in zip(cuts, spools, strict=True):
        table = _read_spool(spool)
        spool.unlink()
        table = table.take(pc.sort_indices(table.column("_place"))).drop_columns(["_place"])
        yield table.add_column(0, "_batch", cut.numbers())


def _pieces(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    """Return the file's rows in ranges of about ``SPOOL_BYTES``: the first and the last row of each."""
    found = connection.execute(
        f"""select min(_row), max(_row) from (
            select _row, sum(_bytes) over (order by _row rows unbounded preceding) // {SPOOL_BYTES} as piece
            from sizes semi join placed using (_row)
        ) group by piece order by piece"""
    ).fetchall()
    return [(int(first), int(last)) for first, last in found]


def _piece(connection: duckdb.DuckDBPyConnection, dataset: Dataset, first: int, last: int) -> pa.Table:
    """Return the records of the rows ``first`` to ``last``, each with its part and its place, in that order."""
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
    """Append each record to the spool file of its part."""
    parts = rows.column("_part").to_numpy()
    rows = rows.drop_columns(["_part"])
    bounds = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
    for first, last in pairwise(bounds):
        if first < last:
            with spools[int(parts[first]) - 1].open("ab") as file, pa.ipc.new_stream(file, rows.schema) as writer:
                writer.write_table(rows.slice(first, last - first))


def _read_spool(spool: Path) -> pa.Table:
    """Return all that was appended to one spool file."""
    tables = []
    with spool.open("rb") as file:
        while file.peek(1):
            tables.append(pa.ipc.open_stream(file).read_all())
    return pa.concat_tables(tables)


def write_parts(tables: Iterator[pa.Table], needs: Sequence[int], folder: Path) -> Iterator[Part]:
    """Write the parts in order, each while the next is fetched, and yield their descriptions."""
    with ThreadPoolExecutor(1) as writer:
        writing: Future[Part] | None = None
        for part_no, (table, wave, needed) in enumerate(zip(tables, waves_of(needs), needs, strict=True), start=1):
            if writing:
                yield writing.result()
            writing = writer.submit(_write, part_no, wave, needed, table, folder)
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
        use_dictionary=False,  # most values occur once, and zstd finds the others: smaller, in half the time
        write_page_checksum=True,
        store_schema=False,
    )
    data = path.read_bytes()
    written = pq.read_metadata(path).num_rows
    return replace(part, records=written, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
