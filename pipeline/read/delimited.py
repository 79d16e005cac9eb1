"""CSV, and the same with semicolons, tabs or bars: RFC 4180, strictly.

The text is copied to a plain file and counted on the way (scan.py). If it is regular, DuckDB parses the copy with a fixed
dialect and must come to the same number of records: two independent counts, so that nothing is lost silently. Whatever else it
is, Python's csv module reads it record by record, four times slower, and names each record that has not the header's shape.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
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
    copy = staging.database.with_suffix(".csv")
    try:
        first = next(chunks)
        delimiter = _delimiter(first[: staging.limits.header_bytes].decode(errors="ignore"), staging.dataset)
        scan = _copy(chain([first], chunks), copy, Scan(delimiter))
        names, lines = _header(copy, delimiter, staging)
        regular = scan.is_regular and scan.has_width(len(names)) and lines == 1
        if regular and scan.longest_bytes <= staging.limits.record_bytes:
            records = _read_fast(copy, names, delimiter, scan, staging)
            if records == scan.records - 1:
                staging.add_lines((max(record, 1), line + 1 if record else 2) for record, line in scan.anchors)
                return Table(records, names, scan.longest_bytes, scan.has_nul, delimiter)
        records = _read_slowly(copy, names, delimiter, staging)
        return Table(records, names, scan.longest_bytes, scan.has_nul, delimiter)
    finally:
        copy.unlink(missing_ok=True)


def _copy(chunks: Iterator[bytes], copy: Path, scan: Scan) -> Scan:
    """Write the text out as it is. Only where no line feed is anywhere do carriage returns become line feeds (old Macs)."""
    first = next(chunks)
    old_mac = b"\n" not in first and b"\r" in first
    with copy.open("wb") as file:
        for chunk in chain([first], chunks):
            text = chunk.replace(b"\r", b"\n") if old_mac else chunk
            file.write(text)
            scan.feed(text)
    scan.finish()
    return scan


# --- The header ---


def _header(copy: Path, delimiter: str, staging: Staging) -> tuple[tuple[str, ...], int]:
    """The columns' names, and how many lines the header takes."""
    limits, dataset = staging.limits, staging.dataset
    with _open(copy) as file:
        opening = file.read(limits.header_bytes + 1)
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
    return tuple(names), reader.line_num


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


def _open(copy: Path) -> TextIO:
    return copy.open(encoding="utf-8", newline="")


# --- A regular text, by DuckDB ---


def _read_fast(copy: Path, names: tuple[str, ...], delimiter: str, scan: Scan, staging: Staging) -> int:
    """Parse with everything fixed; -1 if DuckDB cannot take the text as it is."""
    kinds = ", ".join(f"{_literal(name)}: 'varchar'" for name in names)
    query = f"""create or replace table raw as select row_number() over () as _row, * from read_csv(
        {_literal(str(copy))}, columns = {{{kinds}}}, auto_detect = false, header = true, delim = {_literal(delimiter)},
        quote = '"', escape = '"', new_line = '{scan.line_end}', nullstr = '', allow_quoted_nulls = true,
        strict_mode = true, null_padding = false, ignore_errors = false, encoding = 'utf-8',
        max_line_size = {staging.limits.record_bytes})"""
    try:
        staging.connection.execute(query)
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        return -1
    ((counted,),) = staging.connection.execute("select count(*) from raw").fetchall()
    return int(counted)


# --- An irregular one, record by record ---


def _read_slowly(copy: Path, names: tuple[str, ...], delimiter: str, staging: Staging) -> int:
    """Every record that has the header's shape becomes a row, every other one a finding; blank lines are passed over."""
    width, row = len(names), 0
    arrived = _Arrived(names, staging)
    with _open(copy) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
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
        staging.connection.execute(f"create or replace table raw (_row bigint, {kinds})")
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
