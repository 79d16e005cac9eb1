"""Read Excel workbooks (xlsx): the first visible sheet that is not empty, with its first row that is not empty as the header.

The archive is checked before the workbook is read (zip_archive.py), and so are its XML parts (excel_xml_scan.py).
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
from pipeline.read.formats.excel_xml_scan import SheetScan, scan
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.read.row_writer import RowWriter

Cell = str | float | int | bool | date | datetime | time | timedelta

_NAMED_AT_MOST = 5
_SAFE_DIGITS = 15  # of a number in Excel


def read_excel(path: Path, staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a workbook. Raises Unreadable for one that is broken or has no header that names the columns."""
    with zip_archive.opened(path) as parts:
        scans = scan(parts, staging.limits)
    with _damage_as_unreadable():
        book = CalamineWorkbook.from_path(str(path))
        name, found, sheets = _choose_sheet(book, scans, staging)
        if found.columns * found.rows > staging.limits.cells:
            raise Unreadable(
                f"The sheet {printable(name)} covers {found.rows:,} rows and {found.columns:,} columns;"
                f" at most {staging.limits.cells:,} cells can be read.",
                hint="Delete the cells far from the table, or upload the records as CSV.",
            )
        sheet = book.get_sheet_by_name(name)
        table = _fill(sheet, found, staging)
    return replace(table, sheet=name, sheets=sheets)


@contextmanager
def _damage_as_unreadable() -> Iterator[None]:
    try:
        yield
    except CalamineError as error:
        raise Unreadable(f"The Excel workbook is damaged: {printable(str(error))}", hint="Save it again in Excel.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how the reader's Rust code gives up
            raise
        raise Unreadable("The Excel workbook cannot be read.", hint="Save it again in Excel, or as CSV.") from error


# --- The sheet ---


def _choose_sheet(book: CalamineWorkbook, scans: dict[str, SheetScan], staging: RawTables) -> tuple[str, SheetScan, int]:
    """Return the first visible sheet that is not empty, its scan, and how many such sheets there are; warn about the others."""
    sheets = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    visible = [one.name for one in sheets if one.visible == SheetVisibleEnum.Visible]
    filled = [name for name in visible if scans.get(name, SheetScan()).rows]
    if not filled:
        hidden = " (hidden ones are not read)" if len(visible) < len(sheets) else ""
        raise Unreadable(
            f"The workbook has no visible sheet that is not empty{hidden}.", code="empty_file", hint="Add at least one record."
        )
    if len(filled) > 1:
        staging.add_finding(
            "several_sheets",
            f"Only the sheet {printable(filled[0])} was read, not {', '.join(map(printable, filled[1:]))}.",
            hint="Upload the other sheets as files of their own, if they contain records.",
            severity="warning",
        )
    return filled[0], scans[filled[0]], len(filled)


def _fill(sheet: CalamineSheet, scan: SheetScan, staging: RawTables) -> ReadResult:
    rows = enumerate(sheet.iter_rows(), 1)
    left = (sheet.start or (0, 0))[1]  # empty columns before the table
    header, first = next(((line, cells) for line, cells in rows if any(cell != "" for cell in cells)), (0, []))
    originals = _header(first, header, left, scan, staging)
    names = column_mapping.raw_names(originals, staging.dataset, staging.limits, line=header)
    for name, original in zip(names, originals, strict=True):
        staging.check_unknown_column(name, original, line=header)
    body = _SheetRows(names, left, scan, staging)
    for line, cells in rows:
        body.add(line, cells)
    body.writer.flush()
    _warn_of_numbers(body, staging)
    _warn_of_merged(sheet, header, staging)
    letters = tuple(column_letters(left + place) for place in range(1, len(names) + 1))
    return ReadResult(body.rows, names, body.longest_bytes, has_nul=False, originals=tuple(originals), letters=letters)


def _header(first: Sequence[Cell], line: int, left: int, scan: SheetScan, staging: RawTables) -> list[str]:
    """Return the columns' names in the file. Raises Unreadable if they are not those that the dataset needs."""
    dataset = staging.dataset
    originals = [_text(cell) for cell in first]
    while originals and not originals[-1].strip():
        originals.pop()
    faulty = next((place for place in sorted(scan.faults) if place[0] == line), None)
    if faulty:
        raise Unreadable(f"The cell {cell_name(*faulty)} in the header {scan.faults[faulty]}.", code="malformed_row", line=line)
    refusal = column_mapping.missing_columns(column_mapping.mapped_names(originals, dataset), dataset, originals)
    if refusal:
        refusal.line = line
        refusal.hint = f"{refusal.hint} The header is row {line}, the first one that is not empty.".strip()
        raise refusal
    return originals


class _SheetRows:
    """Writes the rows after the header into ``raw``."""

    def __init__(self, names: tuple[str, ...], left: int, scan: SheetScan, staging: RawTables) -> None:
        self._names, self._left, self._survey, self._staging = names, left, scan, staging
        dataset = staging.dataset
        self._ids = [place for place, name in enumerate(names) if name in (dataset.key, dataset.parent)]
        self._faulty_lines = {line for line, _ in scan.faults}
        self.writer = RowWriter(names, staging)
        self.rows, self.longest_bytes = 0, 0
        self.numbers: list[tuple[str, str]] = []  # the first cells with ids that are numbers, and their values
        self.numeric_ids = 0

    def add(self, line: int, cells: Sequence[Cell]) -> None:
        """Add one row of the sheet; an empty one is skipped."""
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
        self.writer.add(self.rows, line, texts[:width])

    def _faults(self, line: int) -> dict[int, str]:
        """Return what is wrong with the row's cells, by column of the table."""
        found = {column - 1 - self._left: what for (at, column), what in self._survey.faults.items() if at == line}
        return {place: what for place, what in found.items() if 0 <= place < len(self._names)}

    def _refuse(self, line: int, place: int, texts: list[str]) -> None:
        message = f"The cell {self._at(line, place)} is outside the header, which has {counted(len(self._names), 'column')}."
        hint = "Name the column in the header, or delete the cell."
        self._staging.add_finding("malformed_row", message, row=self.rows, line=line, value=texts[place], hint=hint)
        self._staging.add_malformed(self.rows, line, "\t".join(texts))

    def _look_at_id(self, line: int, place: int, cell: Cell) -> None:
        if cell == "" or isinstance(cell, str):
            return
        at = self._at(line, place)
        if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
            hint = "Write it as text."
            self._find(line, place, f"The cell {at} is neither text nor a whole number.", _text(cell), hint)
            return
        self.numeric_ids += 1
        if len(self.numbers) < _NAMED_AT_MOST:
            self.numbers.append((at, _text(cell)))

    def _find(self, line: int, place: int, message: str, value: str, hint: str) -> None:
        name = self._names[place]
        self._staging.add_finding(
            "invalid_type", message, row=self.rows, line=line, column=name, value=value or None, hint=hint
        )

    def _at(self, line: int, place: int) -> str:
        return cell_name(line, place + 1 + self._left)


def _warn_of_numbers(body: _SheetRows, staging: RawTables) -> None:
    if body.numeric_ids:
        first = ", ".join(f"{cell} is {value}" for cell, value in body.numbers)
        more = f" and {body.numeric_ids - len(body.numbers):,} more" if body.numeric_ids > len(body.numbers) else ""
        staging.add_finding(
            "numeric_ids",
            f"Ids are numbers or dates in this sheet: {first}{more}.",
            hint=f"Excel drops leading zeros and every digit past the {_SAFE_DIGITS}th: if ids had any, format the column as"
            " text and enter the ids again.",
            severity="warning",
        )


def _warn_of_merged(sheet: CalamineSheet, header: int, staging: RawTables) -> None:
    merged = [(cell_name(top + 1, left + 1), cell_name(bottom + 1, right + 1))
              for (top, left), (bottom, right) in sheet.merged_cell_ranges or [] if bottom + 1 >= header]  # fmt: skip
    if merged:
        named = ", ".join(f"{first}:{last}" for first, last in merged[:_NAMED_AT_MOST])
        more = f" and {len(merged) - _NAMED_AT_MOST:,} more" if len(merged) > _NAMED_AT_MOST else ""
        staging.add_finding(
            "merged_cells",
            f"Cells are merged: {named}{more}. Only the first cell of each has the value.",
            hint="Unmerge them, and write the value into each cell.",
            severity="warning",
        )


def _text(cell: Cell) -> str:
    """Return a cell as exact text: whole numbers without a point, dates and times as ISO 8601, durations as h:mm:ss."""
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
    """Return the shortest digits that mean this number, without an exponent."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")
