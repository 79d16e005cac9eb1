"""Read a file of any format into the staging table ``raw``.

The format is recognised by the content (containers/unpack.py); then one function a format reads it (formats/). Columns get the
names of the dataset (column_mapping.py); the hierarchy may be written as parent ids, nested JSON (formats/nested_json.py) or
paths (path_ids.py). An archive of several files is read as one table (containers/archive_members.py). A fault of a single row
becomes a finding and reading goes on; a fault of the whole file raises Unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.contracts.options import DETECTED, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.display import LINES_KEPT
from pipeline.errors import RejectedFile, Unreadable
from pipeline.read import column_mapping, path_ids, value_limits
from pipeline.read.containers.archive_members import MergedMembers
from pipeline.read.containers.unpack import PARQUET, Content, FileContent, StoredFile, unpack
from pipeline.read.containers.zip_archive import naming_member
from pipeline.read.formats.delimited import read_delimited
from pipeline.read.formats.delimited_dialect import check_marks
from pipeline.read.formats.excel import read_excel
from pipeline.read.formats.json_records import read_array, read_lines
from pipeline.read.formats.parquet import read_parquet
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
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
    lines: tuple[tuple[int, int], ...]  # where records lie: (record, line) wherever the distance changes, the first of them
    members: int  # files in the archive that were read as one; 1 without an archive


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
        staging.create_curtailed()
        reading = _checked(form, encoding, table, upload, filename, staging)
        staging.write_summary(pa.Table.from_pylist([asdict(reading)]))
    return reading


def _read_all(upload: StoredFile, staging: RawTables) -> tuple[str, str, ReadResult]:
    """Read all files of the upload into ``raw``; return (format, encoding, result)."""
    members = MergedMembers(staging) if len(upload.names) > 1 else None
    form, encodings, table = "", dict[str, None](), None
    for content in upload.contents:
        encodings["" if isinstance(content, FileContent) else content.encoding] = None
        with naming_member(content.name):
            form, table = _read_one(content, staging)
        if members:
            members.add(content.name, form, table)
    if members:
        table = members.finish()
    assert table is not None
    return form, ", ".join(encodings), table


def _read_one(content: Content, staging: RawTables) -> tuple[str, ReadResult]:
    if isinstance(content, FileContent):
        try:
            return content.format, FILES[content.format][1](content.path, staging)
        except RejectedFile as error:
            error.form = content.format
            raise
    if content.encoding != "utf-8":
        staging.text_file = None
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
    table = _without_left_out(table, staging)
    if not table.records:
        what = filename or "The file"
        raise Unreadable(f"{what} contains no records.", code="empty_file", hint="Add at least one record.")
    originals = table.originals or table.columns
    refusal = column_mapping.missing_columns(table.columns, dataset, originals)
    if refusal:
        raise refusal
    path_ids.check_paths(staging)
    value_limits.check_values(staging, table)
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
        len(upload.names),
    )


def _without_left_out(table: ReadResult, staging: RawTables) -> ReadResult:
    """Remove the columns that the upload says to skip."""
    originals, letters = table.originals or table.columns, table.letters or ("",) * len(table.columns)
    triples = list(zip(table.columns, originals, letters, strict=True))
    kept = [triple for triple in triples if not triple[0].startswith(column_mapping.SKIPPED)]
    if len(kept) == len(triples):
        return table
    staging.keep_only([name for name, _, _ in kept])
    names, originals, letters = zip(*kept, strict=True) if kept else ((), (), ())
    return replace(table, columns=names, originals=originals, letters=letters if table.letters else ())


_LOOKED_AT = 64 * KIB
_BRACKETED_NAMES = re.compile(rb"\[(?!true\b|false\b|null\b)[A-Za-z_][^\[\]\"{},;\t|]*\]\s*[,;\t|]\s*\[[A-Za-z_][^\[\]\"{}]*\]")
"""A header in which brackets surround the names, as SQL Server writes them: no JSON begins like that."""


def _recognise(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], str]:
    """Return the text from its beginning, and its format by the first character that is not white space."""
    seen: list[bytes] = []
    for chunk in chunks:
        seen.append(chunk)
        opening = chunk.lstrip()
        if opening:
            if _BRACKETED_NAMES.match(opening[:_LOOKED_AT]):
                return chain(seen, chunks), "csv"
            form = next(name for name, (mark, _) in TEXTS.items() if opening.startswith(mark))
            return chain(seen, chunks), form
    raise Unreadable("The file contains only white space.", code="empty_file", hint="Upload it again.")
