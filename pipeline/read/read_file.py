"""Read a file of any format into the staging table ``raw``.

The format is recognised by the content (containers/unpack.py); then one function a format reads it (formats/). Columns get the
names of the dataset (column_mapping.py); the hierarchy may be written as parent ids, nested JSON (formats/nested_json.py) or
paths (path_ids.py). An archive of several files is read as one table (containers/archive_members.py). A fault of a single row
becomes a finding and reading goes on; a fault of the whole file raises Unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.contracts.options import DETECTED, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.upload_rules import parent_by_of
from pipeline.display import LINES_KEPT, listed
from pipeline.errors import RejectedFile, Unreadable
from pipeline.read import (
    cleaned_columns,
    column_mapping,
    damaged_texts,
    file_columns,
    missing_columns,
    parent_columns,
    path_ids,
    spreadsheet_texts,
    unused_options,
    value_limits,
)
from pipeline.read.containers.archive_members import MergedMembers
from pipeline.read.containers.folder_columns import FolderColumns
from pipeline.read.containers.unpack import PARQUET, Content, FileContent, StoredFile, unpack
from pipeline.read.containers.zip_archive import naming_member
from pipeline.read.formats.delimited import read_delimited
from pipeline.read.formats.delimited_dialect import check_marks
from pipeline.read.formats.excel import read_excel
from pipeline.read.formats.indented_text import read_lines_of_text
from pipeline.read.formats.json_mistakes import refuse_lookalike
from pipeline.read.formats.json_pages import report_pages
from pipeline.read.formats.json_records import read_array, read_lines
from pipeline.read.formats.parquet import read_parquet
from pipeline.read.limits import Limits
from pipeline.read.patched_rows import apply_patch
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.read.shapes import apply as shapes
from pipeline.read.shapes.edges import EdgeFile
from pipeline.read.skipped_rows import skip_rows
from pipeline.units import KIB


@dataclass(frozen=True)
class FileSummary:
    """What is known about a file that was read. ``encoding``, ``delimiter`` and ``sheet`` are empty where the format has none.

    ``columns`` are the names in ``raw``, ``original_columns`` the file's own, one for one;
    ``rules_version`` identifies the mapping between them.
    """

    records: int
    format: str
    compression: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    original_columns: tuple[str, ...]
    rules_version: str
    sheet: str
    sheets: int  # of a workbook: those that are shown and hold anything
    letters: tuple[str, ...]  # what Excel calls the columns, one for one; none without a workbook, or of members
    lines: tuple[tuple[int, int | None], ...]  # (record, line) wherever the distance of the two changes, the first of them
    members: int  # files in the archive that were read as one; 1 without an archive
    ids_made_of: tuple[str, ...] = ()  # the file's columns that a shape made ids of; none: they are the file's own
    generated: int = 0  # of the records, the last ones: those that the shape implies and the file does not list
    left_out: int = 0  # rows that a patch leaves out; their numbers are in use by none


TextReader = Callable[[Iterator[bytes], RawTables], ReadResult]
FileReader = Callable[[Path, RawTables], ReadResult]

FILES: dict[str, tuple[bytes, FileReader]] = {
    "parquet": (PARQUET, read_parquet),
    "xlsx": (b"PK", read_excel),
}
TEXTS: dict[str, tuple[bytes, TextReader]] = {
    "json": (b"[", read_array),
    "ndjson": (b"{", read_lines),
    "csv": (b"", read_delimited),
}
FORMATS = (*FILES, *TEXTS)
"""Each format with the bytes that it begins with, and its reader: files that need random access, and texts, of which the first
one that matches is used."""


def read(
    source: Path,
    dataset: Dataset,
    *,
    connection: duckdb.DuckDBPyConnection,
    filename: str = "",
    options: ReadOptions = DETECTED,
    limits: Limits | None = None,
) -> FileSummary:
    """Read ``source`` into the tables raw, malformed, findings, lines and reading of an empty staging database.

    ``filename`` is never used to recognise the format, only in messages. Raises Unreadable, leaving no tables.
    """
    limits = limits or Limits()
    check_marks(options.delimiter, options.quote)
    with (
        unpack(source, limits, options.encoding) as upload,
        RawTables(connection, dataset, limits, source.parent, options) as staging,
    ):
        staging.text_file = source if upload.compression == "none" else None
        form, encoding, table = _read_all(upload, staging)
        table = skip_rows(staging, form, table, members=len(upload.names))
        staging.create_curtailed()
        reading = _checked(form, encoding, table, upload, filename, staging)
        staging.write_summary(pa.Table.from_pylist([asdict(reading)]))
    return reading


def _read_all(upload: StoredFile, staging: RawTables) -> tuple[str, str, ReadResult]:
    """Read all files of the upload into ``raw``; return (format, encoding, result)."""
    edges = EdgeFile(staging, upload.names) if staging.dataset.shape.kind == "edges" else None
    members = MergedMembers(staging) if len(upload.names) > (2 if edges else 1) else None
    folders = FolderColumns(upload.partitions, staging)
    form, forms, encodings, table = "", set[str](), dict[str, None](), None
    for number, content in enumerate(upload.contents):
        if edges and edges.is_named(content.name):
            edges.read(content.name, partial(_read_one, content, staging))
            continue
        encodings["" if isinstance(content, FileContent) else content.encoding] = None
        with naming_member(content.name):
            form, table = _read_one(content, staging)
            forms.add(form)
            table = file_columns.settle_columns(table, staging)
            table = folders.add_to(table, number)
        if members:
            members.add(content.name, form, table)
    if members:
        table = members.finish()
    _report_passed_over(upload.passed_over, staging)
    folders.report()
    unused_options.warn_of_unused(forms, staging)
    report_pages(staging)
    assert table is not None
    return form, ", ".join(encodings), table


def _report_passed_over(names: tuple[str, ...], staging: RawTables) -> None:
    if names:
        staging.add_finding(
            "files_passed_over",
            f"Files in the archive that are no tables were passed over: {listed(list(map(printable, names)))}.",
            hint="If one of them has records, give it another name.",
            severity="warning",
        )


def _read_one(content: Content, staging: RawTables) -> tuple[str, ReadResult]:
    if isinstance(content, FileContent):
        try:
            return content.format, FILES[content.format][1](content.path, staging)
        except RejectedFile as error:
            error.form = content.format
            raise
    if content.encoding != "utf-8":
        staging.text_file = None
    if staging.dataset.shape.said.get("text"):
        return "csv", read_lines_of_text(content.chunks, staging)
    if content.marks > 1:
        message = f"The text begins with {content.marks} byte order marks; all were removed."
        staging.text_file = None
        staging.add_finding("unusual_format", message, severity="warning", line=1, hint="Save the file with one or none.")
    chunks, form = _recognise(content.chunks)
    return form, TEXTS[form][1](chunks, staging)


def _checked(form: str, encoding: str, table: ReadResult, upload: StoredFile, filename: str, staging: RawTables) -> FileSummary:
    """Check the file as a whole, and its values; return what was read. Raises Unreadable."""
    dataset = staging.dataset
    for name in column_mapping.unmatched_mappings(table.originals or table.columns, dataset):
        message = f"The upload maps a column {name!r}, which the file does not have."
        staging.add_finding("unknown_column", message, severity="warning", hint="Check how the header spells it.")
    if not table.records:
        what = filename or "The file"
        raise Unreadable(f"{what} contains no records.", code="empty_file", hint="Add at least one record.")
    originals = table.originals or table.columns
    may_be_levels = form not in ("json", "ndjson")
    refusal = missing_columns.missing_columns(table.columns, dataset, originals, table.hint, may_be_levels=may_be_levels)
    if refusal:
        raise refusal
    _require_parent_by(table, staging)
    cleaned_columns.warn_of_missing_columns(table, staging)
    table = file_columns.settle_values(table, staging)
    table = apply_patch(table, staging)
    file_columns.report_matches(table, staging)
    parent_columns.check_parents(table, staging)
    staging.add_notes()
    table = shapes.apply(table, staging)
    originals = table.originals or table.columns
    path_ids.check_paths(staging)
    value_limits.check_values(staging, table)
    spreadsheet_texts.warn_of_spreadsheet_texts(staging, table)
    damaged_texts.warn_of_damaged_texts(staging, table)
    return FileSummary(
        table.records,
        form,
        upload.compression,
        encoding,
        table.delimiter,
        table.columns,
        originals,
        dataset.version,
        table.sheet,
        table.sheets,
        table.letters,
        staging.first_line_numbers(LINES_KEPT),
        len(upload.names) - (dataset.shape.kind == "edges"),
        table.ids_made_of,
        table.generated,
        table.left_out,
    )


def _require_parent_by(table: ReadResult, staging: RawTables) -> None:
    """Raise Unreadable if the file lacks the column by which its parents are given."""
    by = parent_by_of(staging.dataset)
    if by is not None and by not in table.columns:
        raise Unreadable(
            f"The parents are given by {by} (parent_by), a column that the file lacks.",
            code="missing_column",
            hint=f"Its columns: {', '.join(table.originals or table.columns)[:200]}. If parents are given by ID, leave it out.",
        )


_LOOKED_AT = 64 * KIB
_BEFORE = b" \t\n\r\x0b\x0c\x1e"
"""What may come before a text: white space, and the separator of JSON text sequences."""
_BRACKETED_NAMES = re.compile(rb"\[(?!true\b|false\b|null\b)[A-Za-z_][^\[\]\"{},;\t|]*\]\s*[,;\t|]\s*\[[A-Za-z_][^\[\]\"{}]*\]")
"""A header in which brackets surround the names, as SQL Server writes them: no JSON begins like that."""


def seems_json(opening: bytes) -> bool:
    """Return whether a text that begins like this is read as JSON."""
    opening = opening.lstrip()
    return opening.startswith((b"[", b"{")) and not _BRACKETED_NAMES.match(opening[:_LOOKED_AT])


def _recognise(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], str]:
    """Return the text from its beginning, and its format by the first character that is not white space."""
    seen: list[bytes] = []
    for chunk in chunks:
        seen.append(chunk)
        opening = chunk.lstrip(_BEFORE)
        if opening:
            named = [name for name, (mark, _) in TEXTS.items() if opening.startswith(mark)]
            form = named[-1] if _BRACKETED_NAMES.match(opening.lstrip()[:_LOOKED_AT]) else named[0]
            if form == "csv":
                refuse_lookalike(opening[:8_000].decode(errors="ignore"))
            return chain(seen, chunks), form
    raise Unreadable("The file contains only white space.", code="empty_file", hint="Upload it again.")
