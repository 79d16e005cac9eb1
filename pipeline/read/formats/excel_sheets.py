"""Choose the sheet of a workbook, and the row with its columns' names.

Without a choice, it is the first visible sheet that is not empty, with its first row that is not empty as the header. If that
lacks the columns that the dataset needs, the one row among the first that has them is the header, and then the one other sheet
that has them is read. Everything else is refused, with the options that choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from python_calamine import CalamineSheet

from pipeline.display import NAMED_MOST, listed
from pipeline.errors import Unreadable
from pipeline.read import column_mapping, missing_columns
from pipeline.read.formats.excel_package import SheetPart
from pipeline.read.formats.excel_values import Cell, cell_text
from pipeline.read.formats.excel_xml_scan import SheetScan
from pipeline.read.raw_tables import RawTables, printable

_HEADER_WITHIN = 20  # rows of the sheet
_GROUPED = 'If the groups of the sheet\'s rows are the hierarchy: shape={"kind": "outline", "excel": "groups"}.'


@dataclass
class OpenSheet:
    """A sheet with the header that was found: its row, its cells, and the lines of the rows that it comes after."""

    part: SheetPart
    scan: SheetScan
    sheet: CalamineSheet
    header: int = 0
    cells: Sequence[Cell] = ()
    skipped: tuple[tuple[int, str], ...] = ()  # line and text of what is not empty before the header
    refusal: Unreadable | None = None

    def rows(self) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Yield all rows of the sheet with their numbers, from 1."""
        return enumerate(self.sheet.iter_rows(), 1)


def choose_sheet(
    parts: Sequence[SheetPart], scans: dict[str, SheetScan], load: Callable[[str], CalamineSheet], staging: RawTables
) -> tuple[OpenSheet, int]:
    """Return the sheet to read, and how many sheets are visible and not empty. Warn about the others. Raises Unreadable."""
    filled = [one for one in parts if one.is_visible and scans[one.name].cells]

    def opened(part: SheetPart) -> OpenSheet:
        found = OpenSheet(part, scans[part.name], _loaded(part, scans[part.name], load, staging))
        _find_header(found, staging)
        return found

    if staging.options.sheet is not None:
        chosen = opened(_asked(staging.options.sheet, parts, scans))
        if chosen.refusal:
            raise chosen.refusal
        return chosen, len(filled)
    if not filled:
        hidden = " (hidden ones are not read)" if any(not one.is_visible for one in parts) else ""
        raise Unreadable(
            f"The workbook has no visible sheet that is not empty{hidden}.", code="empty_file", hint="Add at least one record."
        )
    first = opened(filled[0])
    chosen = _other_sheet(first, filled[1:], opened) if first.refusal else first
    if len(filled) > 1:
        _warn_of_others(chosen, first, filled, staging)
    return chosen, len(filled)


def _asked(name: str, parts: Sequence[SheetPart], scans: dict[str, SheetScan]) -> SheetPart:
    """Return the sheet of this name, or number as text. Raises Unreadable if there is none, or it is empty."""
    found = next((one for one in parts if one.name == name), None)
    found = found or next((one for one in parts if one.name.strip().casefold() == name.strip().casefold()), None)
    if found is None and name.strip().isdecimal() and 1 <= int(name) <= len(parts):
        found = parts[int(name) - 1]
    if found is None:
        raise Unreadable(
            f"The workbook has no sheet {printable(name)}. It has: {_listed([one.name for one in parts])}.",
            hint=f"Choose one of them, for instance sheet={printable(parts[0].name)}." if parts else "",
        )
    if not scans[found.name].cells:
        raise Unreadable(f"The sheet {printable(found.name)} is empty.", code="empty_file", hint="Choose another one.")
    return found


def _loaded(part: SheetPart, scan: SheetScan, load: Callable[[str], CalamineSheet], staging: RawTables) -> CalamineSheet:
    if scan.columns * scan.rows > staging.limits.cells:
        raise Unreadable(
            f"The sheet {printable(part.name)} covers {scan.rows:,} rows and {scan.columns:,} columns;"
            f" at most {staging.limits.cells:,} cells can be read.",
            hint="Delete the cells far from the table, or upload the records as CSV.",
        )
    return load(part.name)


def _other_sheet(first: OpenSheet, others: Sequence[SheetPart], opened: Callable[[SheetPart], OpenSheet]) -> OpenSheet:
    """Return the one other sheet whose header fits. Raises the first sheet's refusal, which names several that fit."""
    refusal = first.refusal
    assert refusal is not None
    fitting, fits = None, list[str]()
    for part in others:
        try:
            other = opened(part)
        except Unreadable:  # it is too large
            continue
        if not other.refusal:
            fits.append(part.name)
            fitting = fitting or other
    if len(fits) == 1 and fitting:
        return fitting
    if fits:
        refusal.hint = (
            f"The sheets {_listed(fits)} have the columns that the dataset needs: choose one, for instance"
            f" sheet={printable(fits[0])}."
        )
    elif others:
        refusal.hint += f" It is the sheet {printable(first.part.name)}; no other visible sheet has these columns either."
    raise refusal


def _warn_of_others(chosen: OpenSheet, first: OpenSheet, filled: Sequence[SheetPart], staging: RawTables) -> None:
    others = [one.name for one in filled if one.name != chosen.part.name]
    why = "" if chosen is first else f" It is the only one with the columns {_needed(staging)}."
    staging.add_finding(
        "several_sheets",
        f"Only the sheet {printable(chosen.part.name)} was read, not {_listed(others)}.{why}",
        hint=f"If another one has records, upload the file again with sheet={printable(others[0])}, for instance.",
        severity="warning",
    )


# --- The header ---


def _find_header(found: OpenSheet, staging: RawTables) -> None:
    """Find the row with the columns' names, or set the refusal."""
    asked = staging.options.header_row
    rows = islice(found.rows(), max(asked or 0, _HEADER_WITHIN))
    filled = [(line, cells) for line, cells in rows if any(cell != "" for cell in cells)]
    if not filled:  # the first rows are empty
        filled = [(line, cells) for line, cells in found.rows() if any(cell != "" for cell in cells)][:1]
    if asked is not None:
        found.header, found.cells = next(((line, cells) for line, cells in filled if line == asked), (asked, ()))
        if not found.cells:
            found.refusal = Unreadable(
                f"Row {asked:,} of the sheet {printable(found.part.name)}, which header_row names, is empty.",
                code="missing_column",
                hint="Choose the row that has the columns' names.",
                line=asked,
            )
            return
        found.refusal = _refusal(found, staging)
        return
    fitting = [place for place, (_, cells) in enumerate(filled) if not _lacking(cells, staging)]
    place = fitting[0] if fitting[:1] == [0] or len(fitting) == 1 else 0
    found.header, found.cells = filled[place] if filled else (1, ())
    found.skipped = tuple(
        (line, " ".join(text for cell in cells if (text := cell_text(cell)))) for line, cells in filled[:place]
    )
    found.refusal = _refusal(found, staging)
    if found.refusal:
        lines = [filled[one][0] for one in fitting] or _probable_header(filled, staging)
        _hint_at_rows(found.refusal, found.header, lines)


def _hint_at_rows(refusal: Unreadable, header: int, lines: Sequence[int]) -> None:
    if len(lines) > 1:
        rows = ", ".join(map(str, lines[:NAMED_MOST]))
        refusal.hint = f"The rows {rows} have the columns' names: choose one, for instance header_row={lines[0]}."
    elif lines and lines[0] != header:
        refusal.hint = f"{refusal.hint} The header seems to be in row {lines[0]}: choose header_row={lines[0]}.".strip()
    else:
        refusal.hint = f"{refusal.hint} The header is row {header}, the first one that is not empty.".strip()


def _probable_header(filled: Sequence[tuple[int, Sequence[Cell]]], staging: RawTables) -> list[int]:
    """Return the row that has most of the dataset's columns, if any has one."""
    known = set(staging.dataset.names)
    counts = [
        (sum(name in known for name in column_mapping.mapped_names(header_names(cells), staging.dataset)), -line)
        for line, cells in filled
    ]
    best = max(counts, default=(0, 0))
    return [-best[1]] if best[0] else []


def header_names(cells: Sequence[Cell]) -> list[str]:
    """Return the columns' names in a header, without the empty ones at its end."""
    names = [cell_text(cell) for cell in cells]
    while names and not names[-1].strip():
        names.pop()
    return names


def _lacking(cells: Sequence[Cell], staging: RawTables) -> Unreadable | None:
    originals, dataset = header_names(cells), staging.dataset
    return missing_columns.missing_columns(column_mapping.mapped_names(originals, dataset), dataset, originals)


def _refusal(found: OpenSheet, staging: RawTables) -> Unreadable | None:
    refusal = _lacking(found.cells, staging)
    if refusal:
        refusal.line = found.header
        if found.scan.is_grouped and staging.dataset.parent not in header_names(found.cells):
            refusal.hint = f"{refusal.hint} {_GROUPED}".strip()
    return refusal


def _needed(staging: RawTables) -> str:
    return ", ".join(column_mapping.required(staging.dataset))


def _listed(names: Sequence[str]) -> str:
    return listed([*map(printable, names)])
