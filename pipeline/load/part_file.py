"""Read one part: a Parquet file whose SHA-256 the manifest gives. Slice its records by bytes, so that memory stays bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.errors import DamagedPart
from pipeline.load.decimals import STAGED, trimmed

CARRIED = ("_batch", "_row")
"""The columns of a part beside the dataset's: the number of the batch, and of the row in the uploaded file."""

SLICE_BYTES = 8 << 20
"""Bytes of values that are turned into COPY text, or into failures, at once; a single record may be larger."""

VALUE_BYTES = 16
"""Overhead of a value in bytes, beside its text."""


@dataclass(frozen=True)
class PartFile:
    """One part of an import: where its file lies, and what the manifest says about it.

    ``needed``: the last of the earlier parts that must be loaded before; 0 if none.
    """

    path: Path
    import_id: str
    part_no: int
    sha256: str
    needed: int = 0


@dataclass(frozen=True)
class Records:
    """The records of a part, parents first. The index of a record in ``table`` is its *place*."""

    dataset: Dataset
    table: pa.Table

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The dataset's columns that the part has. Columns added to the table later keep the values they have."""
        return tuple(column for column in self.dataset.columns if column.name in self.table.column_names)

    @cached_property
    def sizes(self) -> pa.Array:
        """The approximate size of each record in bytes."""
        sizes = pa.array([VALUE_BYTES * self.table.num_columns] * self.table.num_rows, pa.int64())
        for column in self.table.combine_chunks().columns:
            if pa.types.is_string(column.type):
                lengths = pc.fill_null(pc.binary_length(column), 0).cast(pa.int64())
                sizes = pc.add(sizes, lengths.combine_chunks())
        return sizes

    def batches(self) -> Iterator[tuple[int, int]]:
        """Yield the range of places of each batch: the first place, and the one after the last."""
        numbers = self.table.column("_batch").to_pylist()
        first = 0
        for place in range(1, len(numbers) + 1):
            if place == len(numbers) or numbers[place] != numbers[first]:
                yield first, place
                first = place

    def slices(self) -> Iterator[pa.Table]:
        """Yield the records in slices of at most ``SLICE_BYTES``, each with the column ``_place``."""
        for first, last in slice_ranges(self.sizes):
            yield self.table.slice(first, last - first).append_column("_place", pa.array(range(first, last), pa.int32()))

    def sorted_slices(self, import_id: str) -> Iterator[pa.Table]:
        """Yield the records sorted by key in slices, each with the column ``_import_id``.

        They are sorted slice by slice, since a sorted copy of all would need their memory again.
        """
        order = pc.sort_indices(self.table.column(self.dataset.key))
        for first, last in slice_ranges(self.sizes.take(order)):
            some = self.table.take(order.slice(first, last - first))
            yield some.append_column("_import_id", pa.array([import_id] * some.num_rows))

    def as_json(self, place: int) -> dict[str, Any]:
        """Return the record at ``place`` by column, with values that JSON can hold."""
        return {column.name: exact(self.table.column(column.name)[place]) for column in self.columns}


def read_records(path: Path, dataset: Dataset, sha256: str) -> Records:
    """Read a part's records. Raises DamagedPart if the file is not the one that was stored, or not of this dataset."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DamagedPart(f"it has {path.stat().st_size:,} bytes whose checksum is not the manifest's")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedPart(f"it cannot be read: {error}") from error
    if not _fits(dataset, set(table.column_names)):
        raise DamagedPart(f"its columns are {', '.join(table.column_names)}; the table's are {', '.join(dataset.names)}")
    return Records(dataset, table)


def _fits(dataset: Dataset, names: set[str]) -> bool:
    """Return whether the table has all the part's columns, and the part all that the table had when the part was written."""
    later = [column for column in dataset.columns if column.name not in names]
    return (
        names <= {*CARRIED, *dataset.names}
        and names >= {*CARRIED, dataset.key, dataset.parent}
        and all(column.may_be_absent for column in later)
    )


def slice_ranges(sizes: pa.Array) -> Iterator[tuple[int, int]]:
    """Yield ranges of places whose sizes add up to at most ``SLICE_BYTES``, by halving; a larger size is a range by itself."""
    ends = pc.cumulative_sum(sizes)
    todo = [(0, len(sizes))] if len(sizes) else []
    while todo:
        first, last = todo.pop()
        size = ends[last - 1].as_py() - (ends[first - 1].as_py() if first else 0)
        if size <= SLICE_BYTES or last - first == 1:
            yield first, last
        else:
            middle = (first + last) // 2
            todo += [(middle, last), (first, middle)]


def exact(scalar: pa.Scalar) -> Any:
    """Return a value as JSON can hold it, with every digit: what JSON has no type for becomes text."""
    if pa.types.is_float32(scalar.type) and scalar.is_valid:
        return float(scalar.cast(pa.string()).as_py())  # 0.1, and not the double that is nearest to the float
    if scalar.type == STAGED:
        return trimmed(scalar)
    value = scalar.as_py()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
