"""Propose the dialects in which a line may be a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.contracts.options import DELIMITERS, QUOTE_NONE, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.formats.delimited_dialect import BOX, GAP, Dialect
from pipeline.read.formats.delimited_lines import is_footer, is_ruler, is_ruler_record

OPENING_LINES = 200
_ODD_DELIMITER = re.compile(r"""[^\w"'` .\-\[\]\r\n]+(?:[\s]*[^\w"'` .\-\[\]\r\n]+)*""")


def plain_dialect(lines: Sequence[str], dataset: Dataset, options: ReadOptions) -> Dialect:
    """Return the dialect with the chosen delimiter, or with the usual one that is the likeliest in the first line."""
    line = next((line.strip("\r\n") for line in lines if line.strip()), "")
    return Dialect(options.delimiter or likeliest_delimiter(line, dataset), quote_of(options))


def quote_of(options: ReadOptions) -> str | None:
    return None if options.quote == QUOTE_NONE else options.quote or '"'


def likeliest_delimiter(line: str, dataset: Dataset) -> str:
    """Return the delimiter with which the line has the most of the dataset's columns, or else the most columns."""

    def fits(delimiter: str) -> tuple[int, int]:
        names = column_mapping.mapped_names([name.strip().strip('"') for name in line.split(delimiter)], dataset)
        return len(set(names) & set(dataset.names)), len(names)

    return max(DELIMITERS, key=fits)


def dialects(lines: Sequence[str], options: ReadOptions) -> Iterator[Dialect]:
    """Yield the dialects in which the first of the lines may be a header."""
    line, quote = lines[0].strip("\r\n"), quote_of(options)
    if not options.delimiter and "\t|" in line:
        yield Dialect("\t|\t", None if options.quote is None else quote, ending="\t|" if line.endswith("\t|") else "")
    usual = [options.delimiter] if options.delimiter else [mark for mark in DELIMITERS if mark in line]
    if "|" in usual and is_drawn(lines):
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
    yield from _spaced_columns(lines, options)
    for mark in [options.delimiter] if options.delimiter else odd_delimiters(line):
        ending = mark.rstrip(" \t")
        yield Dialect(mark, quote, ending=ending if ending not in (mark, "") and line.endswith(ending) else "")


def _spaced_columns(lines: Sequence[str], options: ReadOptions) -> Iterator[Dialect]:
    """Yield the dialects in which lines or spaces separate the columns."""
    line = lines[0].strip("\r\n")
    asked = options.delimiter
    if asked in (None, BOX) and any(bar in line for bar in "│┆║┃"):
        yield Dialect(BOX, None, has_bars=True, is_trimmed=True)
    if asked in (None, GAP) and (edges := ruler_edges(lines)):
        yield Dialect(GAP, None, is_trimmed=True, edges=edges)
    if asked in (None, GAP) and GAP in line.strip():
        yield Dialect(GAP, None, is_trimmed=True)
    if asked is None and " " in line.strip():
        yield Dialect(" ", quote_of(options))


def ruler_edges(lines: Sequence[str]) -> tuple[int, ...]:
    """Return where columns of fixed width begin: the ruler below the first line has a dash for each character of a column."""
    ruler = lines[1].rstrip() if len(lines) > 1 else ""
    if not re.fullmatch(r"\s*[-=]+( +[-=]+)+", ruler) or any("\t" in line for line in lines):
        return ()
    starts = [found.start() for found in re.finditer(r"[-=]+", ruler)]
    return (0, *starts[1:])


def odd_delimiters(line: str) -> list[str]:
    """Return what may separate the words of a line, the most frequent first."""
    found = [mark for mark in _ODD_DELIMITER.findall(line) if len(mark) <= 8 and mark not in DELIMITERS]
    return sorted(dict.fromkeys(found), key=lambda mark: -found.count(mark))[:5]


def is_drawn(lines: Sequence[str]) -> bool:
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


def is_even(lines: Sequence[str], dialect: Dialect) -> bool:
    """Return whether every record of the opening has as many values as the header."""
    is_cut = len(lines) == OPENING_LINES or not lines[-1].endswith(("\n", "\r"))
    try:
        others = dialect.delimiter.strip(" ") == ""
        kept_lines = [line for line in lines if not (others and is_footer([line]))]
        records = [record for record in dialect.records(kept_lines) if record]
    except (csv.Error, Unreadable):
        return False
    kept = records[:-1] if is_cut and len(records) > 2 else records
    widths = {len(record) for record in kept if not (is_footer(record) or is_ruler(record[0]) or is_ruler_record(record))}
    return len(widths) <= 1
