"""Write the value of a cell as exact text."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

Cell = str | float | int | bool | date | datetime | time | timedelta

SAFE_DIGITS = 15  # of a number in Excel


def cell_text(cell: Cell) -> str:
    """Return a cell as exact text: whole numbers without a point, dates and times as ISO 8601, durations as h:mm:ss."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 10**SAFE_DIGITS else _plain(cell)
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(int(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(cell) if isinstance(cell, int) else cell.isoformat()


def _plain(number: float) -> str:
    """Return the shortest digits that mean this number, without an exponent."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")
