"""Read CSV, also with semicolons, tabs, bars or other delimiters: RFC 4180, strictly.

delimited_layout.py finds the header and the dialect in the first lines. DuckDB parses the text with that fixed dialect while
delimited_scan.py counts its records: two independent counts, so that no record is lost silently. If the text is regular and the
counts agree, that is all. Any other text is read by Python's csv module record by record, five times slower, with a finding for
each record that does not have the header's columns.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

import duckdb

from pipeline.errors import InternalInconsistency
from pipeline.read.formats.delimited_header import Header, key_place, read_header, trailing_empty_fields, wrong_header
from pipeline.read.formats.delimited_layout import Layout, layout_of
from pipeline.read.formats.delimited_lines import LEFT_OUT
from pipeline.read.formats.delimited_quotes import quotes_are_data, warn_about_swallowed
from pipeline.read.formats.delimited_records import RecordFault, RecordLines, SpacedQuotes, records, wrong_width
from pipeline.read.formats.delimited_scan import Scan
from pipeline.read.formats.delimited_skips import BLANK, Skips
from pipeline.read.formats.text_kinds import refuse_other_line_ends
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
    refuse_other_line_ends(opening)
    layout = layout_of(opening, staging.dataset, staging.options)
    above = _line_end(opening, layout.before)
    header = read_header(opening[above:], layout, staging)
    for report in layout.reports:
        hint = "Check the columns and the first records."
        staging.add_finding("unusual_format", report, severity="warning", line=header.lines, hint=hint)
    scan = Scan(layout.dialect.character, layout.dialect.quote if layout.dialect.is_fast else None)
    if staging.text_file and not old_mac and not above:
        return _read(staging.text_file, header, layout, _scanned(chunks, scan), scan, staging)
    copy = staging.folder / "text.csv"
    try:
        _copy(_scanned(_without_beginning(chunks, len(opening[:above].encode())), scan), copy)
        return _read(copy, header, layout, iter(()), scan, staging)
    finally:
        copy.unlink(missing_ok=True)


def _read(file: Path, header: Header, layout: Layout, rest: Iterator[bytes], scan: Scan, staging: RawTables) -> ReadResult:
    """Parse ``file``; ``rest`` is the part of its text that is not scanned yet. Fast if the text is regular."""
    names, dialect, counted = header.names, header.dialect, -1
    with ThreadPoolExecutor(max_workers=1) as beside:
        parsed = beside.submit(_read_fast, file, header, staging) if header.is_regular else None
        try:
            for _ in rest:
                pass
        except BaseException:
            staging.connection.interrupt()  # its result is not needed any more
            raise
    scan.finish()
    if _may_have_plain_quotes(scan, header, staging) and quotes_are_data(file, dialect.delimiter, len(names)):
        return _read_without_quotes(file, header, layout, scan, staging)
    if parsed and header.line_end == scan.line_end and _is_regular(scan, len(names), staging.limits):
        counted = parsed.result()
    if counted >= 0 and counted == scan.records - 1 and not _has_skips(header, staging):
        staging.add_line_numbers((max(record, 1), header.before + (line + 1 if record else 2)) for record, line in scan.anchors)
        skips = Skips(header.written, layout.skipped)
    else:
        counted, skips = _read_slowly(file, header, layout, scan, staging)
    skips.report(staging)
    if dialect.quote and (scan.has_long_records or not dialect.is_fast):
        warn_about_swallowed(staging, names, dialect)
    known = (scan.longest_bytes, scan.has_nul) if dialect.is_fast else (staging.limits.record_bytes, True)
    return ReadResult(counted, names, *known, dialect.delimiter, header.originals, scan.is_plain and dialect.is_fast)


def _may_have_plain_quotes(scan: Scan, header: Header, staging: RawTables) -> bool:
    """Return whether quotes may be data: in a text with tabs, they seldom mean anything else."""
    odd = scan.loose_quotes or scan.quotes % 2 == 1 or scan.lines > scan.records
    return bool(scan.quotes) and odd and header.dialect.delimiter == "\t" and staging.options.quote is None


def _read_without_quotes(file: Path, header: Header, layout: Layout, scan: Scan, staging: RawTables) -> ReadResult:
    """Parse the file again, with quotes as data."""
    staging.add_finding(
        "unusual_format",
        "Quotes are read as part of the values: not every value that begins with one ends with one,"
        " and without quotes every line has the header's columns.",
        severity="warning",
        line=header.lines,
        hint='Say quote=" if quotes surround the values, or quote=none if they do not.',
    )
    plain = replace(header, dialect=replace(header.dialect, quote=None))
    again = Scan(scan.delimiter, None)
    with file.open("rb") as text:
        blocks = _without_beginning(iter(partial(text.read, staging.limits.chunk_bytes), b""), _mark_bytes(file))
        return _read(file, plain, layout, _scanned(blocks, again), again, staging)


def _mark_bytes(file: Path) -> int:
    with file.open("rb") as text:
        return 3 if text.read(3) == b"\xef\xbb\xbf" else 0


def _opening(chunks: Iterator[bytes], size: int) -> bytes:
    """Return the first ``size`` bytes or more, in whatever chunks they come; the whole text if it is shorter."""
    opening = next(chunks)
    while len(opening) < size and (chunk := next(chunks, b"")):
        opening += chunk
    return opening


def _line_end(opening: str, lines: int) -> int:
    """Return the number of characters in the first lines."""
    return sum(map(len, islice(io.StringIO(opening, newline=""), lines)))


def _is_regular(scan: Scan, width: int, limits: Limits) -> bool:
    return scan.is_regular and scan.has_width(width) and scan.longest_bytes <= limits.record_bytes


def _scanned(chunks: Iterator[bytes], scan: Scan) -> Iterator[bytes]:
    for chunk in chunks:
        scan.feed(chunk)
        yield chunk


def _with_line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Replace carriage returns, with which old Macs ended lines; only for a text without any line feed."""
    return (chunk.replace(b"\r", b"\n") for chunk in chunks)


def _without_beginning(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the text without its first ``size`` bytes."""
    for chunk in chunks:
        if size < len(chunk):
            yield chunk[size:]
        size = max(0, size - len(chunk))


def _copy(chunks: Iterator[bytes], copy: Path) -> None:
    """Write the text to a file, which the parsers need."""
    with copy.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


# --- A regular text, by DuckDB ---


def _read_fast(file: Path, header: Header, staging: RawTables) -> int:
    """Parse with a fixed dialect; return the number of records, or -1 if DuckDB cannot parse the text.

    DuckDB 2.0.0 finds no records at all if the option says strictly that they end with CR LF; without it, it detects them.
    Columns that are not text are cast at the same time. A new table's row ids number its rows in the order of the file;
    numbering them again would cost as much as reading.
    """
    kinds = ", ".join(f"{literal(name)}: 'varchar'" for name in header.names)
    ends = "" if header.line_end == "\r\n" else "new_line = '\\n', "
    typed = "".join(f", {value} as {quoted(typed_name(name))}" for name, value in casts(staging.dataset, header.names).items())
    quote = literal(header.dialect.quote or "")
    query = f"""create or replace table text_rows as select *{typed} from read_csv(
        {literal(str(file))}, columns = {{{kinds}}}, auto_detect = false, header = true,
        delim = {literal(header.dialect.delimiter)}, quote = {quote}, escape = {quote}, {ends}nullstr = '',
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


def _has_skips(header: Header, staging: RawTables) -> bool:
    """Return whether DuckDB read a row that is no record: an empty one, or the header again. The key's column comes first."""
    key = staging.dataset.key if staging.dataset.key in header.names else header.names[0]
    named = dict(zip(header.names, header.written, strict=True))
    empty = f"trim({{0}}, {literal(BLANK)}) = '' or {{0}} is null"
    dots = ", ".join(map(literal, sorted(LEFT_OUT)))
    likely = "{0} is null or {0} < '!' or {0} in ({1}, {2})".format(quoted(key), literal(named[key]), dots)  # which is cheap
    suspect = f"select 1 from text_rows where {likely} limit 1"
    if not staging.connection.execute(suspect).fetchall():
        return False
    blank = " and ".join(f"({empty.format(quoted(name))})" for name in header.names)
    again = " and ".join(f"{quoted(name)} = {literal(value)}" for name, value in named.items())
    left_out = " and ".join(f"{quoted(name)} in ({dots})" for name in header.names)
    return bool(
        staging.connection.execute(f"select 1 from text_rows where ({blank}) or ({again}) or ({left_out}) limit 1").fetchall()
    )


# --- An irregular one, record by record ---


def _read_slowly(file: Path, header: Header, layout: Layout, scan: Scan, staging: RawTables) -> tuple[int, Skips]:
    """Write every record with the header's columns as a row, every other one as a finding; skip what is no record.

    Empty fields after the header's last column are dropped, where the header or the first record has them too. Return the
    number of records.
    """
    width, trailing_empty, row, widths, last = len(header.names), header.trailing_empty, 0, set[int](), ""
    dialect, writer, skips = header.dialect, RowWriter(header.names, staging), _skips_of(header, layout, staging)
    spaced = SpacedQuotes(dialect) if dialect.quote and scan.loose_quotes and not dialect.is_spaced else None
    with file.open(encoding="utf-8-sig", newline="") as text:
        lines = RecordLines(text, staging.limits, header.before)
        found = records(lines, dialect, staging.limits, spaced)
        next(found, None)  # the header
        for line, record in found:
            if not isinstance(record, RecordFault) and skips.is_none(record, line, lines.text):
                continue
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
            fault = record if isinstance(record, RecordFault) else wrong_width(record, width, dialect.delimiter, line)
            widths.add(0 if isinstance(record, RecordFault) else len(record))
            staging.add_finding("malformed_row", fault.message, row=row, line=line, value=fault.value, hint=fault.hint)
            staging.add_malformed(row, line, lines.text)
            last = lines.text
    _check_lines(lines.number - header.before, scan)
    writer.flush()
    if row > 1 and not writer.rows and len(widths) == 1 and 0 not in widths:
        raise wrong_header(widths.pop(), header, last)
    _report_marks(lines, staging)
    _report_spaces(spaced, header, staging)
    return row, skips


def _skips_of(header: Header, layout: Layout, staging: RawTables) -> Skips:
    key, by_space = key_place(header.names, staging.dataset), header.dialect.delimiter.strip(" ") == ""
    return Skips(header.written, layout.skipped, key, by_space=by_space)


def _report_marks(lines: RecordLines, staging: RawTables) -> None:
    if lines.marks:
        message = f"Byte order marks begin lines within the text, where files were joined: {lines.marks:,}. They were removed."
        hint = "Join files without their marks, or pack them into one ZIP archive."
        staging.add_finding("unusual_format", message, severity="warning", line=lines.first_mark, hint=hint)


def _check_lines(lines: int, scan: Scan) -> None:
    """Compare the lines that were read with those that were scanned. Raises InternalInconsistency."""
    if not scan.loose_returns and not scan.lines <= lines <= scan.lines + 1:
        raise InternalInconsistency(f"The text has {scan.lines:,} line ends, but {lines:,} lines were read.")


def _report_spaces(spaced: SpacedQuotes | None, header: Header, staging: RawTables) -> None:
    if spaced and spaced.changed:
        message = f"Values in quotes with spaces before the quote: {spaced.changed:,}. Spaces and quotes were removed."
        hint = "Write the quote directly after the delimiter."
        staging.add_finding("unusual_format", message, severity="warning", line=header.lines, hint=hint)
    if spaced and spaced.left:
        message = f"Values that begin with spaces and a quote: {spaced.left:,}. They were read as they are, with the quote."
        hint = "If the quotes surround the value, remove the spaces before them and whatever follows the closing quote."
        staging.add_finding("unusual_format", message, severity="warning", line=header.lines, hint=hint)
