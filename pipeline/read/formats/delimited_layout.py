"""Find the header of a delimited text, and in which dialect it is written, by the first lines.

A header in the first line, with a usual delimiter, is all that is looked for first. Otherwise each of the first lines is tried in
each dialect: the header is the first line with all columns that the dataset needs. What is certain is used and reported; what is
likely is refused with the option that says it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from pipeline.contracts.options import DELIMITERS, QUOTE_NONE, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.formats.delimited_dialect import Dialect, asked_delimiter, is_ruler, is_ruler_record, say_delimiter
from pipeline.read.formats.text_kinds import refuse_other_texts

OPENING_LINES = 200
_HEADER_LINES = 50  # the header is looked for in that many of them
_MOST_NAMES = 300  # looked at in each of them, if the first line is not simply a header
_COMMENT = re.compile(r"\s*(#|//|--(?!-)|%|;;)")
_ODD_DELIMITER = re.compile(r"""[^\w"'` .\-\[\]\r\n]+(?:[\s]*[^\w"'` .\-\[\]\r\n]+)*""")


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
    plain = _plain(lines[first:], dataset, options)
    rest = "".join(lines[first:])
    if plain and _names_all(_first_record(rest, plain), dataset) and not _is_unusual(lines[first:], plain):
        return Layout(plain, first)
    return _search(lines, first, plain, dataset, options)


def _search(lines: Sequence[str], first: int, plain: Dialect, dataset: Dataset, options: ReadOptions) -> Layout:
    """Return the layout of a text whose first line is not simply a header."""
    for number in range(first, min(len(lines), first + 1 if options.header_row else _HEADER_LINES)):
        for dialect in _dialects(lines[number:], options):
            if _names_all(_first_record("".join(lines[number : number + 1]), dialect), dataset):
                return _checked_layout(lines, first, number, dialect, dataset, options)
    if options.header_row is None:
        refuse_other_texts(lines, dataset)
    comments = _comments(lines, first) if options.header_row is None else ()
    start = comments[-1][0] if comments else first
    plain = _plain(lines[start:], dataset, options)
    if options.header_row is None:
        _refuse_late_header(lines, start, plain)
    if not options.delimiter:
        _refuse_odd_delimiter(lines, start, plain, options)
    return Layout(plain, start, comments)


def _checked_layout(
    lines: Sequence[str], first: int, number: int, dialect: Dialect, dataset: Dataset, options: ReadOptions
) -> Layout:
    """Return the layout with the header in ``lines[number]``. Raises Unreadable if that is likely, but not certain."""
    names = [name for name in _first_record(lines[number], dialect) if name.strip()]
    reports = _reports(dialect, options)
    skipped = [(at + 1, _reason(lines[at], dialect, len(names))) for at in range(first, number) if lines[at].strip()]
    doubtful = not all(reason for _, reason in skipped)
    uneven = bool(reports) and not _is_even(lines[number:], dialect)
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


_EXPORT = "Not every line has as many columns: export the table as CSV, without spaces or quotes around its lines."


# --- Dialects -----------------------------------------------------------------------------------------------------------------


def _plain(lines: Sequence[str], dataset: Dataset, options: ReadOptions) -> Dialect:
    """Return the dialect with the chosen delimiter, or with the usual one that is the likeliest in the first line."""
    line = next((line.strip("\r\n") for line in lines if line.strip()), "")
    return Dialect(options.delimiter or likeliest_delimiter(line, dataset), _quote(options))


def _quote(options: ReadOptions) -> str | None:
    return None if options.quote == QUOTE_NONE else options.quote or '"'


def _dialects(lines: Sequence[str], options: ReadOptions) -> Iterator[Dialect]:
    """Yield the dialects in which the first of the lines may be a header."""
    line, quote = lines[0].strip("\r\n"), _quote(options)
    if not options.delimiter and "\t|" in line:
        yield Dialect("\t|\t", None if options.quote is None else quote, ending="\t|" if line.endswith("\t|") else "")
    usual = [options.delimiter] if options.delimiter else [mark for mark in DELIMITERS if mark in line]
    if "|" in usual and _is_drawn(lines):
        yield Dialect("|", None, has_bars=line.strip().startswith("|"), is_trimmed=True)
    for mark in usual:
        plain = Dialect(mark, quote)
        if not options.quote:
            yield from (Dialect(mark, other) for other in "'`" if line.startswith(other))
        if not mark.isspace() and _is_spaced(lines, mark):
            padded = _is_spaced(lines, mark, before=True) and not any('"' in text for text in lines)
            yield Dialect(mark, None, is_trimmed=True) if padded else replace(plain, is_spaced=True)
        yield plain
        if quote:
            yield replace(plain, is_wrapped=True)
    for mark in [options.delimiter] if options.delimiter else _odd_delimiters(line):
        ending = mark.rstrip(" \t")
        yield Dialect(mark, quote, ending=ending if ending not in (mark, "") and line.endswith(ending) else "")


def _odd_delimiters(line: str) -> list[str]:
    """Return what may separate the words of a line, the most frequent first."""
    found = [mark for mark in _ODD_DELIMITER.findall(line) if len(mark) <= 8 and mark not in DELIMITERS]
    return sorted(dict.fromkeys(found), key=lambda mark: -found.count(mark))[:5]


def _is_drawn(lines: Sequence[str]) -> bool:
    """Return whether a table is drawn with bars: they surround the line, or a ruler is below it, and spaces pad the values."""
    line, below = lines[0].strip(), lines[1] if len(lines) > 1 else ""
    surrounded = len(line) > 2 and line[0] == line[-1] == "|"
    return (surrounded and " |" in line) or (is_ruler(below) and ("+" in below or "|" in below))


def _is_spaced(lines: Sequence[str], mark: str, *, before: bool = False) -> bool:
    """Return whether a space follows every delimiter of the first lines, or precedes it."""
    places = [
        text[at - 1 : at] if before else text[at + 1 : at + 2] for text in lines[:20] for at in _outside_quotes(text, mark)
    ]
    return " " in places and all(place in (" ", "\r", "\n", "") for place in places)


def _outside_quotes(text: str, mark: str) -> Iterator[int]:
    inside = False
    for at, character in enumerate(text):
        inside ^= character == '"'
        if not inside and text.startswith(mark, at):
            yield at


def _is_unusual(lines: Sequence[str], plain: Dialect) -> bool:
    """Return whether a first line that has all columns is written in another dialect than the plain one."""
    line = next((text for text in lines if text.strip()), "")
    return (
        f"{plain.delimiter} " in line or line[:1] in "'`" or (plain.delimiter == "|" and _is_drawn(lines)) or not plain.is_fast
    )


def _is_even(lines: Sequence[str], dialect: Dialect) -> bool:
    """Return whether every record of the opening has as many values as the header."""
    is_cut = len(lines) == OPENING_LINES or not lines[-1].endswith(("\n", "\r"))
    try:
        records = [record for record in dialect.records(lines) if record]
    except (csv.Error, Unreadable):
        return False
    kept = records[:-1] if is_cut and len(records) > 2 else records
    widths = {len(record) for record in kept if not (is_footer(record) or is_ruler(record[0]) or is_ruler_record(record))}
    return len(widths) <= 1


def _reports(dialect: Dialect, options: ReadOptions) -> tuple[str, ...]:
    """Return what is unusual about a dialect, a sentence each, unless the upload says so."""
    said = []
    if dialect.is_trimmed:
        said.append(
            f"Spaces beside the {say_delimiter(dialect.delimiter)} were removed, as from a table drawn with characters."
        )
    if dialect.delimiter not in DELIMITERS and not options.delimiter:
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


# --- Lines --------------------------------------------------------------------------------------------------------------------


def wanted_columns(dataset: Dataset) -> list[str]:
    """Return the columns by which a header is recognised."""
    return column_mapping.required(dataset) or [dataset.key, dataset.parent]


def _names_all(names: Sequence[str], dataset: Dataset) -> bool:
    """Return whether these are the names of columns, with all that the dataset needs."""
    if any(name.strip() and not re.search(r"\w", name) for name in names[:_MOST_NAMES]):
        return False
    named = {column_mapping.mapped_name(bare, dataset) for name in names[:_MOST_NAMES] for bare in (name, bare_name(name))}
    return named.issuperset(wanted_columns(dataset))


def bare_name(name: str) -> str:
    """Return a column's name without what databases and comment signs put around it."""
    bare = name.strip().removeprefix("\ufeff").lstrip("#").strip()
    return bare[1:-1] if len(bare) > 2 and bare[0] + bare[-1] in ("[]", "``", "''") else bare


def _first_record(text: str, dialect: Dialect) -> list[str]:
    """Return the first record of a text, or an empty list if it has none or cannot be read."""
    try:
        return next((record for record in dialect.records(io.StringIO(text, newline="")) if record), [])
    except (csv.Error, Unreadable):
        return []


def _reason(line: str, dialect: Dialect, width: int) -> str:
    """Return why a line above the header is certainly no record, or an empty string."""
    if line.startswith("#TYPE"):
        return "a line of PowerShell with the type"
    if _COMMENT.match(line):
        return "a comment"
    if is_ruler(line):
        return "a line of dashes"
    record = _first_record(line, dialect)
    while record and not record[-1].strip():
        record.pop()
    filled = sum(bool(value.strip()) for value in record)
    if filled <= 1:
        return "a title" if filled else "an empty row"
    return "a title" if len(record) != width and filled < width else ""


def _comments(lines: Sequence[str], first: int) -> tuple[tuple[int, str], ...]:
    """Return the lines of comments at the beginning: (line, reason)."""
    found = []
    for number in range(first, len(lines)):
        if not _COMMENT.match(lines[number]):
            if lines[number].strip():
                break
            continue
        found.append((number + 1, "a line of PowerShell with the type" if lines[number].startswith("#TYPE") else "a comment"))
    return tuple(found) if len(found) < len([line for line in lines[first:] if line.strip()]) else ()


def _refuse_late_header(lines: Sequence[str], start: int, plain: Dialect) -> None:
    """Refuse a text whose first lines are titles, above a table of another width. Raises Unreadable."""
    delimiter = max(DELIMITERS, key=lambda mark: sum(mark in line for line in lines)) if plain.delimiter in DELIMITERS else ""
    dialect = replace(plain, delimiter=delimiter or plain.delimiter)
    widths = [len(_first_record(line, dialect)) for line in lines[:_HEADER_LINES]]
    filled = [(number, width) for number, width in enumerate(widths) if width and number >= start]
    if len(filled) < 3 or filled[0][1] > 1 and filled[0][1] >= max(width for _, width in filled):
        return
    most = filled[-2][1]
    number = next((number for number, width in filled if width == most), start)
    if most > 1 and filled[0][1] != most and all(width == most for at, width in filled[:-1] if at >= number) and number > start:
        names = [name.strip() for name in _first_record(lines[number], dialect)]
        raise Unreadable(
            f"The header seems to be in line {number + 1} ({', '.join(names)[:200]}).",
            code="missing_column",
            hint=f"Say header_row={number + 1}, or remove the lines above it.",
            line=number + 1,
        )


def _refuse_odd_delimiter(lines: Sequence[str], start: int, plain: Dialect, options: ReadOptions) -> None:
    """Refuse a text whose header has one column, but several with another delimiter. Raises Unreadable."""
    if start >= len(lines) or len(_first_record(lines[start], plain)) > 1:
        return
    marks = [mark for mark in _odd_delimiters(lines[start].strip("\r\n")) if not re.search(r"[&()/<>!?@+=%*$,;]", mark)]
    for dialect in (Dialect(mark, _quote(options)) for mark in marks):
        names = _first_record(lines[start], dialect)
        if len(names) > 1 and len(lines) - start > 1 and _is_even(lines[start:], dialect):
            raise Unreadable(
                f"The columns seem to be separated by {dialect.delimiter!r}: {', '.join(names)[:200]}.",
                code="missing_column",
                hint=f"Say {asked_delimiter(dialect.delimiter)}, and name the columns as the dataset does or map them.",
                line=start + 1,
            )


_FOOTER = re.compile(
    r"\(?\s*[\d,.]+ (rows?|Zeilen?|lignes?|filas?|righe|records?)\b[^,;|\t]*\)?\.?"
    r"|\\\."
    r"|\((\d+ )?(rows?|Zeilen?|lignes?|filas?) (affected|betroffen)[^)]*\)"
    r"|Query OK.*|Completion time: .*",
    re.IGNORECASE,
)


def is_footer(record: Sequence[str]) -> bool:
    """Return whether a record of one value is what database clients write below a table: (2 rows), \\."""
    return len(record) == 1 and bool(_FOOTER.fullmatch(record[0].strip()))


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


# --- The delimiter ------------------------------------------------------------------------------------------------------------


def likeliest_delimiter(line: str, dataset: Dataset) -> str:
    """Return the delimiter with which the line has the most of the dataset's columns, or else the most columns."""

    def fits(delimiter: str) -> tuple[int, int]:
        names = [column_mapping.mapped_name(name.strip().strip('"'), dataset) for name in line.split(delimiter)]
        return len(set(names) & set(dataset.names)), len(names)

    return max(DELIMITERS, key=fits)


def declared_delimiter(line: str) -> str | None:
    """Return the delimiter in Excel's line ``sep=;``; None if the line is something else."""
    bare = line.removeprefix('"').removesuffix('"')
    said = bare[4:]
    return said if 1 <= len(said) <= 8 and bare[:4].lower() == "sep=" and not said.isalnum() and '"' not in said else None
