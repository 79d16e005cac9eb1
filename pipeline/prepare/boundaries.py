"""Draw the boundaries in the order of records: batches, parts, and which earlier parts each part needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.prepare.depth_first import Layout
from pipeline.prepare.manifest import BatchSizes


class Batch(NamedTuple):
    """Consecutive records and their size together."""

    records: int
    size_bytes: int


class PartCut(NamedTuple):
    """The boundaries of one part: the place of its first record, and how many records each of its batches has.

    The batches are numbered from ``first_batch``.
    """

    first: int
    first_batch: int
    batches: tuple[int, ...]

    @property
    def records(self) -> int:
        """How many records the part has."""
        return sum(self.batches)

    def numbers(self) -> pa.Array:
        """Return the number of the batch for each record of the part."""
        numbers = np.arange(self.first_batch, self.first_batch + len(self.batches), dtype=np.int32)
        return pa.array(np.repeat(numbers, self.batches))


def cut_layout(layout: Layout, cutting: BatchSizes) -> list[PartCut]:
    """Return the parts of records laid out depth first, each in batches whose numbers of records differ by one at most."""
    cuts: list[PartCut] = []
    first, first_batch = 0, 1
    for size in layout.sizes:
        many = ceil(size / cutting.batch_records)
        batches = tuple((place + 1) * size // many - place * size // many for place in range(many))
        cuts.append(PartCut(first, first_batch, batches))
        first, first_batch = first + size, first_batch + many
    return cuts


def cut_batches(connection: duckdb.DuckDBPyConnection, records: int, cutting: BatchSizes) -> list[Batch]:
    """Cut ``in_order`` into batches whose numbers of records differ by one at most; cut one too wide for a part again.

    The row ids of a new table number its rows in order; a window function would have to count them.
    """
    even = ceil(records / cutting.batch_records)
    query = (
        f"select count(*), sum(_bytes)::bigint from in_order group by rowid * {even} // {max(records, 1)} order by min(rowid)"
    )
    batches: list[Batch] = []
    first = 0
    for count, size in connection.execute(query).fetchall():
        if size <= cutting.part_bytes:
            batches.append(Batch(count, size))
        else:
            range_ = f"rowid >= {first} and rowid < {first + count}"
            sizes = [
                row[0] for row in connection.execute(f"select _bytes from in_order where {range_} order by rowid").fetchall()
            ]
            batches += [Batch(len(run), sum(run)) for run in _runs(sizes, count, cutting.part_bytes)]
        first += count
    return batches


def group_batches(batches: Sequence[Batch], cutting: BatchSizes) -> list[PartCut]:
    """Put as many batches into each part as were asked for, or as fit in its bytes."""
    cuts: list[PartCut] = []
    first = taken = 0
    for run in _runs([batch.size_bytes for batch in batches], cutting.batches_per_part, cutting.part_bytes):
        cuts.append(PartCut(first, taken + 1, tuple(batch.records for batch in batches[taken : taken + len(run)])))
        first, taken = first + cuts[-1].records, taken + len(run)
    return cuts


def _runs(sizes: Sequence[int], most: int, bytes_max: int) -> Iterator[Sequence[int]]:
    """Yield runs of at most ``most`` sizes whose sum is at most ``bytes_max``; a larger size is a run by itself."""
    first = total = 0
    for place, size in enumerate(sizes):
        if place > first and (total + size > bytes_max or place - first == most):
            yield sizes[first:place]
            first, total = place, 0
        total += size
    if sizes:
        yield sizes[first:]


def needed_parts(connection: duckdb.DuckDBPyConnection, cuts: Sequence[PartCut]) -> list[int]:
    """Return for each part the last of the earlier parts in which it, or a part before it, has a parent; 0 if there is none.

    Creates ``placed`` (_row, _above, place, part).
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


def waves_of(needs: Sequence[int]) -> list[int]:
    """Return the wave of each part: that of the part before it, or the next one if it needs a part of that wave."""
    waves: list[int] = []
    for needed in needs:
        waves.append(max(waves[-1] if waves else 1, waves[needed - 1] + 1 if needed else 1))
    return waves
