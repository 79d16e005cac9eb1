"""Read CSV, also with semicolons, tabs or bars: RFC 4180, strictly.

DuckDB parses the text with a fixed dialect while delimited_scan.py counts its records: two independent counts, so that no
record is lost silently. If the text is regular and the counts agree, that is all. Any other text is read by Python's csv module
record by record, five times slower, with a finding for each record that does not have the header's columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import duckdb

from pipeline.errors import Unreadable
from pipeline.read.formats.delimited_header import Header, delimiter_of, read_header, trailing_empty_fields
from pipeline.read.formats.delimited_scan import Scan
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.read.row_writer import RowWriter
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.staging_query import casts, typed_name


def read_delimited(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a delimited text. Raises Unreadable for a header that does not name the columns."""
    first = _opening(chunks, staging.limits.header_bytes + 1)
    chunks = chain([first], chunks)
    old_mac = b"\n" not in first and b"\r" in first
    if old_mac:
        chunks, first = _with_line_feeds(chunks), first.replace(b"\r", b"\n")
    opening = first.decode(errors="ignore")[: staging.limits.header_bytes + 1]
    delimiter = delimiter_of(opening, staging.dataset, staging.options.delimiter)
    header, scan = read_header(opening, delimiter, staging), Scan(delimiter)
    if staging.text_file and not old_mac:
        return _read(staging.text_file, header, _scanned(chunks, scan), scan, staging)
    copy = staging.folder / "text.csv"
    try:
        _copy(_scanned(chunks, scan), copy)
        return _read(copy, header, iter(()), scan, staging)
    finally:
        copy.unlink(missing_ok=True)


def _read(file: Path, header: Header, rest: Iterator[bytes], scan: Scan, staging: RawTables) -> ReadResult:
    """Parse ``file``; ``rest`` is the part of its text that is not scanned yet. Fast if the text is regular."""
    names, records = header.names, -1
    with ThreadPoolExecutor(max_workers=1) as beside:
        parsed = beside.submit(_read_fast, file, header, scan.delimiter, staging) if header.is_regular else None
        try:
            for _ in rest:
                pass
        except BaseException:
            staging.connection.interrupt()  # its result is not needed any more
            raise
    scan.finish()
    if parsed and header.line_end == scan.line_end and _is_regular(scan, len(names), staging.limits):
        records = parsed.result()
    if records >= 0 and records == scan.records - 1:
        staging.add_line_numbers((max(record, 1), line + 1 if record else 2) for record, line in scan.anchors)
    else:
        records = _read_slowly(file, header, scan.delimiter, staging)
    return ReadResult(records, names, scan.longest_bytes, scan.has_nul, scan.delimiter, header.originals, scan.is_plain)


def _opening(chunks: Iterator[bytes], size: int) -> bytes:
    """Return the first ``size`` bytes or more, in whatever chunks they come; the whole text if it is shorter."""
    opening = next(chunks)
    while len(opening) < size and (chunk := next(chunks, b"")):
        opening += chunk
    return opening


def _is_regular(scan: Scan, width: int, limits: Limits) -> bool:
    return scan.is_regular and scan.has_width(width) and scan.longest_bytes <= limits.record_bytes


def _scanned(chunks: Iterator[bytes], scan: Scan) -> Iterator[bytes]:
    for chunk in chunks:
        scan.feed(chunk)
        yield chunk


def _with_line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Replace carriage returns, with which old Macs ended lines; only for a text without any line feed."""
    return (chunk.replace(b"\r", b"\n") for chunk in chunks)


def _copy(chunks: Iterator[bytes], copy: Path) -> None:
    """Write the text to a file, which the parsers need."""
    with copy.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _open(file: Path) -> TextIO:
    return file.open(encoding="utf-8-sig", newline="")


# --- A regular text, by DuckDB ---


def _read_fast(file: Path, header: Header, delimiter: str, staging: RawTables) -> int:
    """Parse with a fixed dialect; return the number of records, or -1 if DuckDB cannot parse the text.

    DuckDB 2.0.0 finds no records at all if the option says strictly that they end with CR LF; without it, it detects them.
    Columns that are not text are cast at the same time. A new table's row ids number its rows in the order of the file;
    numbering them again would cost as much as reading.
    """
    kinds = ", ".join(f"{literal(name)}: 'varchar'" for name in header.names)
    ends = "" if header.line_end == "\r\n" else "new_line = '\\n', "
    typed = "".join(f", {value} as {quoted(typed_name(name))}" for name, value in casts(staging.dataset, header.names).items())
    query = f"""create or replace table text_rows as select *{typed} from read_csv(
        {literal(str(file))}, columns = {{{kinds}}}, auto_detect = false, header = true, delim = {literal(delimiter)},
        quote = '"', escape = '"', {ends}nullstr = '',
        allow_quoted_nulls = true, strict_mode = true, null_padding = false, ignore_errors = false, encoding = 'utf-8',
        max_line_size = {staging.limits.record_bytes})"""
    with staging.connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        try:
            cursor.execute(query)
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.InterruptException):
            return -1
        texts = ", ".join(map(quoted, header.names))
        cursor.execute(f"create or replace view raw as select rowid + 1 as _row, {texts} from text_rows")
        ((counted,),) = cursor.execute("select count(*) from text_rows").fetchall()
    return int(counted)


# --- An irregular one, record by record ---


def _read_slowly(file: Path, header: Header, delimiter: str, staging: RawTables) -> int:
    """Write every record with the header's columns as a row, every other one as a finding; skip blank lines.

    Empty fields after the header's last column are dropped, where the header or the first record has them too.
    """
    width, trailing_empty, row, widths = len(header.names), header.trailing_empty, 0, set[int]()
    writer = RowWriter(header.names, staging)
    with _open(file) as text:
        lines = RecordLines(text, staging.limits)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for line, record in islice(_records(reader, lines, staging), header.records, None):
            row += 1
            if row == 1 and not trailing_empty and not isinstance(record, RecordFault):
                trailing_empty = trailing_empty_fields(record, width)
            if (
                not isinstance(record, RecordFault)
                and width <= len(record) <= width + trailing_empty
                and not any(record[width:])
            ):
                writer.add(row, line, record[:width])
                continue
            fault = record if isinstance(record, RecordFault) else _wrong_width(record, width, delimiter)
            widths.add(0 if isinstance(record, RecordFault) else len(record))
            staging.add_finding("malformed_row", fault.message, row=row, line=line, value=fault.value, hint=fault.hint)
            staging.add_malformed(row, line, lines.text)
    writer.flush()
    if row > 1 and not writer.rows and len(widths) == 1 and 0 not in widths:
        raise _wrong_header(widths.pop(), header, delimiter)
    return row


class RecordFault:
    """Why a record is malformed."""

    def __init__(self, message: str, hint: str, value: str | None = None) -> None:
        self.message, self.hint, self.value = message, hint, value


class RecordLines:
    """The lines of a text, none longer than a record may be; it remembers those of the current record."""

    def __init__(self, file: TextIO, limits: Limits) -> None:
        self._file, self._most = file, limits.record_bytes
        self.number = 0
        self.begin()

    def begin(self) -> None:
        """Start a record with the next line."""
        self.first, self._pieces, self._size = self.number + 1, list[str](), 0

    @property
    def text(self) -> str:
        """Return the current record as it is in the file, with its line ends."""
        return "".join(self._pieces)

    def __iter__(self) -> Iterator[str]:
        """Yield line by line, without the mark with which DOS ended a text (Ctrl-Z)."""
        while line := self._file.readline(self._most + 1):
            self.number += 1
            if line[0] == "\0" and not line.strip("\0\r\n"):
                raise Unreadable(
                    f"Line {self.number} is nothing but NUL characters: this is a binary or truncated copy of the file.",
                    hint="Upload it again, from where it is whole.",
                    line=self.number,
                )
            self._size += len(line)
            if self._size > self._most:
                raise _too_long(self.first, self._most)
            ended = line.removesuffix("\x1a")
            self._pieces.append(ended)
            if ended:
                yield ended


def _too_long(line: int, most: int) -> Unreadable:
    return Unreadable(
        f"The record that begins on line {line} is longer than {most:,} bytes;"
        " perhaps a quote is opened there and never closed.",
        code="value_too_long",
        hint="Close the quote, or shorten the record.",
        line=line,
    )


def _records(
    reader: csv._reader,  # type: ignore[name-defined]
    lines: RecordLines,
    staging: RawTables,
) -> Iterator[tuple[int, list[str] | RecordFault]]:
    """Yield (line, record) for each record with any field."""
    while True:
        lines.begin()
        line = lines.first
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _csv_fault(str(error), line, staging.limits)
            continue
        if record:
            yield line, record


def _csv_fault(error: str, line: int, limits: Limits) -> RecordFault:
    """Return the fault for an error of Python's csv module. Raises Unreadable for an unclosed quote: it hides the rest."""
    if "unexpected end of data" in error:
        raise Unreadable(
            f"A quote is opened in the record that begins on line {line}, and never closed.",
            code="malformed_row",
            hint="Close it. A quote inside a quoted value is written twice.",
            line=line,
        )
    if "field larger" in error:
        raise Unreadable(
            f"The record that begins on line {line} contains a value of more than {limits.value_bytes:,} bytes;"
            " perhaps a quote is opened there and never closed.",
            code="value_too_long",
            hint="Close the quote, or shorten the value.",
            line=line,
        )
    return RecordFault(
        "There is text after the closing quote of a value.",
        "A quote inside a quoted value is written twice, not with \\.",
    )


def _wrong_width(record: list[str], width: int, delimiter: str) -> RecordFault:
    found = len(record)
    less = "A value is missing." if found < width else f"A value that contains {delimiter!r} must be in quotes."
    fields = "field" if found == 1 else "fields"
    return RecordFault(f"The record has {found} {fields}; the header has {width}.", less, delimiter.join(record))


def _wrong_header(found: int, header: Header, delimiter: str) -> Unreadable:
    """Return the error about a header that fits no record: it seems to be that of another table."""
    fields = "field" if found == 1 else "fields"
    return Unreadable(
        f"Every record has {found} {fields}; the header has {len(header.names)}: {', '.join(header.originals)[:200]}.",
        code="malformed_row",
        hint=f"Name every column in the header, or check whether {delimiter!r} is the delimiter.",
        line=header.lines + 1,
    )
