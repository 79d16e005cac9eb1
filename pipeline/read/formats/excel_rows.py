"""Write the rows of a sheet into ``raw``, and judge each cell of them that is no plain value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from pipeline.display import NAMED_MOST, cell_name, counted, listed
from pipeline.read.column_mapping import OUTLINE_LEVEL, SKIPPED
from pipeline.read.formats.delimited_lines import is_footer, rows_in_footer
from pipeline.read.formats.delimited_skips import are_units
from pipeline.read.formats.excel_cells import CellFaults
from pipeline.read.formats.excel_merged import MergedRange, MergedRanges
from pipeline.read.formats.excel_number_formats import SheetFormats
from pipeline.read.formats.excel_outline import RowLevels
from pipeline.read.formats.excel_values import SAFE_DIGITS, Cell, cell_text
from pipeline.read.raw_tables import RawTables
from pipeline.read.row_writer import RowWriter


@dataclass
class SheetFacts:
    """What is known about a sheet besides its cells' values. ``left`` counts the empty columns before the table."""

    header: int
    left: int
    faults: CellFaults
    merged: MergedRanges
    formats: SheetFormats
    totals: frozenset[int] = frozenset()  # rows of the sheet that its tables declare as totals
    levels: RowLevels | None = None  # of the rows, if a shape needs them


@dataclass
class Examples:
    """The first of some cells, and how many there are."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.first) < NAMED_MOST:
            self.first.append(text)

    def __str__(self) -> str:
        return listed(self.first, count=self.count)


class SheetRows:
    """Writes the rows after the header into ``raw``."""

    def __init__(self, names: tuple[str, ...], originals: Sequence[str], facts: SheetFacts, staging: RawTables) -> None:
        self._names, self._originals, self._facts, self._staging = names, list(originals), facts, staging
        dataset, options = staging.dataset, staging.options
        self._ids = [place for place, name in enumerate(names) if name in (dataset.key, dataset.parent)]
        self._fills = options.merged == "fill"
        self._faults = facts.faults.in_order()
        self._fault = next(self._faults, None)  # the next one
        self._levels = facts.levels
        self.writer = RowWriter((*names, OUTLINE_LEVEL) if facts.levels else names, staging)
        self.rows = self.longest_bytes = 0
        self.judged = 0
        while self._fault and self._fault[0] <= facts.header:  # skipped, with a warning
            self.judged += len(self._faults_of(self._fault[0]))
        self._numbers, self._dates, self._displayed = Examples(), Examples(), Examples()
        self._repeated, self._skipped = Examples(), Examples()
        self._total_rows: list[int] = []
        self.filled: dict[str, MergedRange] = {}

    def add(self, line: int, cells: Sequence[Cell]) -> None:
        """Add one row of the sheet; an empty one is skipped."""
        texts, width = [cell_text(cell) for cell in cells], len(self._names)
        found = self._faults_of(line)
        merged = self._facts.merged.at(line)
        if not found and not any(texts):
            self._remember_merged(line, merged, texts)
            return
        if texts[:width] == self._originals and not any(texts[width:]) and not found:
            self._repeated.add(str(line))
            return
        if not found and self._is_no_record(line, texts[:width], any(texts[width:])):
            return
        self.rows += 1
        self.judged += len(found)
        beyond = next((place for place, text in enumerate(texts[width:], width) if text), None)
        beyond = next((place for place, _ in found if not 0 <= place < width), beyond)
        if beyond is not None:
            self._refuse(line, beyond, texts)
            return
        for place, what in found:
            self._find(line, place, f"The cell {self._at(line, place)} {what}.", texts[place], _hint(what))
            texts[place] = ""
        for place in self._ids:
            if texts[place]:
                texts[place] = self._id(line, place, cells[place], texts[place])
        if merged:
            self._remember_merged(line, merged, texts)
            self._judge_merged(line, merged, texts)
        if line in self._facts.totals:
            self._total_rows.append(self.rows)
        self.longest_bytes = max(self.longest_bytes, *(len(text.encode()) for text in texts))
        level = [str(self._levels.at(line))] if self._levels else []
        self.writer.add(self.rows, line, texts[:width] + level)

    def _is_no_record(self, line: int, texts: list[str], has_more: bool) -> bool:
        """Return whether a row has the units of the columns, or is a footer, and remember it."""
        key = self._names.index(self._staging.dataset.key) if self._staging.dataset.key in self._names else 0
        if has_more or len(texts) < 2:
            return False
        if not self.rows and are_units([text.strip().lower() for text in texts], key):
            self._skipped.add(f"row {line} (the columns' units)")
            return True
        filled = [text for text in texts if text]
        if not is_footer(filled):
            return False
        said = rows_in_footer(filled[0])
        self._skipped.add(f"row {line} (a footer)")
        if said is not None and said > self.rows:
            message = f"The footer in row {line} says that there are {said:,} rows, but {self.rows:,} were read above it."
            hint = "The file may be cut off: export it again. If the rows are right, delete the footer."
            self._staging.add_finding("incomplete_file", message, line=line, hint=hint)
        return True

    def finish(self) -> None:
        """Judge what is below the last row that has a value, and write the rest."""
        while self._fault:
            self.add(self._fault[0], [""] * len(self._names))
        self.writer.flush()
        for row in self._total_rows:
            self._staging.connection.execute("insert into declared_totals values (?)", [row])

    def _faults_of(self, line: int) -> list[tuple[int, str]]:
        """Return (place in the table, what is wrong) of a row's cells; rows are asked for in ascending order."""
        found: list[tuple[int, str]] = []
        while self._fault and self._fault[0] == line:
            found.append((self._fault[1] - 1 - self._facts.left, self._fault[2]))
            self._fault = next(self._faults, None)
        return found

    def _refuse(self, line: int, place: int, texts: list[str]) -> None:
        message = f"The cell {self._at(line, place)} is outside the header, which has {counted(len(self._names), 'column')}."
        hint = "Name the column in the header, or delete the cell."
        value = texts[place] if 0 <= place < len(texts) else None
        self._staging.add_finding("malformed_row", message, row=self.rows, line=line, value=value, hint=hint)
        self._staging.add_malformed(self.rows, line, "\t".join(texts))

    def _id(self, line: int, place: int, cell: Cell, text: str) -> str:
        """Look at the cell of an id; return its text."""
        if isinstance(cell, str):
            return text
        at = self._at(line, place)
        if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
            hint = "Write it as text."
            self._find(line, place, f"The cell {at} is neither text nor a whole number.", text, hint)
            return text
        form = self._facts.formats.at(line, place + 1 + self._facts.left)
        if form and isinstance(cell, int | float) and 0 <= cell < 10**SAFE_DIGITS:
            shown = form.display(int(cell))
            if shown != text:
                self._displayed.add(f"{at} holds {text} and shows {shown}")
                return shown
        (self._dates if isinstance(cell, date | datetime) else self._numbers).add(f"{at} is {text}")
        return text

    # --- Merged cells ---

    def _remember_merged(self, line: int, merged: Sequence[MergedRange], texts: Sequence[str]) -> None:
        for one in merged:
            place = one.left - 1 - self._facts.left
            if line == one.top and 0 <= place < len(texts):
                one.first = texts[place]

    def _judge_merged(self, line: int, merged: Sequence[MergedRange], texts: list[str]) -> None:
        for one in merged:
            fills = self._fills and one.top > self._facts.header and one.first is not None
            first = max(one.left - 1 - self._facts.left, 0)
            for place in range(first, min(one.right - self._facts.left, len(self._names))):
                if (line, place + 1 + self._facts.left) == (one.top, one.left) or texts[place]:
                    continue
                if fills:
                    texts[place] = one.first or ""
                    self.filled[one.name] = one
                elif place in self._ids:
                    self._staging.add_finding(
                        "merged_ids",
                        f"The cell {self._at(line, place)} is merged with {cell_name(one.top, one.left)} ({one.name}),"
                        " which alone has the value.",
                        row=self.rows,
                        line=line,
                        column=self._names[place],
                        hint="Unmerge the cells and write the value into each, or choose merged=fill, which does that.",
                    )

    def merged_elsewhere(self) -> list[MergedRange]:
        """Return the merged ranges that are in no column of ids."""
        ids = {place + 1 + self._facts.left for place in self._ids}
        return [one for one in self._facts.merged.all if not any(one.left <= column <= one.right for column in ids)]

    # --- Warnings about the sheet as a whole ---

    def warn(self) -> None:
        """Add the warnings that concern the sheet as a whole."""
        if self._numbers.count or self._dates.count:
            self._warn_of_numbers()
        if self._displayed.count:
            self._warn(
                f"Ids are read as the sheet shows them, with the zeros or text of their number format: {self._displayed}.",
                "If the numbers without them are meant, give the column the number format General.",
                code="displayed_ids",
            )
        if self._skipped.count:
            hint = "Check that none of them is a record."
            self._warn(f"Rows that are no records were skipped: {self._skipped}.", hint, code="skipped_lines")
        if self._repeated.count:
            self._warn(f"The header is repeated in row {self._repeated}, which was skipped.", code="skipped_lines")

    def _warn_of_numbers(self) -> None:
        both = ", ".join(str(one) for one in (self._numbers, self._dates) if one.count)
        hint = (
            f"Excel drops leading zeros and every digit past the {SAFE_DIGITS}th: if ids had any, format the column as"
            " text and enter the ids again."
        )
        if self._dates.count:
            hint += " It also makes dates of ids such as 1-2 or MARCH1."
        self._warn(f"Ids are numbers or dates in this sheet: {both}.", hint, code="numeric_ids")

    def _warn(self, message: str, hint: str = "", *, code: str) -> None:
        self._staging.add_finding(code, message, hint=hint, severity="warning")

    def _find(self, line: int, place: int, message: str, value: str, hint: str) -> None:
        name = self._names[place]
        if not name.startswith(SKIPPED):
            self._staging.add_finding(
                "invalid_type", message, row=self.rows, line=line, column=name, value=value or None, hint=hint
            )

    def _at(self, line: int, place: int) -> str:
        return cell_name(line, place + 1 + self._facts.left)


def _hint(what: str) -> str:
    if "formula" in what:
        return "Open the workbook in Excel or LibreOffice and save it, which computes its formulas."
    return "Write the value itself into the cell."
