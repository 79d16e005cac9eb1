"""Read the cells of a sheet's XML exactly, one by one: with the address that follows from the order where it is left out.

Slower than the scan of excel_xml_scan.py, so it is used for sheets in which that finds anything unusual.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np

from pipeline.errors import Unreadable
from pipeline.read.formats.excel_package import Calculation
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import printable

_ADDRESS = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_MOST_ROWS, _MOST_COLUMNS = 1_048_576, 16_384  # of a sheet, in Excel's file format
_COLUMN_BITS = 15


def place_key(line: int, column: int) -> int:
    """Return one number for a place, in the order of the sheet."""
    return line << _COLUMN_BITS | column


def line_and_column(key: int) -> tuple[int, int]:
    """Return the place of a number of place_key."""
    return key >> _COLUMN_BITS, key & ((1 << _COLUMN_BITS) - 1)


@dataclass
class XmlCell:
    """A cell that is not empty, as the XML has it. ``value`` is None where there is none."""

    line: int
    column: int
    kind: str
    style: str
    value: str | None = None
    has_formula: bool = False


@dataclass
class CellFaults:
    """The cells of a sheet without a value: errors, and formulas that were never computed, each as place_key."""

    errors: array[int] = field(default_factory=lambda: array("Q"))
    uncomputed: array[int] = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self.errors) + len(self.uncomputed)

    def in_order(self) -> Iterator[tuple[int, int, str]]:
        """Yield (line, column, what is wrong) in the order of the sheet."""
        keys = np.concatenate([np.array(self.errors, np.uint64) * 2, np.array(self.uncomputed, np.uint64) * 2 + 1])
        keys.sort()
        for key in map(int, keys):
            what = "contains a formula that was never computed" if key & 1 else "contains an error, not a value"
            yield (*line_and_column(key >> 1), what)


class FaultFinder:
    """Collects the faults of a sheet's cells.

    Libraries write 0, or an empty text, where they leave a formula for a spreadsheet program to compute. Where the workbook
    says that this is still to be done, such a value is none. Where it says nothing, it is none if no formula has another value.
    """

    def __init__(self, calculation: Calculation) -> None:
        self._calculation = calculation
        self._found = CellFaults()
        self._placeholders = array("Q")
        self._computed = 0
        self._arrays: list[tuple[int, int, int, int]] = []
        self._zeros = array("Q")  # outside formulas

    def add_array(self, reference: str) -> None:
        """Add the range of an array formula: all its cells are computed, but only the first has the formula."""
        if self._calculation == Calculation.PENDING and (corners := corners_of(reference)):
            self._arrays.append(corners)

    def add(self, cell: XmlCell) -> None:
        """Look at one cell."""
        place = place_key(cell.line, cell.column)
        if cell.kind == "e":
            self._found.errors.append(place)
        elif not cell.has_formula:
            if self._calculation == Calculation.PENDING and _is_placeholder(cell):
                self._zeros.append(place)
        elif not (cell.value or "").strip() and cell.kind != "str":
            self._found.uncomputed.append(place)
        elif _is_placeholder(cell):
            self._placeholders.append(place)
        else:
            self._computed += 1

    def finish(self) -> CellFaults:
        """Return all faults."""
        pending = self._calculation == Calculation.PENDING
        if pending or (self._calculation == Calculation.UNKNOWN and not self._computed):
            self._found.uncomputed.extend(self._placeholders)
        self._found.uncomputed.extend(place for place in self._zeros if self._arrays and self._is_in_array(place))
        return self._found

    def _is_in_array(self, place: int) -> bool:
        line, column = line_and_column(place)
        return any(top <= line <= bottom and left <= column <= right for top, left, bottom, right in self._arrays)


def _is_placeholder(cell: XmlCell) -> bool:
    if cell.kind in ("", "n"):
        return bool(re.fullmatch(r"\s*0(\.0*)?\s*", cell.value or ""))
    return cell.kind == "str" and not cell.value


def corners_of(reference: str) -> tuple[int, int, int, int] | None:
    """Return (top, left, bottom, right) of a range such as A1:C5, from 1; None if it is none."""
    first, _, last = reference.replace("$", "").partition(":")
    one, other = _ADDRESS.fullmatch(first), _ADDRESS.fullmatch(last or first)
    if not one or not other:
        return None
    return int(one[2]), column_number(one[1]), int(other[2]), column_number(other[1])


def column_number(letters: str) -> int:
    """Return the number of a column from its letters: 1 for A, 27 for AA."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


class SheetParser:
    """Calls ``on_cell`` for each cell that is not empty, and the others with ranges of array formulas and of merged cells."""

    def __init__(
        self,
        on_cell: Callable[[XmlCell], None],
        on_array: Callable[[str], None],
        on_merge: Callable[[str], None],
        limits: Limits,
    ) -> None:
        self._on_cell, self._on_array, self._on_merge, self._limits = on_cell, on_array, on_merge, limits
        self._line = self._column = 0
        self._cell: XmlCell | None = None
        self._text: list[str] | None = None
        self._size = self._phonetic = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self, chunks: Iterable[bytes]) -> None:
        """Read the whole sheet. Raises Unreadable if its XML is broken or an address is none."""
        try:
            for chunk in chunks:
                self._parser.Parse(chunk, False)
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise Unreadable(f"The Excel workbook is damaged: {error}.", hint="Save it again in Excel.") from error

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name, cell = tag.rpartition(" ")[2], self._cell
        if cell is not None:
            if name == "f":
                cell.has_formula = True
                if "ref" in attributes and attributes.get("t") == "array":
                    self._on_array(attributes["ref"])
            elif name == "rPh":  # how to pronounce the text
                self._phonetic += 1
            elif name in ("v", "t") and not self._phonetic:
                self._text, self._size = [], 0
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "row":
            self._line, self._column = self._line_of(attributes.get("r")), 0
        elif name == "mergeCell":
            self._on_merge(attributes.get("ref", ""))

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        said = attributes.get("r")
        if said is None:
            line, column = max(self._line, 1), self._column + 1
        else:
            found = _ADDRESS.fullmatch(said.strip())
            if not found:
                raise Unreadable(
                    f"The Excel workbook is damaged: {printable(said)!r} is no cell.", hint="Save it again in Excel."
                )
            line, column = int(found[2]), column_number(found[1])
            self._line = line
        self._column = column
        if not 1 <= line <= _MOST_ROWS or column > _MOST_COLUMNS:
            raise Unreadable("The Excel workbook is damaged: a cell is outside the sheet.", hint="Save it again in Excel.")
        self._cell = XmlCell(line, column, attributes.get("t", ""), attributes.get("s", ""))

    def _line_of(self, said: str | None) -> int:
        if said is None:
            return self._line + 1
        if not re.fullmatch(r"\s*[0-9]{1,7}\s*", said):
            raise Unreadable(f"The Excel workbook is damaged: {printable(said)!r} is no row.", hint="Save it again in Excel.")
        return int(said)

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._size += len(text)
            if self._size > self._limits.record_bytes:
                raise Unreadable(f"A cell of the workbook is longer than {self._limits.record_bytes:,} characters.")
            self._text.append(text)

    def _end(self, tag: str) -> None:
        name, cell = tag.rpartition(" ")[2], self._cell
        if cell is None:
            return
        if name == "rPh":
            self._phonetic -= 1
        elif name in ("v", "t") and self._text is not None:
            cell.value = (cell.value or "") + "".join(self._text)
            self._text = None
        elif name == "c":
            self._cell = None
            if cell.value is not None or cell.has_formula or cell.kind == "e":
                self._on_cell(cell)
