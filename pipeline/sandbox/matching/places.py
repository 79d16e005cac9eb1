"""Say where a record is in the person's own program: its row, and its cell."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.display import column_letters, line_of
from pipeline.read import FileSummary


@dataclass(frozen=True)
class Places:
    """Where the records of a file are. ``header``: the row with the columns' names, None where the format has none."""

    reading: FileSummary
    header: int | None

    def row(self, record: int | None, line: int | None = None) -> int | None:
        """Return the row of the sheet, the line of the text, or the number of the record."""
        return line or self._line(record) or record

    def cell(self, record: int | None, column: str | None, line: int | None = None) -> str:
        """Return what a spreadsheet calls the cell (C7) of a column, by its name in ``raw`` or in the file; or nothing.

        A program that opens a CSV counts records, not lines: after a value of several lines its rows have other numbers.
        """
        letter = self._letter(column)
        found = line or self._line(record)
        if not letter or found is None or self.reading.format not in ("csv", "xlsx") or self.reading.members > 1:
            return ""
        is_moved = self.reading.format == "csv" and record is not None and self._moved_before(record)
        return "" if is_moved else f"{letter}{found}"

    def _line(self, record: int | None) -> int | None:
        return line_of(record, vars(self.reading))

    def _moved_before(self, record: int) -> bool:
        return len([first for first, _ in self.reading.lines if first <= record]) > 1

    def _letter(self, column: str | None) -> str:
        names = (self.reading.columns, self.reading.original_columns)
        place = next((called.index(column) for called in names if column is not None and column in called), None)
        if place is None:
            return ""
        return self.reading.letters[place] if self.reading.letters else column_letters(place + 1)
