"""Reading the findings file of an import: what is wanted of it, as a file again; and its groups.

The file (Parquet, in S3) holds every finding. It is read by ranges and batch by batch, so neither its size nor the
number of findings matters to memory. Arrow is loaded when the first file is asked for: most processes never give one.
Pages of findings come from the ledger, which has them by index.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.contracts import report_prefix
from pipeline.store import NotThere, Store, Stored
from web.answers import safe_cell

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Finding = dict[str, Any]

BATCH_ROWS = 2000
RANGE_BYTES = 4 << 20

FINDINGS_FORMS = ("csv", "json", "parquet", "xlsx")
"""What the findings of an import are stored as."""

FIELDS = ("code", "severity", "message", "row", "id", "line", "column", "value", "hint", "related", "cycle")
"""A finding as the API shows it."""

_CSV_FIELDS = ("row", "id", "code", "severity", "column", "value", "message", "hint", "line", "related", "cycle")


@dataclass(frozen=True)
class Wanted:
    """Which findings; None: any."""

    code: str | None = None
    severity: str | None = None

    @property
    def everything(self) -> bool:
        """No finding is left out."""
        return self.code is None and self.severity is None

    def rows_of(self, batch: pa.RecordBatch) -> list[int]:
        """The numbers of the wanted rows of a batch, from 0. Arrow looks; a row that is not wanted costs next to nothing."""
        import pyarrow.compute as pc

        if self.everything:
            return [*range(batch.num_rows)]
        given = {"code": self.code, "severity": self.severity}
        masks = [pc.equal(batch.column(name), value) for name, value in given.items() if value is not None]
        both = masks[0] if len(masks) == 1 else pc.and_(*masks)
        rows: list[int] = pc.indices_nonzero(both).to_pylist()
        return rows


def findings_key(import_id: str, file_format: str) -> str:
    """Where the findings of an import lie in S3, as csv, json, parquet or xlsx."""
    return f"{report_prefix(import_id)}findings.{file_format}"


def stored_groups(store: Store, import_id: str) -> dict[str, Any]:
    """The groups of findings as validation left them (pipeline/groups.py); none if it left none."""
    try:
        found: dict[str, Any] = orjson.loads(store.get_bytes(f"{report_prefix(import_id)}groups.json"))
    except NotThere:
        return {"items": [], "groups": 0, "total": 0}
    return found


class FindingsFile:
    """The findings of one import. Raises NotThere if there is no file of them."""

    def __init__(self, store: Store, import_id: str) -> None:
        import pyarrow.parquet as pq

        stored = store.head(findings_key(import_id, "parquet"))
        if stored is None:
            raise NotThere(f"The import {import_id} has no findings file.")
        self._file: pq.ParquetFile = pq.ParquetFile(io.BufferedReader(_Ranges(store, stored), RANGE_BYTES))

    def as_csv(self, wanted: Wanted) -> Iterator[bytes]:
        """Wanted findings as CSV, in the order of the stored file's columns."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(_CSV_FIELDS)
        for finding in self._wanted(wanted):
            writer.writerow([_csv_cell(name, finding[name]) for name in _CSV_FIELDS])
            if line.tell() > 64 << 10:
                yield _taken(line)
        yield _taken(line)

    def as_json(self, wanted: Wanted) -> Iterator[bytes]:
        """Wanted findings as one JSON array."""
        yield b"["
        separator = b"\n"
        for finding in self._wanted(wanted):
            yield separator + orjson.dumps(finding)
            separator = b",\n"
        yield b"\n]\n"

    def as_parquet(self, wanted: Wanted) -> Iterator[bytes]:
        """Wanted findings as Parquet."""
        import pyarrow.parquet as pq

        sink = _Sink()
        with pq.ParquetWriter(sink, self._file.schema_arrow) as writer:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                writer.write_batch(_taken_rows(batch, wanted.rows_of(batch)))
                yield sink.taken()
        yield sink.taken()

    def _wanted(self, wanted: Wanted) -> Iterator[Finding]:
        """Wanted findings, one by one."""
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
            yield from _findings(batch, wanted.rows_of(batch))


def _findings(batch: pa.RecordBatch, rows: list[int]) -> list[Finding]:
    """Rows of a batch as findings, with every field, whatever else the file holds."""
    return [{name: row.get(name) for name in FIELDS} for row in _taken_rows(batch, rows).to_pylist()]


def _taken_rows(batch: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    """Only these rows of a batch, perhaps none."""
    import pyarrow as pa

    return batch.take(pa.array(rows, pa.int64()))


class _Ranges(io.RawIOBase):
    """An object in S3 as a file that can be read from anywhere in it, by ranges."""

    def __init__(self, store: Store, stored: Stored) -> None:
        super().__init__()
        self._store = store
        self._stored = stored
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stored.size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._stored.size_bytes - self._at)
        if size <= 0:
            return 0
        data = self._store.get_range(self._stored.key, self._at, self._at + size - 1, self._stored.etag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Sink(io.RawIOBase):
    """A file that is handed on while it is being written; it knows how long it is without keeping it."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._at += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _csv_cell(name: str, value: Any) -> Any:
    if isinstance(value, list):
        value = (" → " if name == "cycle" else " ").join(value)
    return safe_cell(value)


def _taken(text: io.StringIO) -> bytes:
    """What was written since the last time."""
    data = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return data
