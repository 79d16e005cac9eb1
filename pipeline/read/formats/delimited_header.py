"""Read the header of a delimited text: the names of its columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.contracts.options import DELIMITERS, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping, missing_columns
from pipeline.read.formats.delimited_candidates import likeliest_delimiter
from pipeline.read.formats.delimited_dialect import Dialect, asked_delimiter, say_delimiter
from pipeline.read.formats.delimited_layout import R_ROW_NAMES, Layout, layout_of
from pipeline.read.formats.delimited_lines import bare_name
from pipeline.read.formats.delimited_skips import why_below_header
from pipeline.read.raw_tables import RawTables


@dataclass(frozen=True)
class Header:
    """What comes before the data.

    ``names`` are those for ``raw``, ``originals`` the file's own; ``written`` are the header's values as they are in the file.
    ``trailing_empty`` counts the columns without a name at the end, which spreadsheets often add. ``before`` lines precede the
    header, which ends on line ``lines`` of the file. ``is_alone``: no line below it belongs to it, as a ruler does.
    """

    names: tuple[str, ...]
    originals: tuple[str, ...]
    written: tuple[str, ...]
    trailing_empty: int
    before: int
    lines: int
    line_end: str
    is_alone: bool
    dialect: Dialect

    @property
    def is_regular(self) -> bool:
        """Return whether it is one line of names, and nothing else."""
        return self.lines == self.before + 1 and not self.trailing_empty and self.is_alone and self.dialect.is_fast


def found_options(opening: str, dataset: Dataset, options: ReadOptions) -> ReadOptions:
    """Return the options with what the opening of a text says: its delimiter, its quotes, and the header's line.

    With them, the text is read in the same way for a dataset that does not know its columns. Raises Unreadable.
    """
    layout = layout_of(opening, dataset, options)
    row = layout.before + 1 if layout.before else None
    quote = layout.dialect.quote if layout.dialect.quote not in ('"', None) else options.quote
    return replace(options, delimiter=layout.dialect.delimiter, quote=quote, header_row=options.header_row or row)


def read_header(opening: str, layout: Layout, staging: RawTables) -> Header:
    """Read the header at the beginning of ``opening``, which is at most one character longer than a header may be.

    Raises Unreadable if it does not name the columns that the dataset needs.
    """
    limits, dialect, before = staging.limits, layout.dialect, layout.before
    csv.field_size_limit(limits.value_bytes)
    reader = csv.reader(map(dialect.prepared, io.StringIO(opening, newline="")), **dialect.options())
    try:
        found = next((record for record in reader if record), [])
    except csv.Error as error:
        hint = f"Check the quotes in it, and whether {dialect.delimiter!r} is the delimiter; if not, say delimiter."
        raise Unreadable(f"The header cannot be read: {error}.", code="malformed_row", line=before + 1, hint=hint) from error
    lines = reader.line_num
    if len(opening) > limits.header_bytes and lines > opening.count("\n"):
        raise Unreadable(f"The header is longer than {limits.header_bytes:,} bytes.", code="too_many_columns", line=1)
    found = dialect.finished(found)
    trailing_empty = next((n for n, name in enumerate(reversed(found)) if name.strip()), 0)
    written = found[: len(found) - trailing_empty]
    originals = _without_marks(written, staging, line=before + lines)
    names = _names(originals, dialect.delimiter, staging, line=before + lines)
    for name, original in zip(names, originals, strict=True):
        staging.check_unknown_column(name, original, line=before + lines)
    line_end = "\r\n" if opening.partition("\n")[0].endswith("\r") else "\n"
    is_alone = not _has_more(reader, dialect, written, key_place(names, staging.dataset))
    place = (before, before + lines, line_end)
    return Header(names, tuple(originals), tuple(written), trailing_empty, *place, is_alone, dialect)


def key_place(names: Sequence[str], dataset: Dataset) -> int:
    """Return the place of the ids' column; that of the first, if the file has none."""
    return names.index(dataset.key) if dataset.key in names else 0


def _has_more(reader: csv._reader, dialect: Dialect, written: Sequence[str], key: int) -> bool:  # type: ignore[name-defined]
    """Return whether the record below the header is no record."""
    try:
        below: list[str] = next((record for record in reader if record), [])
        return bool(why_below_header(dialect.finished(below), written, key))
    except csv.Error:
        return False


def _without_marks(written: list[str], staging: RawTables, *, line: int) -> list[str]:
    """Return the columns' names without brackets around all of them, or a comment sign before the first.

    Not if the dataset or the upload knows a column by its name with them.
    """
    dataset, bare = staging.dataset, [bare_name(name) for name in written]
    marked = [short != name.strip() for short, name in zip(bare, written, strict=True)]
    only_first = marked[:1] == [True] and not any(marked[1:]) and written[0].strip()[0] == "#"
    known = any(one and column_mapping.mapped_name(name, dataset) != name for one, name in zip(marked, written, strict=True))
    if known or not written or not (all(marked) or only_first):
        return written
    staging.add_finding(
        "unusual_format",
        f"Characters around the columns' names were removed: {written[0].strip()[:60]!r} is read as {bare[0][:60]!r}.",
        severity="warning",
        line=line,
        hint="Write the names without them.",
    )
    return bare if all(marked) else [bare[0], *written[1:]]


def _names(originals: list[str], delimiter: str, staging: RawTables, *, line: int) -> tuple[str, ...]:
    """Return the names for ``raw``. Raises Unreadable, for faults of the header as a whole first."""
    dataset = staging.dataset
    refusal = missing_columns.missing_columns(column_mapping.mapped_names(originals, dataset), dataset, originals)
    better = likeliest_delimiter(delimiter.join(originals), dataset)
    if refusal and better != delimiter and len(originals) < len(delimiter.join(originals).split(better)):
        meant = f"The names in the header seem to be separated by {better!r}, not {delimiter!r}"
        refusal.hint = f"{meant}: say {asked_delimiter(better)}, or leave the delimiter out."
    elif refusal and missing_columns.looks_like_data(originals, dataset):
        where = "The first line" if line == 1 else f"Line {line}, the first that is no comment,"
        raise Unreadable(
            f"{where} looks like data, not like a header: {', '.join(originals)[:200]}.",
            code="missing_column",
            hint=f"Put a line with the columns' names first: {', '.join(column_mapping.required(dataset))}, ...",
            line=line,
        )
    names = column_mapping.raw_names(originals, dataset, staging.limits, line=line)
    if refusal:
        refusal.line = line
        raise refusal
    return names


def trailing_empty_fields(record: Sequence[str], width: int) -> int:
    """Return how many empty fields a first record has after the header's: one is a delimiter too many, in every record."""
    return 1 if len(record) == width + 1 and not record[-1] else 0


def wrong_header(found: int, header: Header, last: str) -> Unreadable:
    """Return the error about a header that fits no record: it is of another table, or written differently.

    ``last``: the text of a record.
    """
    mark, width = header.dialect.delimiter, len(header.names)
    other = next((one for one in DELIMITERS if one != mark and last.count(one) == width - 1), "")
    hint = f"Name every column in the header, or check whether {mark!r} is the delimiter."
    if other:
        hint = f"The header has {say_delimiter(mark)} between its values, the records have {say_delimiter(other)}."
        hint += " Write both alike."
    elif found == width + 1:
        hint += f" {R_ROW_NAMES}"
    fields = "field" if found == 1 else "fields"
    return Unreadable(
        f"Every record has {found} {fields}; the header has {len(header.names)}: {', '.join(header.originals)[:200]}.",
        code="malformed_row",
        hint=hint,
        line=header.lines + 1,
    )
