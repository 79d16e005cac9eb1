"""Read the first lines of a delimited text: its delimiter and the names of its columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contracts.options import DELIMITERS
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.raw_tables import RawTables


@dataclass(frozen=True)
class Header:
    """What comes before the data.

    ``names`` are those for ``raw``, ``originals`` the file's own; ``trailing_empty`` counts the columns without a name at the
    end, which spreadsheets often add. It takes ``records`` records (a line ``sep=;`` is one) on ``lines`` lines.
    """

    names: tuple[str, ...]
    originals: tuple[str, ...]
    trailing_empty: int
    records: int
    lines: int
    line_end: str

    @property
    def is_regular(self) -> bool:
        """Return whether it is one line of names, and nothing else."""
        return self.records == self.lines == 1 and not self.trailing_empty


def delimiter_of(opening: str, dataset: Dataset, chosen: str | None = None) -> str:
    """Return the delimiter: the chosen one, that of the file's first line (``sep=;``), or the one detected in the header."""
    said = _declared_delimiter(_first_line(opening))
    if chosen:
        return chosen
    if said is None:
        return _likeliest_delimiter(_first_line(opening), dataset)
    if said not in DELIMITERS:
        raise Unreadable(
            f"The first line names {said!r} as the delimiter; supported are {' '.join(map(repr, DELIMITERS))}.",
            hint="Save the file with another delimiter.",
            line=1,
        )
    return said


def read_header(opening: str, delimiter: str, staging: RawTables) -> Header:
    """Read the header at the beginning of ``opening``, which is at most one character longer than a header may be.

    Raises Unreadable if it does not name the columns that the dataset needs.
    """
    limits = staging.limits
    csv.field_size_limit(limits.value_bytes)
    reader = csv.reader(io.StringIO(opening, newline=""), delimiter=delimiter, strict=True)
    records = 0
    try:
        found: list[str] = []
        for found in reader:
            records += bool(found)
            if found and (records > 1 or _declared_delimiter(_first_line(opening)) is None):
                break
    except csv.Error as error:
        raise Unreadable(f"The header cannot be read: {error}.", code="malformed_row", line=1) from error
    if len(opening) > limits.header_bytes and reader.line_num > opening.count("\n"):
        raise Unreadable(f"The header is longer than {limits.header_bytes:,} bytes.", code="too_many_columns", line=1)
    trailing_empty = next((n for n, name in enumerate(reversed(found)) if name.strip()), 0)
    originals = found[: len(found) - trailing_empty]
    names = _names(originals, delimiter, staging, line=reader.line_num)
    for name, original in zip(names, originals, strict=True):
        staging.check_unknown_column(name, original, line=reader.line_num)
    line_end = "\r\n" if opening.partition("\n")[0].endswith("\r") else "\n"
    return Header(names, tuple(originals), trailing_empty, records, reader.line_num, line_end)


def _names(originals: list[str], delimiter: str, staging: RawTables, *, line: int) -> tuple[str, ...]:
    """Return the names for ``raw``. Raises Unreadable, for faults of the header as a whole first."""
    dataset = staging.dataset
    refusal = column_mapping.missing_columns(column_mapping.mapped_names(originals, dataset), dataset, originals)
    better = _likeliest_delimiter(delimiter.join(originals), dataset)
    if refusal and better != delimiter and len(originals) < len(delimiter.join(originals).split(better)):
        refusal.hint = f"The names in the header seem to be separated by {better!r}, not {delimiter!r}: choose that, or none."
    elif refusal and column_mapping.looks_like_data(originals, dataset):
        raise Unreadable(
            f"The first line looks like data, not like a header: {', '.join(originals)[:200]}.",
            code="missing_column",
            hint=f"Put a line with the columns' names first: {', '.join(column_mapping.required(dataset))}, ...",
            line=line,
        )
    names = column_mapping.raw_names(originals, dataset, staging.limits, line=line)
    if refusal:
        refusal.line = line
        raise refusal
    return names


def _likeliest_delimiter(line: str, dataset: Dataset) -> str:
    """Return the delimiter with which the line has the most of the dataset's columns, or else the most columns."""

    def fits(delimiter: str) -> tuple[int, int]:
        names = column_mapping.mapped_names([name.strip().strip('"') for name in line.split(delimiter)], dataset)
        return len(set(names) & set(dataset.names)), len(names)

    return max(DELIMITERS, key=fits)


def _declared_delimiter(line: str) -> str | None:
    """Return the delimiter in Excel's line ``sep=;``; None if the line is something else."""
    bare = line.removeprefix('"').removesuffix('"')
    return bare[4:] if len(bare) == 5 and bare[:4].lower() == "sep=" else None


def _first_line(opening: str) -> str:
    return next((bare for line in io.StringIO(opening, newline="") if (bare := line.strip("\r\n")).strip()), "")


def trailing_empty_fields(record: Sequence[str], width: int) -> int:
    """Return how many empty fields a first record has after the header's: one is a delimiter too many, in every record."""
    return 1 if len(record) == width + 1 and not record[-1] else 0
