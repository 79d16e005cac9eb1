"""Find the header of a delimited text, and in which dialect it is written, by the first lines.

A header in the first line, with a usual delimiter, is all that is looked for first. Otherwise each of the first lines is tried
in each dialect: the header is the first line with all columns that the dataset needs. What is certain is used and reported;
what is likely is refused with the option that says it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from pipeline.contracts.options import DELIMITERS, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.formats.delimited_candidates import (
    OPENING_LINES,
    dialects,
    is_drawn,
    is_even,
    odd_delimiters,
    plain_dialect,
    quote_of,
)
from pipeline.read.formats.delimited_dialect import BOX, Dialect, asked_delimiter, say_delimiter
from pipeline.read.formats.delimited_lines import bare_name, comments_above, declared_delimiter, first_record, why_above_header
from pipeline.read.formats.text_kinds import refuse_other_texts

_HEADER_LINES = 50  # the header is looked for in that many of them
_MOST_NAMES = 300  # looked at in each of them, if the first line is not simply a header


@dataclass(frozen=True)
class Layout:
    """Where the header is and how the text is written. ``before`` lines precede the header, ``skipped`` says why for some of
    them: (line, reason); ``reports`` say what is unusual about the dialect."""

    dialect: Dialect
    before: int = 0
    skipped: tuple[tuple[int, str], ...] = ()
    reports: tuple[str, ...] = ()


def layout_of(opening: str, dataset: Dataset, options: ReadOptions) -> Layout:
    """Return the layout of a text that begins with ``opening``. Raises Unreadable if the text is something else, or if its
    header is probably not the one that would be read."""
    lines = list(islice(io.StringIO(opening, newline=""), OPENING_LINES))
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    said = declared_delimiter(lines[first].strip("\r\n"))
    if said is not None:
        options = options if options.delimiter else replace(options, delimiter=said)
        first += 1
    if options.header_row is not None:
        first = _chosen_row(options.header_row, lines)
    plain = plain_dialect(lines[first:], dataset, options)
    rest = "".join(lines[first:])
    if plain and names_all(first_record(rest, plain), dataset) and not _is_unusual(lines[first:], plain):
        return Layout(plain, first)
    return _search(lines, first, plain, dataset, options)


def _search(lines: Sequence[str], first: int, plain: Dialect, dataset: Dataset, options: ReadOptions) -> Layout:
    """Return the layout of a text whose first line is not simply a header."""
    for number in range(first, min(len(lines), first + 1 if options.header_row else _HEADER_LINES)):
        for dialect in dialects(lines[number:], options):
            if names_all(first_record("".join(lines[number : number + 1]), dialect), dataset):
                by_space = dialect.delimiter.strip(" ") == "" and options.delimiter is None
                if by_space and not is_even(lines[number:], dialect):
                    _refuse_row_names(lines[number:], dialect, number)
                    continue  # such columns have no empty values: whatever the text is, it is said below
                return _checked_layout(lines, first, number, dialect, dataset, options)
    if options.header_row is None:
        refuse_other_texts(lines, dataset)
        _refuse_transposed(lines, first, plain, dataset)
    comments = comments_above(lines, first) if options.header_row is None else ()
    start = comments[-1][0] if comments else first
    plain = plain_dialect(lines[start:], dataset, options)
    if options.header_row is None:
        _refuse_late_header(lines, start, plain)
    if not options.delimiter:
        _refuse_odd_delimiter(lines, start, plain, options)
    return Layout(plain, start, comments)


def _checked_layout(
    lines: Sequence[str], first: int, number: int, dialect: Dialect, dataset: Dataset, options: ReadOptions
) -> Layout:
    """Return the layout with the header in ``lines[number]``. Raises Unreadable if that is likely, but not certain."""
    names = [name for name in first_record(lines[number], dialect) if name.strip()]
    reports = _reports(dialect, options)
    skipped = [(at + 1, why_above_header(lines[at], dialect, len(names))) for at in range(first, number) if lines[at].strip()]
    doubtful = not all(reason for _, reason in skipped)
    uneven = bool(reports) and not is_even(lines[number:], dialect)
    if doubtful or uneven:
        asked = ([f"header_row={number + 1}"] if doubtful or number > first else []) + _asked(dialect, options)
        remove = ", or remove the lines above it" if number > first else ""
        raise Unreadable(
            f"The header seems to be in line {number + 1} ({', '.join(name.strip() for name in names)[:200]})"
            + (f", with {say_delimiter(dialect.delimiter)} between the columns." if uneven else "."),
            code="missing_column",
            hint=f"Say {' and '.join(asked)}{remove}." if asked else _EXPORT,
            line=number + 1,
        )
    return Layout(dialect, number, tuple(skipped), reports)


R_ROW_NAMES = "If R wrote it, the rows' names have no header: write.csv(x, 'records.csv', row.names = FALSE, na = '')."


def _refuse_row_names(lines: Sequence[str], dialect: Dialect, number: int) -> None:
    """Refuse a text in which every record has one value more than the header, as R's write.table writes it."""
    widths = [len(first_record(line, dialect)) for line in lines if line.strip()]
    if len(widths) > 1 and {*widths[1:]} == {widths[0] + 1}:
        raise Unreadable(
            f"Every record has {widths[0] + 1} values; the header in line {number + 1} has {widths[0]}.",
            code="malformed_row",
            hint=R_ROW_NAMES,
            line=number + 1,
        )


_EXPORT = "Not every line has as many columns: export the table as CSV, without spaces or quotes around its lines."


def _is_unusual(lines: Sequence[str], plain: Dialect) -> bool:
    """Return whether a first line that has all columns is written in another dialect than the plain one."""
    line = next((text for text in lines if text.strip()), "")
    return (
        f"{plain.delimiter} " in line or line[:1] in "'`" or (plain.delimiter == "|" and is_drawn(lines)) or not plain.is_fast
    )


def _reports(dialect: Dialect, options: ReadOptions) -> tuple[str, ...]:
    """Return what is unusual about a dialect, a sentence each, unless the upload says so."""
    said = []
    if options.delimiter and dialect.is_gap:
        pass  # as the upload says
    elif dialect.edges:
        said.append("The columns are as wide as the dashes below their names; spaces beside the values were removed.")
    elif dialect.is_gap:
        said.append("Two or more spaces separate the columns.")
    elif dialect.delimiter == " " and not options.delimiter:
        said.append("A space separates the columns.")
    elif dialect.is_trimmed:
        said.append(
            f"Spaces beside the {say_delimiter(dialect.delimiter)} were removed, as from a table drawn with characters."
        )
    if dialect.delimiter not in (*DELIMITERS, BOX) and not dialect.delimiter.isspace() and not options.delimiter:
        said.append(f"The columns are separated by {dialect.delimiter!r}.")
    if dialect.is_wrapped:
        said.append("Every line is in quotes as a whole; they were removed.")
    if dialect.is_spaced:
        said.append(f"Spaces follow the {say_delimiter(dialect.delimiter)}; they were removed.")
    if dialect.quote not in ('"', None) and not options.quote:
        said.append("Values are in single quotes." if dialect.quote == "'" else "Values are in backticks.")
    return tuple(said)


def _asked(dialect: Dialect, options: ReadOptions) -> list[str]:
    """Return the options that say a dialect."""
    asked = [] if options.delimiter or dialect.delimiter in DELIMITERS else [asked_delimiter(dialect.delimiter)]
    return asked if options.quote or dialect.quote in ('"', None) else [*asked, f"quote={dialect.quote}"]


def wanted_columns(dataset: Dataset) -> list[str]:
    """Return the columns by which a header is recognised."""
    return column_mapping.required(dataset) or [dataset.key, dataset.parent]


def _refuse_late_header(lines: Sequence[str], start: int, plain: Dialect) -> None:
    """Refuse a text whose first lines are titles, above a table of another width. Raises Unreadable."""
    delimiter = max(DELIMITERS, key=lambda mark: sum(mark in line for line in lines)) if plain.delimiter in DELIMITERS else ""
    dialect = replace(plain, delimiter=delimiter or plain.delimiter)
    widths = [len(first_record(line, dialect)) for line in lines[:_HEADER_LINES]]
    filled = [(number, width) for number, width in enumerate(widths) if width and number >= start]
    if len(filled) < 3 or (filled[0][1] > 1 and filled[0][1] >= max(width for _, width in filled)):
        return
    most = filled[-2][1]
    number = next((number for number, width in filled if width == most), start)
    if most > 1 and filled[0][1] != most and all(width == most for at, width in filled[:-1] if at >= number) and number > start:
        names = [name.strip() for name in first_record(lines[number], dialect)]
        raise Unreadable(
            f"The header seems to be in line {number + 1} ({', '.join(names)[:200]}).",
            code="missing_column",
            hint=f"Say header_row={number + 1}, or remove the lines above it.",
            line=number + 1,
        )


def _refuse_transposed(lines: Sequence[str], first: int, plain: Dialect, dataset: Dataset) -> None:
    """Refuse a table in which the first value of each line is the name of what follows. Raises Unreadable."""
    found = [record for line in lines[first:] if (record := first_record(line, plain))]
    if len(found) > 1 and all(len(record) > 1 for record in found) and names_all([record[0] for record in found], dataset):
        raise Unreadable(
            f"The names of the columns are in the first column, one below the other: {', '.join(r[0] for r in found)[:200]}.",
            code="missing_column",
            hint="Turn the table: in Excel, copy it, then Paste Special > Transpose; in pandas, df.T.",
            line=first + 1,
        )


def _refuse_odd_delimiter(lines: Sequence[str], start: int, plain: Dialect, options: ReadOptions) -> None:
    """Refuse a text whose header has one column, but several with another delimiter. Raises Unreadable."""
    if start >= len(lines) or len(first_record(lines[start], plain)) > 1:
        return
    marks = [mark for mark in odd_delimiters(lines[start].strip("\r\n")) if not re.search(r"[&()/<>!?@+=%*$,;]", mark)]
    for dialect in (Dialect(mark, quote_of(options)) for mark in marks):
        names = first_record(lines[start], dialect)
        if len(names) > 1 and len(lines) - start > 1 and is_even(lines[start:], dialect):
            raise Unreadable(
                f"The columns seem to be separated by {dialect.delimiter!r}: {', '.join(names)[:200]}.",
                code="missing_column",
                hint=f"Say {asked_delimiter(dialect.delimiter)}, and name the columns as the dataset does or map them.",
                line=start + 1,
            )


def _chosen_row(row: int, lines: Sequence[str]) -> int:
    """Return the place of the line that the upload says is the header. Raises Unreadable."""
    if 1 <= row <= len(lines) and lines[row - 1].strip():
        return row - 1
    if row <= len(lines):
        raise Unreadable(
            f"The header cannot be read from line {row}: it is blank.",
            code="missing_column",
            hint="Correct header_row, the line with the columns' names, or leave it out.",
            line=row,
        )
    raise Unreadable(
        f"The header cannot be read from line {row}: "
        + (
            f"the file has {len(lines)} lines." if len(lines) < OPENING_LINES else f"it is not among the first {OPENING_LINES}."
        ),
        code="missing_column",
        hint="Correct header_row, the line with the columns' names, or leave it out.",
    )


def names_all(names: Sequence[str], dataset: Dataset) -> bool:
    """Return whether these are the names of columns, with all that the dataset needs."""
    if any(name.strip() and not re.search(r"\w", name) for name in names[:_MOST_NAMES]):
        return False
    shown = names[:_MOST_NAMES]
    named = {
        *column_mapping.mapped_names(shown, dataset),
        *column_mapping.mapped_names([bare_name(name) for name in shown], dataset),
    }
    return named.issuperset(wanted_columns(dataset))
