"""Write the result of an SQL query as an Excel workbook: numbers and dates as such, any text as text, never as a formula."""

from __future__ import annotations

import io
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.warehouse.query import Answer
from web.http.responses import as_text

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

CELL_UNITS = 32_767
"""The most units of UTF-16 that a cell of Excel holds; a longer text is cut."""

ROWS_MAX = 1_048_575
"""The rows of a sheet below its header."""

DIGITS_MAX = 15
"""Excel's numbers are doubles, and it shows 15 digits: a number with more is written as text, so that none is lost."""

_EARLIEST = 1900
"""Excel has no date before this year; one is written as text."""


def workbook(answer: Answer) -> tuple[bytes, bool]:
    """Return a result as a workbook, and whether something was cut at Excel's limits."""
    from xlsxwriter import Workbook  # which no other request needs

    sink = io.BytesIO()
    is_cut = len(answer.rows) > ROWS_MAX
    options = {"in_memory": True, "constant_memory": True, "strings_to_urls": False, "strings_to_formulas": False}
    with Workbook(sink, options) as book:
        sheet = book.add_worksheet("Result")
        heading = book.add_format({"bold": True})
        formats: dict[type, Format] = {date: book.add_format({"num_format": "yyyy-mm-dd"})}
        formats[datetime] = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet.freeze_panes(1, 0)
        for at, column in enumerate(answer.columns):
            is_cut |= _write_text(sheet, 0, at, column.name, heading)
        for line, row in enumerate(answer.rows[:ROWS_MAX], start=1):
            for at, value in enumerate(row):
                is_cut |= _write(sheet, line, at, value, formats)
    return sink.getvalue(), is_cut


def _write(sheet: Worksheet, line: int, at: int, value: Any, formats: dict[type, Format]) -> bool:
    """Write a cell; return whether its text was cut. NULL is an empty cell."""
    if value is None:
        return False
    if isinstance(value, bool):
        sheet.write_boolean(line, at, value)
    elif isinstance(value, int | float | Decimal) and _fits(value):
        sheet.write_number(line, at, float(value))
    elif isinstance(value, datetime) and value.tzinfo is None and value.year >= _EARLIEST and not value.microsecond:
        sheet.write_datetime(line, at, value, formats[datetime])
    elif isinstance(value, date) and not isinstance(value, datetime) and value.year >= _EARLIEST:
        sheet.write_datetime(line, at, datetime.combine(value, time.min), formats[date])
    else:
        return _write_text(sheet, line, at, as_text(value), None)
    return False


def _fits(value: float | Decimal) -> bool:
    """Return whether Excel shows a number with all its digits."""
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        return False
    if isinstance(value, float):
        return True  # a double, as in PostgreSQL
    return len(exact.normalize().as_tuple().digits) <= DIGITS_MAX and abs(exact) < Decimal("1e300")


def _write_text(sheet: Worksheet, line: int, at: int, text: str, how: Format | None) -> bool:
    whole = text.encode("utf-16-le", "replace")
    fits = len(whole) <= 2 * CELL_UNITS
    shown = text if fits else whole[: 2 * CELL_UNITS].decode("utf-16-le", "ignore")
    if shown:
        sheet.write_string(line, at, shown, how)
    return not fits
