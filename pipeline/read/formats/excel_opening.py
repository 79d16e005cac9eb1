"""Read the first rows of a workbook's sheet as they are, and the names of its sheets: for people to choose the header."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook

from pipeline.errors import Unreadable
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_package import SheetPart, find_parts
from pipeline.read.formats.excel_repack import repacked
from pipeline.read.formats.excel_values import cell_text
from pipeline.read.formats.excel_xml_scan import scan
from pipeline.read.limits import Limits


@dataclass(frozen=True)
class SheetOpening:
    """The first rows of a sheet that are not empty, with their numbers, cells from column A on."""

    sheet: str
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def open_workbook(path: Path, folder: Path, limits: Limits, asked: str | None, most: int) -> tuple[SheetOpening, ...]:
    """Return the openings of the visible sheets that are not empty, or only that of the sheet that is asked for.

    Raises Unreadable for a workbook that is broken or too large; the full reader says so in the same words.
    """
    with zip_archive.opened(path) as archive:
        package = find_parts(archive, limits)
        scans = scan(archive, package, limits)
        odd = frozenset(sheet.part for sheet in package.sheets if scans[sheet.name].is_odd)
        filled = [one for one in package.sheets if one.is_visible and scans[one.name].cells]
        small = [one for one in filled if scans[one.name].rows * scans[one.name].columns <= limits.cells]
        if package.is_usual and not odd:
            return _openings(path, filled, small, asked, most)
        with repacked(archive, package, odd, limits, folder) as readable:
            return _openings(readable, filled, small, asked, most)


def _openings(
    path: Path, filled: list[SheetPart], small: list[SheetPart], asked: str | None, most: int
) -> tuple[SheetOpening, ...]:
    """Return the openings of all sheets; those that are too large, or not asked for, have no rows."""
    found = []
    try:
        book = CalamineWorkbook.from_path(str(path))
        for one in filled:
            is_wanted = one in small and (asked is None or one.name.strip().casefold() == asked.strip().casefold())
            found.append(SheetOpening(one.name, _first_rows(book, one.name, most) if is_wanted else ()))
    except CalamineError as error:
        raise Unreadable("The Excel workbook is damaged.", hint="Save it again in Excel.") from error
    return tuple(found)


def _first_rows(book: CalamineWorkbook, name: str, most: int) -> tuple[tuple[int, tuple[str, ...]], ...]:
    sheet = book.get_sheet_by_name(name)
    left = ("",) * (sheet.start or (0, 0))[1]
    rows = ((number, (*left, *map(cell_text, cells))) for number, cells in enumerate(islice(sheet.iter_rows(), 200), 1))
    return tuple(islice(((number, cells) for number, cells in rows if any(cell.strip() for cell in cells)), most))
