"""CSV, and the same with semicolons, tabs or bars: RFC 4180, strictly.

DuckDB parses the text with a fixed dialect while scan.py counts its records beside it: two independent counts, so that nothing
is lost silently. If the text is regular and both counts are one, that is all. Whatever else it is, Python's csv module reads it
record by record, ten times slower, and names each record that has not the header's shape.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa

from pipeline.datasets import Dataset
from pipeline.errors import Unreadable
from pipeline.read import columns
from pipeline.read.limits import Limits
from pipeline.read.scan import Scan
from pipeline.read.staging import Staging, quoted
from pipeline.read.table import Table

DELIMITERS = ",;\t|"
_BATCH_ROWS = 20_000


def read_delimited(chunks: Iterator[bytes], staging: Staging) -> Table:
    """Fill ``raw`` from a delimited text. Raises Unreadable for a header that does not name the columns."""
    first = next(chunks)
    delimiter = staging.delimiter or _delimiter(first[: staging.limits.header_bytes].decode(errors="ignore"), staging.dataset)
    scan, chunks = Scan(delimiter), chain([first], chunks)
    old_mac = b"\n" not in first and b"\r" in first
    if staging.text_file and not old_mac:
        return _read(staging.text_file, delimiter, _scanned(chunks, scan), scan, staging)
    copy = staging.folder / "text.csv"
    try:
        _copy(_scanned(_with_line_feeds(chunks) if old_mac else chunks, scan), copy)
        return _read(copy, delimiter, iter(()), scan, staging)
    finally:
        copy.unlink(missing_ok=True)


def _read(file: Path, delimiter: str, rest: Iterator[bytes], scan: Scan, staging: Staging) -> Table:
    """Parse ``file``; ``rest`` is what of its text the scan has yet to see. Fast if the text is regular."""
    names, lines, line_end = _header(file, delimiter, staging)
    with ThreadPoolExecutor(max_workers=1) as beside:
        parsed = beside.submit(_read_fast, file, names, delimiter, line_end, staging)
        try:
            for _ in rest:
                pass
        except BaseException:
            staging.connection.interrupt()  # nobody wants its answer any more
            raise
    scan.finish()
    if lines == 1 and line_end == scan.line_end and _is_regular(scan, len(names), staging.limits):
        records = parsed.result()
        if records == scan.records - 1:
            staging.add_lines((max(record, 1), line + 1 if record else 2) for record, line in scan.anchors)
            return Table(records, names, scan.longest_bytes, scan.has_nul, delimiter, scan.is_plain)
    records = _read_slowly(file, names, delimiter, staging)
    return Table(records, names, scan.longest_bytes, scan.has_nul, delimiter, scan.is_plain)


def _is_regular(scan: Scan, width: int, limits: Limits) -> bool:
    return scan.is_regular and scan.has_width(width) and scan.longest_bytes <= limits.record_bytes


def _scanned(chunks: Iterator[bytes], scan: Scan) -> Iterator[bytes]:
    for chunk in chunks:
        scan.feed(chunk)
        yield chunk


def _with_line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Old Macs ended lines with carriage returns; only a text without any line feed is taken for one of theirs."""
    return (chunk.replace(b"\r", b"\n") for chunk in chunks)


def _copy(chunks: Iterator[bytes], copy: Path) -> None:
    """Write the text out as it is, for parsers that want a file."""
    with copy.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


# --- The header ---


def _header(file: Path, delimiter: str, staging: Staging) -> tuple[tuple[str, ...], int, str]:
    """The columns' names, how many lines the header takes, and how its line ends."""
    limits, dataset = staging.limits, staging.dataset
    with _open(file) as text:
        opening = text.read(limits.header_bytes + 1)
    reader = csv.reader(_lines_of(opening), delimiter=delimiter, strict=True)
    csv.field_size_limit(limits.value_bytes)
    try:
        names = next((row for row in reader if row), [])
    except csv.Error as error:
        raise Unreadable(f"The header cannot be read: {error}.", code="malformed_row", line=1) from error
    if len(opening) > limits.header_bytes and reader.line_num > opening.count("\n"):
        raise Unreadable(f"The header is longer than {limits.header_bytes:,} bytes.", code="too_many_columns", line=1)
    _check_header(names, dataset, limits)
    for name in names:
        staging.find_unknown_column(name, line=reader.line_num)
    line = next((line for line in opening.split("\n") if line.strip()), "")
    return tuple(names), reader.line_num, "\r\n" if line.endswith("\r") else "\n"


def _check_header(names: list[str], dataset: Dataset, limits: Limits) -> None:
    refusal = columns.missing(names, dataset)
    if refusal and columns.looks_like_data(names, dataset):
        raise Unreadable(
            f"The first line looks like data, not like a header: {', '.join(names)[:200]}.",
            code="missing_column",
            hint=f"Put a line with the columns' names first: {', '.join(columns.required(dataset))}, ...",
            line=1,
        )
    columns.check_names(names, dataset, limits, line=1)
    if refusal:
        raise refusal


def _delimiter(opening: str, dataset: Dataset) -> str:
    """The one of the four by which the first line has the most of the dataset's columns, or else the most columns."""
    line = next((line for line in opening.splitlines() if line.strip()), "")

    def fits(delimiter: str) -> tuple[int, int]:
        names = [name.strip().strip('"') for name in line.split(delimiter)]
        return len(set(names) & set(dataset.names)), len(names)

    return max(DELIMITERS, key=fits)


def _lines_of(text: str) -> Iterator[str]:
    return iter(text.splitlines(keepends=True))


def _open(file: Path) -> TextIO:
    return file.open(encoding="utf-8-sig", newline="")


# --- A regular text, by DuckDB ---


def _read_fast(file: Path, names: tuple[str, ...], delimiter: str, line_end: str, staging: Staging) -> int:
    """Parse with everything fixed; -1 if DuckDB cannot take the text as it is.

    DuckDB 2.0.0 finds no records at all if it is told strictly that they end with CR LF; left alone it sees that itself.
    A new table's row ids are the numbers of its rows, in the order of the file; to count them anew costs as much as reading.
    """
    kinds = ", ".join(f"{_literal(name)}: 'varchar'" for name in names)
    ends = "" if line_end == "\r\n" else "new_line = '\\n', "
    query = f"""create or replace table text_rows as select * from read_csv(
        {_literal(str(file))}, columns = {{{kinds}}}, auto_detect = false, header = true, delim = {_literal(delimiter)},
        quote = '"', escape = '"', {ends}nullstr = '',
        allow_quoted_nulls = true, strict_mode = true, null_padding = false, ignore_errors = false, encoding = 'utf-8',
        max_line_size = {staging.limits.record_bytes})"""
    with staging.connection.cursor() as cursor:
        try:
            cursor.execute(query)
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.InterruptException):
            return -1
        cursor.execute("create or replace view raw as select rowid + 1 as _row, * from text_rows")
        ((counted,),) = cursor.execute("select count(*) from text_rows").fetchall()
    return int(counted)


# --- An irregular one, record by record ---


def _read_slowly(file: Path, names: tuple[str, ...], delimiter: str, staging: Staging) -> int:
    """Every record that has the header's shape becomes a row, every other one a finding; blank lines are passed over."""
    width, row = len(names), 0
    arrived = _Arrived(names, staging)
    with _open(file) as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        for line, record in _records(reader, staging):
            if line == 0:
                continue
            row += 1
            if isinstance(record, Fault):
                staging.find("malformed_row", record.message, row=row, line=line, hint=record.hint)
            elif len(record) != width:
                fault = _ragged(len(record), width, delimiter)
                value = delimiter.join(record)
                staging.find("malformed_row", fault.message, row=row, line=line, value=value, hint=fault.hint)
            else:
                arrived.add(row, line, record)
    arrived.flush()
    return row


class Fault:
    """Why a record cannot be taken."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint


def _records(reader: csv._reader, staging: Staging) -> Iterator[tuple[int, list[str] | Fault]]:  # type: ignore[name-defined]
    """(line, record) of each record with any field; the header comes as line 0."""
    header = True
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _broken(str(error), line, staging.limits)
            continue
        if record:
            yield (0 if header else line), record
            header = False


def _broken(error: str, line: int, limits: Limits) -> Fault:
    """What Python's csv module says, in our words. A quote that is never closed swallows the rest: that ends the reading."""
    if "unexpected end of data" in error:
        raise Unreadable(
            f"A quote is opened in the record that begins on line {line}, and never closed.",
            code="malformed_row",
            hint="Close it. A quote inside a quoted value is written twice.",
            line=line,
        )
    if "field larger" in error:
        raise Unreadable(
            f"The record that begins on line {line} holds a value of more than {limits.value_bytes:,} bytes;"
            " perhaps a quote is opened there and never closed.",
            code="value_too_long",
            hint="Close the quote, or shorten the value.",
            line=line,
        )
    return Fault(
        "Something follows the closing quote of a value.",
        "A quote inside a quoted value is written twice, not with \\.",
    )


def _ragged(found: int, width: int, delimiter: str) -> Fault:
    less = "A value is missing." if found < width else f"A value that holds {delimiter!r} must be in quotes."
    fields = "field" if found == 1 else "fields"
    return Fault(f"The record has {found} {fields}; the header has {width}.", less)


class _Arrived:
    """Rows on their way into ``raw``, a batch at a time, with the lines they came from."""

    def __init__(self, names: tuple[str, ...], staging: Staging) -> None:
        self._staging = staging
        kinds = ", ".join(f"{quoted(name)} varchar" for name in names)
        staging.connection.execute("drop view if exists raw")
        staging.connection.execute("drop table if exists text_rows")
        staging.connection.execute(f"create table raw (_row bigint, {kinds})")
        self._schema = pa.schema([("_row", pa.int64()), *((name, pa.string()) for name in names)])
        self._rows: list[tuple[object, ...]] = []
        self._anchors: list[tuple[int, int]] = []
        self._distance: int | None = None

    def add(self, row: int, line: int, record: list[str]) -> None:
        if line - row != self._distance:
            self._distance = line - row
            self._anchors.append((row, line))
        self._rows.append((row, *(value or None for value in record)))
        if len(self._rows) >= _BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            fields = zip(*self._rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(fields, self._schema, strict=True)]
            self._staging.insert("raw", pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows.clear()
        self._staging.add_lines(self._anchors)
        self._anchors.clear()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
