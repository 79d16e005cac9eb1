"""Reading the findings file of an import: pages, filters, the first of each kind; never more of it than is needed.

The file (Parquet, in S3) holds every finding. It is read by ranges and batch by batch, so neither its size nor the
number of findings matters to memory. Arrow is loaded when the first page is asked for: most processes never show one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.contracts import report_prefix
from pipeline.store import NotThere, Store, Stored

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Finding = dict[str, Any]

BATCH_ROWS = 2000
RANGE_BYTES = 4 << 20
LOOKED_AT_MAX = 200_000
"""How far the overview looks for the first findings of each code."""

FIELDS = ("code", "severity", "message", "row", "id", "line", "column", "value", "hint", "related", "cycle")
"""A finding as the API shows it."""

_CSV_FIELDS = ("row", "id", "code", "severity", "column", "value", "message", "hint", "line", "related", "cycle")
_FORMULA = re.compile(r"(?s)[\s\xa0]*[=+\-@＝＋－＠].*|[\t\r\n].*")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


@dataclass(frozen=True)
class Wanted:
    """Which findings; None: any."""

    code: str | None = None
    severity: str | None = None

    @property
    def everything(self) -> bool:
        """No finding is left out."""
        return self.code is None and self.severity is None

    def takes(self, finding: Finding) -> bool:
        """This finding is wanted."""
        return self.code in (None, finding["code"]) and self.severity in (None, finding["severity"])


def findings_key(import_id: str, file_format: str) -> str:
    """Where the findings of an import lie in S3, as csv, json or parquet."""
    return f"{report_prefix(import_id)}findings.{file_format}"


class FindingsFile:
    """The findings of one import. Raises NotThere if there is no file of them."""

    def __init__(self, store: Store, import_id: str) -> None:
        import pyarrow.parquet as pq

        stored = store.head(findings_key(import_id, "parquet"))
        if stored is None:
            raise NotThere(f"The import {import_id} has no findings file.")
        self._file: pq.ParquetFile = pq.ParquetFile(io.BufferedReader(_Ranges(store, stored), RANGE_BYTES))

    @property
    def total(self) -> int:
        """Number of all findings."""
        return int(self._file.metadata.num_rows)

    def count(self, wanted: Wanted) -> int:
        """Number of wanted findings."""
        if wanted.everything:
            return self.total
        batches = self._file.iter_batches(batch_size=BATCH_ROWS, columns=["code", "severity"])
        return sum(wanted.takes(finding) for batch in batches for finding in batch.to_pylist())

    def page(self, wanted: Wanted, *, after: int, limit: int) -> tuple[list[Finding], int | None]:
        """Wanted findings behind the first ``after`` of the file, and where the next page begins, if there is one."""
        items: list[Finding] = []
        last = after
        for at, finding in self._numbered(after):
            if not wanted.takes(finding):
                continue
            if len(items) == limit:
                return items, last
            items.append(finding)
            last = at
        return items, None

    def first_of_each(self, codes: dict[str, int], count: int) -> dict[str, list[Finding]]:
        """The first ``count`` findings of each code; ``codes`` says how many there are of each."""
        found: dict[str, list[Finding]] = {code: [] for code in codes}
        missing = sum(min(count, there) for there in codes.values())
        for at, finding in self._numbered(0):
            if not missing or at > LOOKED_AT_MAX:
                break
            firsts = found.setdefault(finding["code"], [])
            if len(firsts) < count:
                firsts.append(finding)
                missing -= 1
        return found

    def as_csv(self, wanted: Wanted) -> Iterator[bytes]:
        """Wanted findings as CSV, in the order of the stored file's columns."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(_CSV_FIELDS)
        for _, finding in self._numbered(0):
            if wanted.takes(finding):
                writer.writerow([_csv_cell(name, finding[name]) for name in _CSV_FIELDS])
                if line.tell() > 64 << 10:
                    yield _taken(line)
        yield _taken(line)

    def as_json(self, wanted: Wanted) -> Iterator[bytes]:
        """Wanted findings as one JSON array."""
        yield b"["
        separator = b"\n"
        for _, finding in self._numbered(0):
            if wanted.takes(finding):
                yield separator + orjson.dumps(finding)
                separator = b",\n"
        yield b"\n]\n"

    def as_parquet(self, wanted: Wanted) -> Iterator[bytes]:
        """Wanted findings as Parquet."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = io.BytesIO()
        with pq.ParquetWriter(sink, self._file.schema_arrow) as writer:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                takes = pa.array([wanted.takes(finding) for finding in batch.select(["code", "severity"]).to_pylist()])
                writer.write_batch(batch.filter(takes))
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
        yield sink.getvalue()

    def _numbered(self, after: int) -> Iterator[tuple[int, Finding]]:
        """Findings behind the first ``after``, each with its number in the file; row groups are skipped unread."""
        groups, at = self._groups_behind(after)
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups):
            yield from self._of_batch(batch, at, after)
            at += batch.num_rows

    def _groups_behind(self, after: int) -> tuple[list[int], int]:
        """The row groups that reach beyond ``after``, and the number of rows before the first of them."""
        start = 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if start + rows > after:
                return [*range(group, self._file.num_row_groups)], start
            start += rows
        return [], start

    @staticmethod
    def _of_batch(batch: pa.RecordBatch, start: int, after: int) -> Iterator[tuple[int, Finding]]:
        skip = max(0, after - start)
        for at, finding in enumerate(batch.slice(skip).to_pylist(), start=start + skip + 1):
            yield at, {name: finding.get(name) for name in FIELDS}


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


def _csv_cell(name: str, value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): a quote goes before it. Numbers are none."""
    if isinstance(value, list):
        value = (" → " if name == "cycle" else " ").join(value)
    if isinstance(value, str) and _FORMULA.fullmatch(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def _taken(text: io.StringIO) -> bytes:
    """What was written since the last time."""
    data = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return data
