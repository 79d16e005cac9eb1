"""A file of any format -> the strict staging table ``raw``, or a clear refusal.

What the file is, its content says (unpack.py); then one function a format reads it (delimited.py, jsons.py). Faults of single
rows become findings and the reading goes on; a fault that leaves no table to speak of raises Unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from pipeline.datasets import Dataset
from pipeline.errors import Unreadable
from pipeline.read import columns, values
from pipeline.read.delimited import read_delimited
from pipeline.read.jsons import read_array, read_lines
from pipeline.read.limits import Limits
from pipeline.read.staging import Staging
from pipeline.read.table import Table
from pipeline.read.unpack import unpack

__all__ = ["FORMATS", "Limits", "Reading", "Staging", "read"]


@dataclass(frozen=True)
class Reading:
    """What was read, and as what. ``delimiter`` is empty where the format has none."""

    records: int
    format: str
    compression: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]


Reader = Callable[[Iterator[bytes], Staging], Table]

FORMATS: dict[str, tuple[bytes, Reader]] = {
    "json": (b"[", read_array),
    "ndjson": (b"{", read_lines),
    "csv": (b"", read_delimited),
}
"""Each format with the character its text begins with, and its reader. The first that fits is taken."""


def read(
    source: Path,
    dataset: Dataset,
    *,
    database: Path,
    filename: str = "",
    delimiter: str | None = None,
    limits: Limits | None = None,
) -> Reading:
    """Read ``source`` into a new DuckDB file ``database``: tables raw, findings, lines and reading.

    ``delimiter`` is what stands between the values of a delimited text, if the uploader said so. ``filename`` is never used to
    recognise the format, only to speak of the file. Raises Unreadable, leaving no database.
    """
    limits = limits or Limits()
    text = unpack(source, limits)
    chunks, form = _recognise(text.chunks)
    with Staging(database, dataset, limits, folder=source.parent) as staging:
        staging.delimiter = delimiter
        if text.compression == "none" and text.encoding == "utf-8":
            staging.text_file = source
        table = FORMATS[form][1](chunks, staging)
        if not table.records:
            what = filename or "The file"
            raise Unreadable(f"{what} holds no records.", code="empty_file", hint="Add at least one record.")
        refusal = columns.missing(table.columns, dataset)
        if refusal:
            raise refusal
        values.check_values(staging, table)
        reading = Reading(table.records, form, text.compression, text.encoding, table.delimiter, table.columns)
        staging.record(pa.Table.from_pylist([asdict(reading)]))
    return reading


def _recognise(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], str]:
    """The format by the first character that is not white space, and the text from its beginning."""
    seen: list[bytes] = []
    for chunk in chunks:
        seen.append(chunk)
        opening = chunk.lstrip()
        if opening:
            form = next(name for name, (mark, _) in FORMATS.items() if opening.startswith(mark))
            return chain(seen, chunks), form
    raise Unreadable("The file holds nothing but white space.", code="empty_file", hint="Upload it again.")
