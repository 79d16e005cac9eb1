"""Write an unusual workbook again in the usual form, for a reader that knows only that one.

Parts get the names that Excel gives them, and every cell gets its address. Only what is read is written: values, styles and
merged cells. Values and styles are the same; formulas are left out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from pipeline.display import cell_name
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_cells import SheetParser, XmlCell
from pipeline.read.formats.excel_package import Package
from pipeline.read.limits import Limits

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEETML = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_BUFFER_CHARACTERS = 1 << 16


@contextmanager
def repacked(archive: zipfile.ZipFile, package: Package, odd: frozenset[str], limits: Limits, folder: Path) -> Iterator[Path]:
    """Write the workbook again into ``folder`` for one block; sheets whose parts are in ``odd`` cell by cell."""
    with TemporaryDirectory(prefix="workbook-", dir=folder) as scratch:
        path = Path(scratch) / "workbook.xlsx"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
            _write_lists(written, package)
            for part, name in ((package.styles, "xl/styles.xml"), (package.strings, "xl/sharedStrings.xml")):
                if part:
                    _copy(archive, part, written, name, limits)
            for number, sheet in enumerate(package.sheets, 1):
                if sheet.part in odd:
                    with written.open(sheet_part(number), "w", force_zip64=True) as file:
                        _write_cells(archive, sheet.part, file, limits)
                else:
                    _copy(archive, sheet.part, written, sheet_part(number), limits)
        yield path


def sheet_part(number: int) -> str:
    """Return the part of a sheet in a workbook that was written again; they count from 1."""
    return f"xl/worksheets/sheet{number}.xml"


def _copy(archive: zipfile.ZipFile, part: str, written: zipfile.ZipFile, name: str, limits: Limits) -> None:
    with written.open(name, "w", force_zip64=True) as file:
        for chunk in zip_archive.chunks_of(archive, archive.getinfo(part), limits):
            file.write(chunk)


def _write_lists(written: zipfile.ZipFile, package: Package) -> None:
    kinds = [("worksheet", f"worksheets/sheet{number}.xml") for number, _ in enumerate(package.sheets, 1)]
    kinds += [("styles", "styles.xml")] if package.styles else []
    kinds += [("sharedStrings", "sharedStrings.xml")] if package.strings else []
    states = {True: "visible", False: "hidden"}
    sheets = "".join(
        f'<sheet name={quoteattr(one.name)} sheetId="{number}" state="{states[one.is_visible]}" r:id="r{number}"/>'
        for number, one in enumerate(package.sheets, 1)
    )
    written.writestr("[Content_Types].xml", _content_types(package))
    written.writestr("_rels/.rels", _links([("officeDocument", "xl/workbook.xml")]))
    written.writestr("xl/_rels/workbook.xml.rels", _links(kinds))
    written.writestr(
        zip_archive.WORKBOOK,
        f'<workbook xmlns="{_SHEETML}" xmlns:r="{_OFFICE}"><workbookPr date1904="{int(package.since_1904)}"/>'
        f"<sheets>{sheets}</sheets></workbook>",
    )


def _links(targets: list[tuple[str, str]]) -> str:
    links = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


def _content_types(package: Package) -> str:
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = [(zip_archive.WORKBOOK, "sheet.main")]
    parts += [(sheet_part(number), "worksheet") for number, _ in enumerate(package.sheets, 1)]
    parts += [("xl/styles.xml", "styles")] if package.styles else []
    parts += [("xl/sharedStrings.xml", "sharedStrings")] if package.strings else []
    said = "".join(f'<Override PartName="/{part}" ContentType="{kind}.{what}+xml"/>' for part, what in parts)
    default = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    return f'<Types xmlns="{_PACKAGE}/content-types">{default}{said}</Types>'


def _write_cells(archive: zipfile.ZipFile, part: str, file: IO[bytes], limits: Limits) -> None:
    merged: list[str] = []
    pieces: list[str] = [f'<worksheet xmlns="{_SHEETML}"><sheetData>']
    size, line = 0, 0

    def add(cell: XmlCell) -> None:
        nonlocal size, line
        if cell.line != line:
            pieces.append(f'{"</row>" if line else ""}<row r="{cell.line}">')
            line = cell.line
        pieces.append(_cell_xml(cell))
        size += len(pieces[-1])
        if size > _BUFFER_CHARACTERS:
            file.write("".join(pieces).encode())
            pieces.clear()
            size = 0

    SheetParser(add, lambda _: None, merged.append, limits).read(zip_archive.chunks_of(archive, archive.getinfo(part), limits))
    ranges = "".join(f"<mergeCell ref={quoteattr(one)}/>" for one in merged)
    pieces.append(f"{'</row>' if line else ''}</sheetData>{f'<mergeCells>{ranges}</mergeCells>' if ranges else ''}</worksheet>")
    file.write("".join(pieces).encode())


def _cell_xml(cell: XmlCell) -> str:
    style = f" s={quoteattr(cell.style)}" if cell.style else ""
    kind = f" t={quoteattr(cell.kind)}" if cell.kind else ""
    opening = f'<c r="{cell_name(cell.line, cell.column)}"{style}{kind}>'
    if cell.value is None:
        return f"{opening}</c>"
    if cell.kind == "inlineStr":
        return f'{opening}<is><t xml:space="preserve">{_escaped(cell.value)}</t></is></c>'
    return f"{opening}<v>{_escaped(cell.value)}</v></c>"


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})
