"""Read the findings file of a report, filter it and write it as another file; read its groups.

The file (Parquet, in S3) has every finding. It is read by ranges and batch by batch, so memory does not grow with its size.
Arrow is imported when the first file is requested: most processes never need it. Pages of findings come from the ledger's
index.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.adapters.s3 import NotThere, Store
from pipeline.spreadsheet_cells import safe_cell
from web.http.table_streams import BATCH_ROWS, Sink, arrow_stream, open_parquet

if TYPE_CHECKING:
    import pyarrow as pa

Finding = dict[str, Any]


FINDINGS_FORMS = ("csv", "json", "parquet", "xlsx")
"""The formats in which the findings of an import are stored."""

FIELDS = ("code", "severity", "message", "place", "row", "id", "line", "column", "value", "hint", "related", "cycle")
"""The fields of a finding in the API."""

_CSV_FIELDS = ("place", "row", "id", "code", "severity", "column", "value", "message", "hint", "line", "related", "cycle")


@dataclass(frozen=True)
class Wanted:
    """A filter of findings; None: any."""

    code: str | None = None
    severity: str | None = None

    @property
    def everything(self) -> bool:
        """Return whether the filter lets all findings through."""
        return self.code is None and self.severity is None

    def rows_of(self, batch: pa.RecordBatch) -> list[int]:
        """Return the indexes of a batch's wanted rows, from 0. Arrow compares, so that other rows cost next to nothing."""
        import pyarrow.compute as pc

        if self.everything:
            return [*range(batch.num_rows)]
        given = {"code": self.code, "severity": self.severity}
        masks = [pc.equal(batch.column(name), value) for name, value in given.items() if value is not None]
        both = masks[0] if len(masks) == 1 else pc.and_(*masks)
        rows: list[int] = pc.indices_nonzero(both).to_pylist()
        return rows


def findings_key(prefix: str, file_format: str) -> str:
    """Return the S3 key of the findings of a report as csv, json, parquet or xlsx. ``prefix`` is the report's."""
    return f"{prefix}findings.{file_format}"


def stored_groups(store: Store, prefix: str) -> dict[str, Any]:
    """Return the groups of findings in the report under ``prefix`` (pipeline/report/finding_groups.py).

    Empty if none are stored.
    """
    try:
        found: dict[str, Any] = orjson.loads(store.get_bytes(f"{prefix}groups.json"))
    except NotThere:
        return {"items": [], "groups": 0, "total": 0}
    return found


class FindingsFile:
    """The findings of the report under ``prefix``. Raises NotThere if there is no file of them."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._file = open_parquet(store, findings_key(prefix, "parquet"))

    def as_csv(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the wanted findings as CSV, with safe cells."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(_CSV_FIELDS)
        for finding in self._wanted(wanted):
            writer.writerow([_csv_cell(name, finding[name]) for name in _CSV_FIELDS])
            if line.tell() > 64 << 10:
                yield _taken(line)
        yield _taken(line)

    def as_json(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the wanted findings as one JSON array."""
        yield b"["
        separator = b"\n"
        for finding in self._wanted(wanted):
            yield separator + orjson.dumps(finding)
            separator = b",\n"
        yield b"\n]\n"

    def as_parquet(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the wanted findings as Parquet."""
        import pyarrow.parquet as pq

        sink = Sink()
        with pq.ParquetWriter(sink, self._file.schema_arrow) as writer:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                writer.write_batch(_taken_rows(batch, wanted.rows_of(batch)))
                yield sink.taken()
        yield sink.taken()

    def as_arrow(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the wanted findings as Arrow's IPC stream."""
        batches = self._file.iter_batches(batch_size=BATCH_ROWS)
        return arrow_stream(self._file.schema_arrow, (_taken_rows(batch, wanted.rows_of(batch)) for batch in batches))

    def _wanted(self, wanted: Wanted) -> Iterator[Finding]:
        """Yield the wanted findings one by one."""
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
            yield from _findings(batch, wanted.rows_of(batch))


def _findings(batch: pa.RecordBatch, rows: list[int]) -> list[Finding]:
    """Return rows of a batch as findings with exactly FIELDS."""
    return [{name: row.get(name) for name in FIELDS} for row in _taken_rows(batch, rows).to_pylist()]


def _taken_rows(batch: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    """Return these rows of a batch."""
    import pyarrow as pa

    return batch.take(pa.array(rows, pa.int64()))


def _csv_cell(name: str, value: Any) -> Any:
    if isinstance(value, list):
        value = (" → " if name == "cycle" else " ").join(value)
    return safe_cell(value)


def _taken(text: io.StringIO) -> bytes:
    """Return what was written since the last call."""
    data = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return data
