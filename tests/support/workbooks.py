"""Workbooks as raw XML, for what no library writes: cells without addresses, odd parts, prefixes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import escape

SHEETML = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def text_cell(text: str, address: str = "") -> str:
    at = f' r="{address}"' if address else ""
    return f'<c{at} t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


def sheet_xml(rows: str, after: str = "") -> str:
    return f'<?xml version="1.0"?><worksheet xmlns="{SHEETML}"><sheetData>{rows}</sheetData>{after}</worksheet>'


def header(*names: str) -> str:
    return f"<row>{''.join(map(text_cell, names))}</row>"


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return sink.getvalue()


def links(*targets: tuple[str, str], office: str = OFFICE) -> str:
    said = "".join(
        f'<Relationship Id="rId{number}" Type="{office}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{said}</Relationships>'


def xml_book(
    sheet: str,
    *,
    workbook: str = "xl/workbook.xml",
    part: str = "xl/worksheets/sheet1.xml",
    target: str = "worksheets/sheet1.xml",
    calculation: str = "",
    styles: str = "",
    sheetml: str = SHEETML,
    office: str = OFFICE,
    prefix: str = "r",
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """A workbook of one sheet, S, with its parts where one says."""
    folder, _, name = workbook.replace("\\", "/").rpartition("/")
    slash = "\\" if "\\" in workbook else "/"
    rels = slash.join(filter(None, (folder.replace("/", slash), "_rels", f"{name}.rels")))
    kinds = [("worksheet", target), *([("styles", "styles.xml")] if styles else [])]
    override = f'<Override PartName="/{workbook.replace(chr(92), "/")}" ContentType="{TYPE}.sheet.main+xml"/>'
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">{override}</Types>',
            f"_rels{slash}.rels": links(("officeDocument", workbook.replace("\\", "/")), office=office),
            workbook: f'<workbook xmlns="{sheetml}" xmlns:{prefix}="{office}"><sheets><sheet name="S" sheetId="1"'
            f' {prefix}:id="rId1"/></sheets>{calculation}</workbook>',
            rels: links(*kinds, office=office),
            part: sheet.replace(SHEETML, sheetml),
            **({f"{folder}/styles.xml": styles} if styles else {}),
            **(extra or {}),
        }
    )
