"""Scan an Excel workbook's XML before the workbook is read.

It finds entities (XML bombs), the size of each sheet (cells far apart need too much memory), and whether a sheet has anything
that the reader would return as empty, or elsewhere, though it is not: errors, formulas that were never computed, and cells
without an address. Such a sheet is read cell by cell (excel_cells.py), and what that finds must agree with the counts here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import Unreadable
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_cells import CellFaults, FaultFinder, SheetParser, XmlCell, column_number
from pipeline.read.formats.excel_package import Calculation, Package, check_entities
from pipeline.read.limits import Limits

OPEN = re.compile(rb"<(?:[\w.-]+:)?c\s([^<>]*[^<>/])>")
_BARE = re.compile(rb"<(?:[\w.-]+:)?c>")
_PLACE = re.compile(rb"""(?:^|\s)r\s*=\s*["']([A-Z]{1,3})([0-9]{1,7})["']""")
_ERROR = re.compile(rb"""(?:^|\s)t\s*=\s*["']e["']""")
_FORMULA = re.compile(rb"<(?:[\w.-]+:)?f[\s/>]")
_UNCOMPUTED = re.compile(
    rb"<(?:[\w.-]+:)?c\s([^<>]*[^<>/])>\s*<(?:[\w.-]+:)?f(?:\s[^<>]*)?(?:/>|>[^<]*</(?:[\w.-]+:)?f>)"
    rb"\s*(?:<(?:[\w.-]+:)?v(?:\s[^<>]*)?/>|<(?:[\w.-]+:)?v(?:\s[^<>]*)?></(?:[\w.-]+:)?v>)?\s*</(?:[\w.-]+:)?c>"
)
_WITH_EMPTY_TEXT = re.compile(rb"""(?:^|\s)t\s*=\s*["'](?:str|e)["']""")


@dataclass
class SheetScan:
    """What a sheet's XML contains."""

    rows: int = 0
    columns: int = 0
    cells: int = 0  # that are not empty
    is_odd: bool = False  # cells without an address, or comments: it is read cell by cell
    has_formulas: bool = False
    errors: int = 0
    uncomputed: int = 0  # formulas without a value


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
    if not seen.is_odd and (len(found.errors) != seen.errors or len(found.uncomputed) < seen.uncomputed):
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
    attributes = b"\n".join(opened)
    places = _PLACE.findall(attributes)
    if len(places) != len(opened) or b"<!" in piece or _has_bare_cells(piece):
        seen.is_odd = True
    seen.cells += len(opened)
    seen.rows = max(seen.rows, max((int(row) for _, row in places), default=0))
    seen.columns = max(seen.columns, max((column_number(one.decode()) for one in {one for one, _ in places}), default=0))
    if b"e" in attributes:
        seen.errors += len(_ERROR.findall(attributes))
    if (b"<f" in piece or b":f" in piece) and _FORMULA.search(piece):
        seen.has_formulas = True
        seen.uncomputed += sum(not _WITH_EMPTY_TEXT.search(one) for one in _UNCOMPUTED.findall(piece))


def _has_bare_cells(piece: bytes) -> bool:
    return (b"<c>" in piece or b":c>" in piece) and _BARE.search(piece) is not None


def _measure(archive: zipfile.ZipFile, part: str, seen: SheetScan, limits: Limits) -> None:
    """Take the size of a sheet from its cells, one by one."""
    seen.rows = seen.columns = seen.cells = 0

    def add(cell: XmlCell) -> None:
        seen.rows, seen.columns = max(seen.rows, cell.line), max(seen.columns, cell.column)
        seen.cells += 1

    SheetParser(add, lambda _: None, lambda _: None, limits).read(zip_archive.chunks_of(archive, archive.getinfo(part), limits))
