"""Show the first rows of a file as they are, and find the one that has the columns' names."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.contracts.options import DELIMITERS, QUOTE_NONE, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.errors import RejectedFile, Unreadable
from pipeline.read import Limits
from pipeline.read.formats.delimited_dialect import Dialect
from pipeline.read.formats.excel_opening import SheetOpening, open_workbook
from pipeline.read.synonyms import EXACT, KEY, PARENT, Words, bare_letters
from pipeline.sandbox.preview_model import RawRow

ROWS = 20
CELLS = 60
CHARACTERS = 80
_LOOKED_AT = 25
_NO_NAME = re.compile(r"[-+]?[$€£¥]?\s?[0-9][0-9.,:/ -]*[%€$£¥]?")
"""A number or a date: no column is called so."""


@dataclass(frozen=True)
class Opening:
    """The first rows, the sheets' names, the row that is probably the header; ``is_first``: no other comes before."""

    rows: tuple[RawRow, ...] = ()
    sheets: tuple[str, ...] = ()
    sheet: str = ""
    header: int | None = None
    is_first: bool = True


def opening_of_text(text: str, datasets: Sequence[Dataset], words: Words, options: ReadOptions) -> Opening:
    """Return the opening of a delimited text, of which ``text`` is the beginning."""
    lines = list(islice(io.StringIO(text, newline=""), 200))
    mark = options.delimiter or _likely_delimiter(lines)
    quote = None if options.quote == QUOTE_NONE else options.quote or '"'
    return _with_header(_records(lines, mark, quote), datasets, words, options)


def opening_of_workbook(path: Path, datasets: Sequence[Dataset], words: Words, options: ReadOptions, limits: Limits) -> Opening:
    """Return the opening of the sheet that is asked for, or of the one whose header has most of the known names."""
    try:
        found = open_workbook(path, path.parent, limits, options.sheet, _LOOKED_AT)
    except RejectedFile:  # the reader will say so
        return Opening()
    openings = [(one, _with_header(one.rows, datasets, words, options)) for one in found if one.rows]
    if not openings:
        return Opening(sheets=tuple(one.sheet for one in found))
    best, opening = max(openings, key=lambda pair: _known_in_header(pair, datasets, words))
    return Opening(opening.rows, tuple(one.sheet for one in found), best.sheet, opening.header, opening.is_first)


def _known_in_header(pair: tuple[SheetOpening, Opening], datasets: Sequence[Dataset], words: Words) -> int:
    """Return how many known names the header has: 0 or 1 say nothing, then the first sheet is the better one."""
    rows = dict(pair[0].rows)
    known = _known_names(rows.get(pair[1].header or 0, ()), datasets, words)
    return known if known > 1 else 0


def _with_header(
    rows: Sequence[tuple[int, Sequence[str]]], datasets: Sequence[Dataset], words: Words, options: ReadOptions
) -> Opening:
    header = options.header_row or find_header(rows, datasets, words)
    shown = list(rows[:ROWS])
    shown += [row for row in rows[ROWS:] if row[0] == header]
    raw = tuple(RawRow(number, tuple(cell[:CHARACTERS] for cell in cells[:CELLS])) for number, cells in shown)
    return Opening(raw, header=header, is_first=not rows or rows[0][0] == header)


def find_header(rows: Sequence[tuple[int, Sequence[str]]], datasets: Sequence[Dataset], words: Words) -> int | None:
    """Return the number of the row that has the columns' names; None if there are no rows.

    It is about as wide as the table, has no number and no date, and has the most known names; if several have as many, one
    without repeated names, the widest, the first. Records come after it.
    """
    width = _usual_width(rows)
    found = [
        (-_known_names(cells, datasets, words), _repeats(cells), _filled(cells) < width, place)
        for place, (_, cells) in enumerate(rows[:_LOOKED_AT])
        if 2 * _filled(cells) > width and _may_be_names(cells) and (place == 0 or place + 1 < len(rows))
    ]
    if not found:
        return rows[0][0] if rows else None
    return rows[min(found)[-1]][0]


def _usual_width(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """Return how many cells most rows have filled."""
    counts = Counter(_filled(cells) for _, cells in rows)
    return max(counts, key=lambda width: (counts[width], width), default=0)


def _filled(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _may_be_names(cells: Sequence[str]) -> bool:
    names = [cell.strip() for cell in cells if cell.strip()]
    return not any(_NO_NAME.fullmatch(name) for name in names)


def _repeats(cells: Sequence[str]) -> bool:
    names = [cell.strip() for cell in cells if cell.strip()]
    return len({*names}) < len(names)


def _known_names(cells: Sequence[str], datasets: Sequence[Dataset], words: Words) -> int:
    own = {bare_letters(name) for dataset in datasets for name in (*dataset.names, *dataset.aliased)}
    return sum(
        bool(letters := bare_letters(cell))
        and (
            letters in own
            or words.strength(cell, KEY) == EXACT
            or words.strength(cell, PARENT) > 0
            or bool(words.meaning_of(cell))
        )
        for cell in cells[:300]
    )


def _likely_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter with which the most lines have as many fields, more than one."""

    def evenness(mark: str) -> tuple[int, int]:
        counts = Counter(len(cells) for _, cells in _records(lines, mark, '"') if len(cells) > 1)
        return max(((often, width) for width, often in counts.items()), default=(0, 0))

    return max(DELIMITERS, key=evenness)


def _records(lines: Sequence[str], mark: str, quote: str | None) -> list[tuple[int, tuple[str, ...]]]:
    """Return the first records that are not empty, with the lines on which they begin."""

    def numbered() -> Iterator[tuple[int, tuple[str, ...]]]:
        dialect = Dialect(mark, quote)
        reader = csv.reader(map(dialect.prepared, lines), **{**dialect.options(), "strict": False})
        before = 0
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield before + 1, tuple(dialect.finished(cells))
                before = reader.line_num
        except (csv.Error, Unreadable):  # what is wrong is said by the reader
            return

    return list(islice(numbered(), _LOOKED_AT))
