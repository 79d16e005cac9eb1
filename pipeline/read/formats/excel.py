"""Read Excel workbooks (xlsx): one sheet (excel_sheets.py), with the row that has its columns' names as the header.

The archive is checked before the workbook is read (zip_archive.py), and so are its XML parts (excel_xml_scan.py). What the
library that reads the cells could misunderstand is written again first (excel_repack.py).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from pipeline.display import cell_name, column_letters, listed
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.column_mapping import OUTLINE_LEVEL
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_cells import CellFaults, corners_of
from pipeline.read.formats.excel_merged import MergedRanges, warn_of_merged
from pipeline.read.formats.excel_number_formats import SheetFormats, digit_formats
from pipeline.read.formats.excel_outline import row_levels
from pipeline.read.formats.excel_package import Package, SheetPart, find_parts, parsed_part
from pipeline.read.formats.excel_repack import repacked, sheet_part
from pipeline.read.formats.excel_rows import SheetFacts, SheetRows
from pipeline.read.formats.excel_sheets import OpenSheet, choose_sheet, header_names
from pipeline.read.formats.excel_xml_scan import disagreement, find_faults, scan
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult

_SHOWN_CHARACTERS = 60  # of a row that is skipped


def read_excel(path: Path, staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a workbook. Raises Unreadable for one that is broken or has no header that names the columns."""
    limits = staging.limits
    with zip_archive.opened(path) as archive:
        package = find_parts(archive, limits)
        scans = scan(archive, package, limits)
        odd = frozenset(sheet.part for sheet in package.sheets if scans[sheet.name].is_odd)
        is_usual = package.is_usual and not odd
        usual = nullcontext(path) if is_usual else repacked(archive, package, odd, limits, staging.folder)
        with usual as readable, _damage_as_unreadable():
            book = CalamineWorkbook.from_path(str(readable))
            chosen, sheets = choose_sheet(package.sheets, scans, book.get_sheet_by_name, staging)
            faults = find_faults(archive, chosen.part.part, chosen.scan, package.calculation, limits)
            staging.sheets = tuple(sheet.name for sheet in package.sheets)
            table = _fill(chosen, faults, _formats(readable, is_usual, chosen, package, staging), archive, package, staging)
    return replace(table, sheet=chosen.part.name, sheets=sheets)


@contextmanager
def _damage_as_unreadable() -> Iterator[None]:
    try:
        yield
    except CalamineError as error:
        raise Unreadable(f"The Excel workbook is damaged: {printable(str(error))}", hint="Save it again in Excel.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how the reader's Rust code gives up
            raise
        raise Unreadable("The Excel workbook cannot be read.", hint="Save it again in Excel, or as CSV.") from error


def _formats(readable: Path, is_usual: bool, chosen: OpenSheet, package: Package, staging: RawTables) -> SheetFormats:
    """Return the number formats of the cells in the columns of ids."""
    number = next(number for number, one in enumerate(package.sheets, 1) if one.name == chosen.part.name)
    part, styles = (chosen.part.part, package.styles) if is_usual else (sheet_part(number), "xl/styles.xml")
    with zip_archive.opened(readable) as archive:
        found = SheetFormats(digit_formats(archive, styles if package.styles else "", staging.limits))
        left, dataset = _left(chosen.sheet), staging.dataset
        names = column_mapping.mapped_names(header_names(chosen.cells), dataset)
        columns = [left + place for place, name in enumerate(names, 1) if name in (dataset.key, dataset.parent)]
        found.find(archive, part, columns, chosen.scan.rows, staging.limits)
    return found


def _left(sheet: CalamineSheet) -> int:
    """Return the number of empty columns before the table."""
    return (sheet.start or (0, 0))[1]


def _fill(
    chosen: OpenSheet,
    faults: CellFaults,
    formats: SheetFormats,
    archive: zipfile.ZipFile,
    package: Package,
    staging: RawTables,
) -> ReadResult:
    header, left = chosen.header, _left(chosen.sheet)
    originals = header_names(chosen.cells)
    _check_header(header, faults)
    names = column_mapping.raw_names(originals, staging.dataset, staging.limits, line=header)
    for name, original in zip(names, originals, strict=True):
        staging.check_unknown_column(name, original, line=header)
    merged = MergedRanges(chosen.sheet.merged_cell_ranges, header, chosen.scan.rows, staging.limits)
    levels = row_levels(archive, chosen.part.part, package, names, left, staging)
    facts = SheetFacts(header, left, faults, merged, formats, _declared_totals(archive, chosen.part, staging), levels)
    body = SheetRows(names, originals, facts, staging)
    for line, cells in chosen.rows():
        if line > header:
            body.add(line, cells)
    body.finish()
    if body.judged != len(faults):
        raise disagreement(len(faults), body.judged)
    _report_skipped(chosen, staging)
    if chosen.scan.hidden_rows:
        staging.add_finding(
            "hidden_rows",
            f"Rows of the sheet are hidden, by hand or by a filter: {chosen.scan.hidden_rows:,}. They were read too.",
            hint="Delete them in the workbook if they are not meant, or leave them out by clean.skip_rows.",
            severity="warning",
        )
    body.warn()
    if body.filled:
        warn_of_merged(list(body.filled.values()), True, staging)
    else:
        warn_of_merged(body.merged_elsewhere(), False, staging)
    letters = tuple(column_letters(left + place) for place in range(1, len(names) + 1))
    if levels:
        names, originals, letters = (*names, OUTLINE_LEVEL), [*originals, OUTLINE_LEVEL], (*letters, "")
    return ReadResult(body.rows, names, body.longest_bytes, False, originals=tuple(originals), letters=letters)


def _check_header(header: int, faults: CellFaults) -> None:
    for line, column, what in faults.in_order():
        if line > header:
            return
        if line == header:
            raise Unreadable(f"The cell {cell_name(line, column)} in the header {what}.", code="malformed_row", line=line)


def _declared_totals(archive: zipfile.ZipFile, part: SheetPart, staging: RawTables) -> frozenset[int]:
    """Return the rows of the sheet that its tables say are totals."""
    found: set[int] = set()
    for table in part.tables:
        said = parsed_part(archive, table, staging.limits)
        count, corners = said.get("totalsRowCount", "0"), corners_of(said.get("ref", ""))
        if corners and count.isdecimal() and len(count) < 3:
            found.update(range(corners[2] - int(count) + 1, corners[2] + 1))
    return frozenset(found)


def _report_skipped(chosen: OpenSheet, staging: RawTables) -> None:
    if not chosen.skipped:
        return
    rows = listed([f"row {line} ({printable(text[:_SHOWN_CHARACTERS])})" for line, text in chosen.skipped])
    staging.add_finding(
        "skipped_lines",
        f"The header was found in row {chosen.header}. Before it, skipped: {rows}.",
        hint="If the header is another row, choose header_row.",
        severity="warning",
    )
