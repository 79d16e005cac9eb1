"""Excel workbooks (xlsx): the first visible sheet that holds anything, its first row that does being the header.

The archive is looked through before the workbook's reader sees it (archive.py), and so are its XML parts (survey.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from pipeline.display import cell_name, column_letters, counted
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_xml_scan import Survey, survey
from pipeline.read.raw_tables import RawTables, show
from pipeline.read.read_result import ReadResult
from pipeline.read.row_writer import RowWriter

Cell = str | float | int | bool | date | datetime | time | timedelta

_NAMED_AT_MOST = 5
_SAFE_DIGITS = 15  # of a number in Excel


def read_excel(path: Path, staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a workbook. Raises Unreadable for one that is broken or has no header that names the columns."""
    with zip_archive.opened(path) as parts:
        surveys = survey(parts, staging.limits)
    with _sound_workbook():
        book = CalamineWorkbook.from_path(str(path))
        name, found, sheets = _choose(book, surveys, staging)
        if found.columns * found.rows > staging.limits.cells:
            raise Unreadable(
                f"The sheet {show(name)} reaches over {found.rows:,} rows and {found.columns:,} columns;"
                f" at most {staging.limits.cells:,} cells can be read.",
                hint="Delete what stands far from the table, or upload the records as CSV.",
            )
        sheet = book.get_sheet_by_name(name)
        table = _fill(sheet, found, staging)
    return replace(table, sheet=name, sheets=sheets)


@contextmanager
def _sound_workbook() -> Iterator[None]:
    try:
        yield
    except CalamineError as error:
        raise Unreadable(f"The Excel workbook is damaged: {show(str(error))}", hint="Save it again in Excel.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how the reader's Rust code gives up
            raise
        raise Unreadable("The Excel workbook cannot be read.", hint="Save it again in Excel, or as CSV.") from error


# --- The sheet ---


def _choose(book: CalamineWorkbook, surveys: dict[str, Survey], staging: RawTables) -> tuple[str, Survey, int]:
    """The first visible sheet that holds anything, and how many do; the others are named in a warning."""
    sheets = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    visible = [one.name for one in sheets if one.visible == SheetVisibleEnum.Visible]
    filled = [name for name in visible if surveys.get(name, Survey()).rows]
    if not filled:
        hidden = " (hidden ones are not read)" if len(visible) < len(sheets) else ""
        raise Unreadable(
            f"No visible sheet of the workbook holds anything{hidden}.", code="empty_file", hint="Add at least one record."
        )
    if len(filled) > 1:
        staging.find(
            "several_sheets",
            f"Only the sheet {show(filled[0])} was read, not {', '.join(map(show, filled[1:]))}.",
            hint="Upload the other sheets as files of their own, if they hold records.",
            severity="warning",
        )
    return filled[0], surveys[filled[0]], len(filled)


def _fill(sheet: CalamineSheet, survey: Survey, staging: RawTables) -> ReadResult:
    rows = enumerate(sheet.iter_rows(), 1)
    left = (sheet.start or (0, 0))[1]  # how many columns stand empty before the table
    header, first = next(((line, cells) for line, cells in rows if any(cell != "" for cell in cells)), (0, []))
    originals = _header(first, header, left, survey, staging)
    names = column_mapping.named(originals, staging.dataset, staging.limits, line=header)
    for name, original in zip(names, originals, strict=True):
        staging.find_unknown_column(name, original, line=header)
    body = _Body(names, left, survey, staging)
    for line, cells in rows:
        body.add(line, cells)
    body.arrived.flush()
    _warn_of_numbers(body, staging)
    _warn_of_merged(sheet, header, staging)
    letters = tuple(column_letters(left + place) for place in range(1, len(names) + 1))
    return ReadResult(body.rows, names, body.longest_bytes, has_nul=False, originals=tuple(originals), letters=letters)


def _header(first: Sequence[Cell], line: int, left: int, survey: Survey, staging: RawTables) -> list[str]:
    """The columns' names in the file; Unreadable if they are not those that the dataset needs."""
    dataset = staging.dataset
    originals = [_text(cell) for cell in first]
    while originals and not originals[-1].strip():
        originals.pop()
    faulty = next((place for place in sorted(survey.faults) if place[0] == line), None)
    if faulty:
        raise Unreadable(
            f"The cell {cell_name(*faulty)} in the header {survey.faults[faulty]}.", code="malformed_row", line=line
        )
    refusal = column_mapping.missing([column_mapping.mapped(name, dataset) for name in originals], dataset, originals)
    if refusal:
        refusal.line = line
        refusal.hint = f"{refusal.hint} The header is row {line}, the first that holds anything.".strip()
        raise refusal
    return originals


class _Body:
    """The rows below the header, on their way into ``raw``."""

    def __init__(self, names: tuple[str, ...], left: int, survey: Survey, staging: RawTables) -> None:
        self._names, self._left, self._survey, self._staging = names, left, survey, staging
        dataset = staging.dataset
        self._ids = [place for place, name in enumerate(names) if name in (dataset.key, dataset.parent)]
        self._faulty_lines = {line for line, _ in survey.faults}
        self.arrived = RowWriter(names, staging)
        self.rows, self.longest_bytes = 0, 0
        self.numbers: list[tuple[str, str]] = []  # cells with ids that are numbers, and what they hold; the first of them
        self.numbered = 0

    def add(self, line: int, cells: Sequence[Cell]) -> None:
        """Take one row of the sheet; an empty one is passed over."""
        texts, width = [_text(cell) for cell in cells], len(self._names)
        faulty = self._faults(line) if line in self._faulty_lines else {}
        if not faulty and not any(texts):
            return
        self.rows += 1
        beyond = next((place for place, text in enumerate(texts[width:], width) if text), None)
        if beyond is not None:
            self._refuse(line, beyond, texts)
            return
        for place, what in faulty.items():
            self._find(line, place, f"The cell {self._at(line, place)} {what}.", "", "Write the value itself into the cell.")
        for place in self._ids:
            self._look_at_id(line, place, cells[place])
        self.longest_bytes = max(self.longest_bytes, *(len(text.encode()) for text in texts))
        self.arrived.add(self.rows, line, texts[:width])

    def _faults(self, line: int) -> dict[int, str]:
        """What is wrong with the row's cells, by column of the table."""
        found = {column - 1 - self._left: what for (at, column), what in self._survey.faults.items() if at == line}
        return {place: what for place, what in found.items() if 0 <= place < len(self._names)}

    def _refuse(self, line: int, place: int, texts: list[str]) -> None:
        message = f"The cell {self._at(line, place)} stands beyond the header, which has {counted(len(self._names), 'column')}."
        hint = "Name the column in the header, or delete the cell."
        self._staging.find("malformed_row", message, row=self.rows, line=line, value=texts[place], hint=hint)
        self._staging.set_aside(self.rows, line, "\t".join(texts))

    def _look_at_id(self, line: int, place: int, cell: Cell) -> None:
        if cell == "" or isinstance(cell, str):
            return
        at = self._at(line, place)
        if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
            hint = "Write it as text."
            self._find(line, place, f"The cell {at} is neither text nor a whole number.", _text(cell), hint)
            return
        self.numbered += 1
        if len(self.numbers) < _NAMED_AT_MOST:
            self.numbers.append((at, _text(cell)))

    def _find(self, line: int, place: int, message: str, value: str, hint: str) -> None:
        name = self._names[place]
        self._staging.find("invalid_type", message, row=self.rows, line=line, column=name, value=value or None, hint=hint)

    def _at(self, line: int, place: int) -> str:
        return cell_name(line, place + 1 + self._left)


def _warn_of_numbers(body: _Body, staging: RawTables) -> None:
    if body.numbered:
        first = ", ".join(f"{cell} is {value}" for cell, value in body.numbers)
        more = f" and {body.numbered - len(body.numbers):,} more" if body.numbered > len(body.numbers) else ""
        staging.find(
            "numeric_ids",
            f"Ids are numbers or dates in this sheet: {first}{more}.",
            hint=f"Excel drops leading zeros and every digit past the {_SAFE_DIGITS}th: if ids had such, format the column as"
            " text and write them anew.",
            severity="warning",
        )


def _warn_of_merged(sheet: CalamineSheet, header: int, staging: RawTables) -> None:
    merged = [(cell_name(top + 1, left + 1), cell_name(bottom + 1, right + 1))
              for (top, left), (bottom, right) in sheet.merged_cell_ranges or [] if bottom + 1 >= header]  # fmt: skip
    if merged:
        named = ", ".join(f"{first}:{last}" for first, last in merged[:_NAMED_AT_MOST])
        more = f" and {len(merged) - _NAMED_AT_MOST:,} more" if len(merged) > _NAMED_AT_MOST else ""
        staging.find(
            "merged_cells",
            f"Cells are merged: {named}{more}. Their value was read for the first of them only.",
            hint="Split them, and write the value into each cell that it is meant for.",
            severity="warning",
        )


def _text(cell: Cell) -> str:
    """A cell as exact text: whole numbers without a point, dates and times as ISO 8601, durations as h:mm:ss."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 10**_SAFE_DIGITS else _plain(cell)
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(int(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(cell) if isinstance(cell, int) else cell.isoformat()


def _plain(number: float) -> str:
    """The shortest digits that mean this number, without an exponent."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")
