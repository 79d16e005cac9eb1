"""Scan an Excel workbook's XML before the workbook is read.

It finds entities (XML bombs), the size of each sheet (cells far apart need too much memory), and whether a sheet has anything
that the reader would return as empty, or elsewhere, though it is not: errors, formulas that were never computed, and cells
without an address. Such a sheet is read cell by cell (excel_cells.py), and what that finds must agree with the counts here.
"""

from __future__ import annotations

import re
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from operator import lt

import numpy as np

from pipeline.display import cell_name
from pipeline.errors import Unreadable
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_cells import (
    CellFaults,
    FaultFinder,
    SheetParser,
    XmlCell,
    column_number,
    line_and_column,
    place_key,
)
from pipeline.read.formats.excel_package import Calculation, Package, check_entities
from pipeline.read.limits import Limits

OPEN = re.compile(rb"<(?:[\w.-]+:)?c\s([^<>]*[^<>/])>")
_BARE = re.compile(rb"<(?:[\w.-]+:)?c>")
_PLACE = re.compile(rb"""(?:^|\s)r\s*=\s*["']([A-Z]{1,3})([0-9]{1,7})["']""")
_ERROR = re.compile(rb"""<(?:[\w.-]+:)?c\s(?:[^<>]*\s)?t\s*=\s*["']e["']""")
_GROUPED = re.compile(rb"""<(?:[\w.-]+:)?row\s[^<>]*outlineLevel=["'][1-7]["']""")
_FORMULA = re.compile(rb"<(?:[\w.-]+:)?f[\s/>]")
_UNCOMPUTED = re.compile(
    rb"<(?:[\w.-]+:)?c(|\s[^<>]*[^<>/])>\s*<(?:[\w.-]+:)?f(?:\s[^<>]*)?(?:/>|>[^<]*</(?:[\w.-]+:)?f>)"
    rb"\s*(?:<(?:[\w.-]+:)?v(?:\s[^<>]*)?/>|<(?:[\w.-]+:)?v(?:\s[^<>]*)?>\s*</(?:[\w.-]+:)?v>)?\s*</(?:[\w.-]+:)?c>"
)
_HIDDEN_ROW = re.compile(rb"""<(?:[\w.-]+:)?row\s[^<>]*\bhidden\s*=\s*["'](?:1|true)["'][^<>]*(?<!/)>""")
_WITH_EMPTY_TEXT = re.compile(rb"""(?:^|\s)t\s*=\s*["'](?:str|e)["']""")


@dataclass
class SheetScan:
    """What a sheet's XML contains."""

    rows: int = 0
    columns: int = 0
    cells: int = 0  # that are not empty
    is_odd: bool = False  # cells without an address or not in order, or comments: it is read cell by cell
    has_comments: bool = False  # or other declarations, in which what looks like a cell may be none
    has_formulas: bool = False
    is_grouped: bool = False  # some rows are in groups, which have levels
    errors: int = 0
    uncomputed: int = 0  # formulas without a value
    hidden_rows: int = 0  # with cells
    last_place: int = 0


def scan(archive: zipfile.ZipFile, package: Package, limits: Limits) -> dict[str, SheetScan]:
    """Scan all XML parts; return the scan of each sheet, by the sheet's name."""
    scans = {sheet.part: SheetScan() for sheet in package.sheets}
    for entry in zip_archive.checked_entries(archive, limits):
        name = entry.filename
        if name in scans or name.lower().endswith((".xml", ".rels", ".vml")):
            chunks = _without_entities(zip_archive.chunks_of(archive, entry, limits), name)
            for piece in whole_cells(chunks, limits):
                if name in scans:
                    _scan_cells(piece, scans[name])
    for part, seen in scans.items():
        if seen.is_odd:
            _measure(archive, part, seen, limits)
    return {sheet.name: scans[sheet.part] for sheet in package.sheets}


def find_faults(archive: zipfile.ZipFile, part: str, seen: SheetScan, calculation: Calculation, limits: Limits) -> CellFaults:
    """Return the cells of a sheet without a value. Raises Unreadable if two ways to count them do not agree."""
    is_clear = not seen.errors and not seen.uncomputed
    if not seen.is_odd and is_clear and (calculation == Calculation.DONE or not seen.has_formulas):
        return CellFaults()
    finder = FaultFinder(calculation)
    parser = SheetParser(finder.add, finder.add_array, lambda _: None, limits)
    parser.read(zip_archive.chunks_of(archive, archive.getinfo(part), limits))
    found = finder.finish()
    # The scan may miss cells of an odd sheet, and counts those in comments: only what it found for certain must be there.
    is_lacking = len(found.errors) < seen.errors or len(found.uncomputed) < seen.uncomputed
    if (is_lacking and not seen.has_comments) or (not seen.is_odd and len(found.errors) != seen.errors):
        raise disagreement(seen.errors + seen.uncomputed, len(found))
    return found


def disagreement(counted: int, found: int) -> Unreadable:
    """Return the error about cells without a value, if those that were found are not those that were counted."""
    return Unreadable(
        f"The workbook has {counted:,} cells with an error or a formula that was never computed,"
        f" but {found:,} were found when it was read: it is written in an unusual way, and is not imported.",
        hint="Save it again in Excel, or as CSV.",
    )


def _without_entities(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the XML. Raises Unreadable if it declares entities, or is UTF-16."""
    before = b""
    for chunk in chunks:
        check_entities(before + chunk, name)
        before = chunk[-9:]
        yield chunk


def whole_cells(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Yield the same XML, cut where a cell begins."""
    left = b""
    for chunk in chunks:
        text = left + chunk
        cut = text.rfind(b"</", 0, text.rfind(b"<"))  # a cell that is closed before the last tag
        cut = max(text.rfind(b"<c ", 0, cut), text.rfind(b":c ", 0, cut)) if cut > 0 else -1
        cut = text.rfind(b"<", 0, cut + 1) if cut > 0 else -1
        if cut < 0 and len(text) < limits.record_bytes:
            left = text
            continue
        left = text[cut:] if cut >= 0 else b""
        yield text[:cut] if cut >= 0 else text
    yield left


def _scan_cells(piece: bytes, seen: SheetScan) -> None:
    opened = OPEN.findall(piece)
    places = _PLACE.findall(b"\n".join(opened))
    numbers = {letters: column_number(letters.decode()) for letters in {letters for letters, _ in places}}
    keys = [seen.last_place, *(place_key(int(line), numbers[letters]) for letters, line in places)]
    seen.has_comments = seen.has_comments or b"<!" in piece
    if len(places) != len(opened) or seen.has_comments or _has_bare_cells(piece) or not all(map(lt, keys, keys[1:])):
        seen.is_odd = True
    seen.last_place = keys[-1]
    seen.cells += len(opened)
    seen.rows = max(seen.rows, line_and_column(max(keys))[0])
    seen.columns = max(seen.columns, max(numbers.values(), default=0))
    if b"hidden" in piece:
        seen.hidden_rows += len(_HIDDEN_ROW.findall(piece))
    if b'"e"' in piece or b"'e'" in piece:
        seen.errors += len(_ERROR.findall(piece))
    if not seen.is_grouped and b"outlineLevel=" in piece:
        seen.is_grouped = _GROUPED.search(piece) is not None
    if (b"<f" in piece or b":f" in piece) and _FORMULA.search(piece):
        seen.has_formulas = True
        seen.uncomputed += sum(not _WITH_EMPTY_TEXT.search(one) for one in _UNCOMPUTED.findall(piece))


def _has_bare_cells(piece: bytes) -> bool:
    return (b"<c>" in piece or b":c>" in piece) and _BARE.search(piece) is not None


def _measure(archive: zipfile.ZipFile, part: str, seen: SheetScan, limits: Limits) -> None:
    """Take the size of a sheet from its cells, one by one. Raises Unreadable if a cell is there twice."""
    seen.columns, places = 0, array("Q")

    def add(cell: XmlCell) -> None:
        seen.columns = max(seen.columns, cell.column)
        places.append(place_key(cell.line, cell.column))
        if len(places) > limits.cells:
            raise Unreadable(f"A sheet of the workbook has more than {limits.cells:,} cells.", hint="Upload it as CSV.")

    SheetParser(add, lambda _: None, lambda _: None, limits).read(zip_archive.chunks_of(archive, archive.getinfo(part), limits))
    ordered = np.sort(np.frombuffer(places, np.uint64)) if places else np.zeros(0, np.uint64)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise Unreadable(
            f"The Excel workbook is damaged: the cell {cell_name(*line_and_column(int(twice[0])))} is there twice.",
            hint="Save it again in Excel.",
        )
    seen.cells, seen.rows = len(places), line_and_column(int(ordered[-1]))[0] if len(ordered) else 0
