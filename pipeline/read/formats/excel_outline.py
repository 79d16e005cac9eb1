"""Find how deep the rows of a sheet are in its outline: by Excel's row groups, or by the indentation of a column's cells.

Groups are ``outlineLevel`` of a row (ECMA-376, part 1, 18.3.1.73), an indentation is ``indent`` of the alignment in a cell's
format (18.8.1). Both come from the workbook as it was uploaded, since libraries that read cells return neither.
"""

from __future__ import annotations

import re
import zipfile
from array import array
from collections.abc import Sequence
from xml.parsers import expat

from pipeline.errors import Unreadable
from pipeline.read.column_mapping import shape_columns
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_cells import column_number
from pipeline.read.formats.excel_package import Package, local_name, parsed_part
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables

_MOST_ROWS = 1_048_576
_MOST_INDENT = 250  # of a cell, in Excel


class RowLevels:
    """How deep each row of a sheet is. ``parents_are_below``: what the sheet says of its groups; None: nothing."""

    def __init__(self, styles: dict[str, int] | None, column: int, limits: Limits) -> None:
        self._indents, self._column, self._limits = styles, column, limits
        self._levels = array("B", bytes(_MOST_ROWS + 1))
        self._line = self._place = 0
        self.parents_are_below: bool | None = None

    def at(self, line: int) -> int:
        """Return the level of a row, which is counted from 1."""
        return self._levels[line] if line <= _MOST_ROWS else 0

    def find(self, archive: zipfile.ZipFile, part: str) -> None:
        """Read a sheet. Raises Unreadable if its XML is broken."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        try:
            for chunk in zip_archive.chunks_of(archive, archive.getinfo(part), self._limits):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise Unreadable(f"The Excel workbook is damaged: {error}.", hint="Save it again in Excel.") from error

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if name == "c":
            self._place = column_number(re.sub("[^A-Za-z]", "", attributes.get("r", ""))) or self._place + 1
            if self._indents is not None and self._place == self._column:
                self._set(self._indents.get(attributes.get("s", "0"), 0))
        elif name == "row":
            said = attributes.get("r", "").strip()
            self._line, self._place = (_whole(said) if said else self._line + 1), 0
            if self._indents is None:
                self._set(_whole(attributes.get("outlineLevel", "")))
        elif name == "outlinePr":
            self.parents_are_below = attributes.get("summaryBelow", "1") in ("1", "true")

    def _set(self, level: int) -> None:
        if 0 < self._line <= _MOST_ROWS:
            self._levels[self._line] = min(level, _MOST_INDENT)


def row_levels(
    archive: zipfile.ZipFile, part: str, package: Package, names: Sequence[str], left: int, staging: RawTables
) -> RowLevels | None:
    """Return the levels of a sheet's rows, if the shape says that they make the hierarchy and the file has not parents already.

    ``names`` are the columns in ``raw``, of which the first is after ``left`` empty ones.
    """
    said, dataset = staging.dataset.shape.said, staging.dataset
    kind = said.get("excel")
    if kind is None or (dataset.options.without and dataset.parent in names):
        return None
    indents, column = None, 0
    if kind == "indent":
        name = shape_columns(dataset)[said["column"]]
        column = left + names.index(name) + 1 if name in names else 0
        indents = _indents(archive, package.styles, staging.limits)
    found = RowLevels(indents, column, staging.limits)
    found.find(archive, part)
    staging.parents_are_below = found.parents_are_below if kind == "groups" else False
    return found


def _indents(archive: zipfile.ZipFile, styles: str, limits: Limits) -> dict[str, int]:
    """Return the indentation of each format that cells name, if it has one."""
    if not styles:
        return {}
    found: dict[str, int] = {}
    for element in parsed_part(archive, styles, limits).iter():
        if local_name(element.tag) == "cellXfs":
            for number, form in enumerate(element):
                indents = [one.get("indent", "") for one in form if local_name(one.tag) == "alignment"]
                if indents and (indent := _whole(indents[0])):
                    found[str(number)] = indent
    return found


def _whole(text: str) -> int:
    """Return a whole number; 0 for any other text, and for one that no sheet can have."""
    return int(text) if re.fullmatch("[0-9]{1,7}", text) else 0
