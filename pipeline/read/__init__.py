"""A file of any format -> the strict staging table ``raw``, or a clear refusal.

What the file is, its content says (unpack.py); then one function a format reads it (delimited.py, jsons.py, parquet.py,
excel.py), under the names that the dataset knows (columns.py) and in whichever way the hierarchy is written (trees.py,
paths.py). An archive of several files is read as one table (members.py). Faults of single rows become findings and the reading
goes on; a fault that leaves no table to speak of raises Unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.contracts.options import DELIMITERS
from pipeline.datasets.dataset import Dataset
from pipeline.display import LINES_KEPT
from pipeline.errors import InvalidRequest, RejectedFile, Unreadable
from pipeline.read import column_mapping, path_ids, value_limits
from pipeline.read.containers.archive_members import Gathering
from pipeline.read.containers.unpack import PARQUET, Content, StoredFile, Whole, unpack
from pipeline.read.containers.zip_archive import within
from pipeline.read.formats.delimited import read_delimited
from pipeline.read.formats.excel import read_excel
from pipeline.read.formats.json_records import read_array, read_lines
from pipeline.read.formats.parquet import read_parquet
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult

__all__ = ["FORMATS", "Limits", "RawTables", "Reading", "read"]


@dataclass(frozen=True)
class Reading:
    """What was read, and as what. ``encoding``, ``delimiter`` and ``sheet`` are empty where the format has none.

    ``columns`` are the names in ``raw``, ``original_columns`` the file's own, one for one; by which mapping, the version of the
    dataset's rules says.
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
    letters: tuple[str, ...]  # what Excel calls the columns, one for one; none without a workbook, or of several
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
"""Each format with how it begins and its reader: files that are read here and there, and texts, of which the first that fits
is taken."""


def read(
    source: Path,
    dataset: Dataset,
    *,
    connection: duckdb.DuckDBPyConnection,
    filename: str = "",
    delimiter: str | None = None,
    limits: Limits | None = None,
) -> Reading:
    """Read ``source`` into the tables raw, malformed, findings, lines and reading of an empty staging database.

    ``filename`` is never used to recognise the format, only to speak of the file. ``delimiter`` is what stands between the
    values of a delimited text, one of DELIMITERS; None: the header line tells. Raises Unreadable, leaving no tables.
    """
    limits = limits or Limits()
    if delimiter is not None and delimiter not in DELIMITERS:
        raise InvalidRequest(f"{delimiter!r} cannot be the delimiter: it is one of {', '.join(map(repr, DELIMITERS))}.")
    with unpack(source, limits) as upload, RawTables(connection, dataset, limits, folder=source.parent) as staging:
        staging.delimiter = delimiter
        staging.text_file = source if upload.compression == "none" else None
        form, encoding, table = _read_all(upload, staging)
        staging.note_curtailed()
        reading = _checked(form, encoding, table, upload, filename, staging)
        staging.record(pa.Table.from_pylist([asdict(reading)]))
    return reading


def _read_all(upload: StoredFile, staging: RawTables) -> tuple[str, str, ReadResult]:
    """(format, encoding, table) of all that the upload holds, which lies in ``raw`` then."""
    several = Gathering(staging) if len(upload.names) > 1 else None
    form, encodings, table = "", dict[str, None](), None
    for content in upload.contents:
        encodings["" if isinstance(content, Whole) else content.encoding] = None
        with within(content.name):
            form, table = _read_one(content, staging)
        if several:
            several.take(content.name, form, table)
    if several:
        table = several.finish()
    assert table is not None
    return form, ", ".join(encodings), table


def _read_one(content: Content, staging: RawTables) -> tuple[str, ReadResult]:
    if isinstance(content, Whole):
        try:
            return content.format, FILES[content.format][1](content.path, staging)
        except RejectedFile as error:
            error.form = content.format
            raise
    if content.encoding != "utf-8":
        staging.text_file = None
    chunks, form = _recognise(content.chunks)
    return form, TEXTS[form][1](chunks, staging)


def _checked(form: str, encoding: str, table: ReadResult, upload: StoredFile, filename: str, staging: RawTables) -> Reading:
    """What was read, once all that can be wrong with it as a whole was looked at."""
    dataset = staging.dataset
    for name in column_mapping.unmet(table.originals or table.columns, dataset):
        message = f"The upload maps a column {name!r}, which the file does not have."
        staging.find("unknown_column", message, severity="warning", hint="See how the header spells it.")
    table = _without_left_out(table, staging)
    if not table.records:
        what = filename or "The file"
        raise Unreadable(f"{what} holds no records.", code="empty_file", hint="Add at least one record.")
    originals = table.originals or table.columns
    refusal = column_mapping.missing(table.columns, dataset, originals)
    if refusal:
        raise refusal
    path_ids.check_paths(staging)
    value_limits.check_values(staging, table)
    return Reading(
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
        staging.first_lines(LINES_KEPT),
        len(upload.names),
    )


def _without_left_out(table: ReadResult, staging: RawTables) -> ReadResult:
    """Let the columns go that are to be left out."""
    originals, letters = table.originals or table.columns, table.letters or ("",) * len(table.columns)
    triples = list(zip(table.columns, originals, letters, strict=True))
    kept = [triple for triple in triples if not triple[0].startswith(column_mapping.LEFT_OUT)]
    if len(kept) == len(triples):
        return table
    staging.keep_only([name for name, _, _ in kept])
    names, originals, letters = zip(*kept, strict=True) if kept else ((), (), ())
    return replace(table, columns=names, originals=originals, letters=letters if table.letters else ())


def _recognise(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], str]:
    """The format by the first character that is not white space, and the text from its beginning."""
    seen: list[bytes] = []
    for chunk in chunks:
        seen.append(chunk)
        opening = chunk.lstrip()
        if opening:
            form = next(name for name, (mark, _) in TEXTS.items() if opening.startswith(mark))
            return chain(seen, chunks), form
    raise Unreadable("The file holds nothing but white space.", code="empty_file", hint="Upload it again.")
