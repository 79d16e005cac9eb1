"""Scan an Excel workbook's XML before the workbook is read.

It finds entities (XML bombs), the size of each sheet (cells far apart need too much memory), and the cells that the reader
would return as empty though they are not: errors, and formulas that were never computed.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from pipeline.errors import Unreadable
from pipeline.read.containers import zip_archive
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import printable

_OPEN = re.compile(rb"<(?:\w+:)?c\s([^<>]*[^<>/])>")
_PLACE = re.compile(rb"""(?:^|\s)r\s*=\s*["']([A-Z]{1,3})([0-9]{1,7})["']""")
_ERROR = re.compile(rb"""(?:^|\s)t\s*=\s*["']e["']""")
_UNCOMPUTED = re.compile(
    rb"<(?:\w+:)?c\s([^<>]*[^<>/])>\s*<(?:\w+:)?f(?:\s[^<>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)"
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v\s*></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_EMPTY_TEXT = re.compile(rb"""(?:^|\s)t\s*=\s*["']str["']""")


@dataclass
class SheetScan:
    """What a sheet's XML contains. ``faults``: what is wrong with a cell, by (line, column), both from 1."""

    rows: int = 0
    columns: int = 0
    faults: dict[tuple[int, int], str] = field(default_factory=dict)


def scan(parts: zipfile.ZipFile, limits: Limits) -> dict[str, SheetScan]:
    """Scan all XML parts; return the scan of each sheet, by the sheet's name."""
    scans: dict[str, SheetScan] = {}
    for entry in zip_archive.files_in(parts, limits):
        if entry.filename.endswith((".xml", ".rels", ".vml")):
            chunks = _without_entities(zip_archive.chunks_of(parts, entry, limits), entry.filename)
            seen = scans[entry.filename] = SheetScan()
            for piece in _whole_cells(chunks, limits):
                if entry.filename.startswith("xl/worksheets/"):
                    _scan_cells(piece, seen)
    return {name: scans.get(part, SheetScan()) for name, part in _sheets(parts, limits).items()}


def _without_entities(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the XML. Raises Unreadable if it declares entities, or is UTF-16."""
    before = b""
    for chunk in chunks:
        if b"<!DOCTYPE" in before + chunk or b"<!ENTITY" in before + chunk or b"\0" in chunk:
            raise Unreadable(
                f"The workbook's part {printable(name)} declares entities, or is not UTF-8;"
                " no spreadsheet program writes that.",
                hint="Save the workbook again in Excel.",
            )
        before = chunk[-9:]
        yield chunk


def _whole_cells(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
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


def _scan_cells(piece: bytes, scan: SheetScan) -> None:
    opened = _OPEN.findall(piece)
    places = _PLACE.findall(b"\n".join(opened))
    scan.rows = max(scan.rows, max((int(row) for _, row in places), default=0), 1 if opened else 0)
    scan.columns = max(scan.columns, max((_number_of(letters) for letters in {one for one, _ in places}), default=0))
    scan.columns = max(scan.columns, 1 if opened else 0)
    for attributes in opened:
        if b"e" in attributes and _ERROR.search(attributes):
            scan.faults[_place_of(attributes)] = "contains an error, not a value"
    for attributes in _UNCOMPUTED.findall(piece):
        if not _EMPTY_TEXT.search(attributes):
            scan.faults.setdefault(_place_of(attributes), "contains a formula that was never computed")


def _place_of(attributes: bytes) -> tuple[int, int]:
    """Return (line, column) of a cell, from 1; (0, 0) if it has no reference."""
    found = _PLACE.search(attributes)
    return (int(found[2]), _number_of(found[1])) if found else (0, 0)


def _number_of(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _sheets(parts: zipfile.ZipFile, limits: Limits) -> dict[str, str]:
    """Return each sheet's name with the part of the archive that contains it."""
    book, links = (_parsed(parts, name, limits) for name in (zip_archive.WORKBOOK, "xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id", ""): posixpath.normpath(posixpath.join("/xl", link.get("Target", "")))[1:] for link in links}
    found: dict[str, str] = {}
    for sheet in book.iter():
        if sheet.tag.rpartition("}")[2] == "sheet":
            link = next((value for key, value in sheet.items() if key.endswith("}id")), "")
            found[sheet.get("name", "")] = targets.get(link, "")
    return found


def _parsed(parts: zipfile.ZipFile, name: str, limits: Limits) -> ElementTree.Element:
    try:
        if parts.getinfo(name).file_size > limits.record_bytes:
            raise Unreadable(f"The workbook's part {name} is longer than {limits.record_bytes:,} bytes.")
        return ElementTree.fromstring(parts.read(name))
    except (KeyError, ElementTree.ParseError) as error:
        raise Unreadable(f"The Excel workbook is damaged: its part {name}: {error}.", hint="Save it again in Excel.") from error
