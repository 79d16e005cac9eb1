"""Excel workbooks (xlsx): the first visible sheet that holds anything, its first row that does being the header.

The archive is looked through before the workbook's reader sees it (archive.py), and so are its XML parts: for entities, for
cells so far apart that nobody has the memory, and for cells that the reader would give as empty though they are not, errors
and formulas that were never computed.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from pipeline.errors import Unreadable
from pipeline.read import archive, columns
from pipeline.read.arrived import Arrived
from pipeline.read.limits import Limits
from pipeline.read.staging import Staging, show
from pipeline.read.table import Table

Cell = str | float | int | bool | date | datetime | time | timedelta

_NAMED_AT_MOST = 5
_SAFE_DIGITS = 15  # of a number in Excel
_OPEN = re.compile(rb"<(?:\w+:)?c\s([^<>]*[^<>/])>")
_PLACE = re.compile(rb"""(?:^|\s)r\s*=\s*["']([A-Z]{1,3})([0-9]{1,7})["']""")
_ERROR = re.compile(rb"""(?:^|\s)t\s*=\s*["']e["']""")
_UNCOMPUTED = re.compile(
    rb"<(?:\w+:)?c\s([^<>]*[^<>/])>\s*<(?:\w+:)?f(?:\s[^<>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)"
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v\s*></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_EMPTY_TEXT = re.compile(rb"""(?:^|\s)t\s*=\s*["']str["']""")


def read_excel(path: Path, staging: Staging) -> Table:
    """Fill ``raw`` from a workbook. Raises Unreadable for one that is broken or has no header that names the columns."""
    with archive.opened(path) as parts:
        surveys = _survey(parts, staging.limits)
    with _sound_workbook():
        book = CalamineWorkbook.from_path(str(path))
        name, survey = _choose(book, surveys, staging)
        if survey.columns * survey.rows > staging.limits.cells:
            raise Unreadable(
                f"The sheet {show(name)} reaches over {survey.rows:,} rows and {survey.columns:,} columns;"
                f" at most {staging.limits.cells:,} cells can be read.",
                hint="Delete what stands far from the table, or upload the records as CSV.",
            )
        sheet = book.get_sheet_by_name(name)
        table = _fill(sheet, survey, staging)
    return Table(**{**vars(table), "sheet": name})


@contextmanager
def _sound_workbook() -> Iterator[None]:
    try:
        yield
    except CalamineError as error:
        raise Unreadable(f"The Excel workbook is damaged: {show(str(error))}", hint="Save it again in Excel.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how the reader's Rust code gives up
            raise
        raise Unreadable("The Excel workbook cannot be read.", hint="Save it again in Excel, or as CSV.") from error


# --- Before the workbook is opened ---


@dataclass
class Survey:
    """What a sheet's XML says, seen in passing. ``faults``: what is wrong with a cell, by (line, column), both from 1."""

    rows: int = 0
    columns: int = 0
    faults: dict[tuple[int, int], str] = field(default_factory=dict)


def _survey(parts: zipfile.ZipFile, limits: Limits) -> dict[str, Survey]:
    """Look through all XML parts. A survey for each sheet, by the sheet's name."""
    surveys: dict[str, Survey] = {}
    for entry in archive.files_in(parts, limits):
        if entry.filename.endswith((".xml", ".rels", ".vml")):
            chunks = _without_entities(archive.bytes_of(parts, entry, limits), entry.filename)
            survey = surveys[entry.filename] = Survey()
            for piece in _whole_cells(chunks, limits):
                if entry.filename.startswith("xl/worksheets/"):
                    _look_at(piece, survey)
    return {name: surveys.get(part, Survey()) for name, part in _sheets(parts, limits).items()}


def _without_entities(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """XML that could mean more than it says (entities) or says it in another alphabet (UTF-16) is not let through."""
    before = b""
    for chunk in chunks:
        if b"<!DOCTYPE" in before + chunk or b"<!ENTITY" in before + chunk or b"\0" in chunk:
            raise Unreadable(
                f"The workbook's part {show(name)} declares entities, or is not UTF-8; no spreadsheet program writes that.",
                hint="Save the workbook again in Excel.",
            )
        before = chunk[-9:]
        yield chunk


def _whole_cells(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """The same XML, cut where a cell begins."""
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


def _look_at(piece: bytes, survey: Survey) -> None:
    opened = _OPEN.findall(piece)
    places = _PLACE.findall(b"\n".join(opened))
    survey.rows = max(survey.rows, max((int(row) for _, row in places), default=0), 1 if opened else 0)
    survey.columns = max(survey.columns, max((_number_of(letters) for letters in {one for one, _ in places}), default=0))
    survey.columns = max(survey.columns, 1 if opened else 0)
    for attributes in opened:
        if b"e" in attributes and _ERROR.search(attributes):
            survey.faults[_place_of(attributes)] = "holds an error, not a value"
    for attributes in _UNCOMPUTED.findall(piece):
        if not _EMPTY_TEXT.search(attributes):
            survey.faults.setdefault(_place_of(attributes), "holds a formula that was never computed")


def _place_of(attributes: bytes) -> tuple[int, int]:
    """(line, column) of a cell, from 1; (0, 0) for one that does not say."""
    found = _PLACE.search(attributes)
    return (int(found[2]), _number_of(found[1])) if found else (0, 0)


def _number_of(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _sheets(parts: zipfile.ZipFile, limits: Limits) -> dict[str, str]:
    """Each sheet's name with the part that holds it."""
    book, links = (_parsed(parts, name, limits) for name in (archive.WORKBOOK, "xl/_rels/workbook.xml.rels"))
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


# --- The sheet ---


def _choose(book: CalamineWorkbook, surveys: dict[str, Survey], staging: Staging) -> tuple[str, Survey]:
    """The first visible sheet that holds anything; others that do are named in a warning."""
    sheets = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    visible = [one.name for one in sheets if one.visible == SheetVisibleEnum.Visible]
    filled = [name for name in visible if surveys.get(name, Survey()).rows]
    if not filled:
        hidden = " (hidden ones are not read)" if len(visible) < len(sheets) else ""
        raise Unreadable(
            f"No visible sheet of the workbook holds anything{hidden}.", code="empty_file", hint="Add at least one record."
        )
    if len(filled) > 1:
        staging.find(
            "several_sheets",
            f"Only the sheet {show(filled[0])} was read, not {', '.join(map(show, filled[1:]))}.",
            hint="Upload the other sheets as files of their own, if they hold records.",
            severity="warning",
        )
    return filled[0], surveys[filled[0]]


def _fill(sheet: CalamineSheet, survey: Survey, staging: Staging) -> Table:
    rows = enumerate(sheet.iter_rows(), 1)
    left = (sheet.start or (0, 0))[1]  # how many columns stand empty before the table
    header, first = next(((line, cells) for line, cells in rows if any(cell != "" for cell in cells)), (0, []))
    originals = _header(first, header, left, survey, staging)
    names = columns.named(originals, staging.dataset, staging.limits, line=header)
    for name, original in zip(names, originals, strict=True):
        staging.find_unknown_column(name, original, line=header)
    body = _Body(names, left, survey, staging)
    for line, cells in rows:
        body.add(line, cells)
    body.arrived.flush()
    _warn_of_numbers(body, staging)
    _warn_of_merged(sheet, header, staging)
    return Table(body.rows, names, body.longest_bytes, has_nul=False, originals=tuple(originals))


def _header(first: Sequence[Cell], line: int, left: int, survey: Survey, staging: Staging) -> list[str]:
    """The columns' names in the file; Unreadable if they are not those that the dataset needs."""
    dataset = staging.dataset
    originals = [_text(cell) for cell in first]
    while originals and not originals[-1].strip():
        originals.pop()
    faulty = next((place for place in sorted(survey.faults) if place[0] == line), None)
    if faulty:
        raise Unreadable(f"The cell {_cell(*faulty)} in the header {survey.faults[faulty]}.", code="malformed_row", line=line)
    refusal = columns.missing([columns.mapped(name, dataset) for name in originals], dataset, originals)
    if refusal:
        refusal.line = line
        refusal.hint = f"{refusal.hint} The header is row {line}, the first that holds anything.".strip()
        raise refusal
    return originals


class _Body:
    """The rows below the header, on their way into ``raw``."""

    def __init__(self, names: tuple[str, ...], left: int, survey: Survey, staging: Staging) -> None:
        self._names, self._left, self._survey, self._staging = names, left, survey, staging
        dataset = staging.dataset
        self._ids = [place for place, name in enumerate(names) if name in (dataset.key, dataset.parent)]
        self._faulty_lines = {line for line, _ in survey.faults}
        self.arrived = Arrived(names, staging)
        self.rows, self.longest_bytes = 0, 0
        self.numbers: list[tuple[str, str]] = []  # cells with ids that are numbers, and what they hold; the first of them
        self.numbered = 0

    def add(self, line: int, cells: Sequence[Cell]) -> None:
        """Take one row of the sheet; an empty one is passed over."""
        texts, width = [_text(cell) for cell in cells], len(self._names)
        faulty = self._faults(line) if line in self._faulty_lines else {}
        if not faulty and not any(texts):
            return
        self.rows += 1
        beyond = next((place for place, text in enumerate(texts[width:], width) if text), None)
        if beyond is not None:
            self._refuse(line, beyond, texts)
            return
        for place, what in faulty.items():
            self._find(line, place, f"The cell {self._at(line, place)} {what}.", "", "Write the value itself into the cell.")
        for place in self._ids:
            self._look_at_id(line, place, cells[place])
        self.longest_bytes = max(self.longest_bytes, *(len(text.encode()) for text in texts))
        self.arrived.add(self.rows, line, texts[:width])

    def _faults(self, line: int) -> dict[int, str]:
        """What is wrong with the row's cells, by column of the table."""
        found = {column - 1 - self._left: what for (at, column), what in self._survey.faults.items() if at == line}
        return {place: what for place, what in found.items() if 0 <= place < len(self._names)}

    def _refuse(self, line: int, place: int, texts: list[str]) -> None:
        message = f"The cell {self._at(line, place)} stands beyond the header, which has {len(self._names)} columns."
        hint = "Name the column in the header, or delete the cell."
        self._staging.find("malformed_row", message, row=self.rows, line=line, value=texts[place], hint=hint)
        self._staging.set_aside(self.rows, line, "\t".join(texts))

    def _look_at_id(self, line: int, place: int, cell: Cell) -> None:
        if cell == "" or isinstance(cell, str):
            return
        at = self._at(line, place)
        if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
            hint = "Write it as text."
            self._find(line, place, f"The cell {at} is neither text nor a whole number.", _text(cell), hint)
            return
        self.numbered += 1
        if len(self.numbers) < _NAMED_AT_MOST:
            self.numbers.append((at, _text(cell)))

    def _find(self, line: int, place: int, message: str, value: str, hint: str) -> None:
        name = self._names[place]
        self._staging.find("invalid_type", message, row=self.rows, line=line, column=name, value=value or None, hint=hint)

    def _at(self, line: int, place: int) -> str:
        return _cell(line, place + 1 + self._left)


def _warn_of_numbers(body: _Body, staging: Staging) -> None:
    if body.numbered:
        first = ", ".join(f"{cell} is {value}" for cell, value in body.numbers)
        more = f" and {body.numbered - len(body.numbers):,} more" if body.numbered > len(body.numbers) else ""
        staging.find(
            "numeric_ids",
            f"Ids are numbers or dates in this sheet: {first}{more}.",
            hint=f"Excel drops leading zeros and every digit past the {_SAFE_DIGITS}th: if ids had such, format the column as"
            " text and write them anew.",
            severity="warning",
        )


def _warn_of_merged(sheet: CalamineSheet, header: int, staging: Staging) -> None:
    merged = [(_cell(top + 1, left + 1), _cell(bottom + 1, right + 1))
              for (top, left), (bottom, right) in sheet.merged_cell_ranges or [] if bottom + 1 >= header]  # fmt: skip
    if merged:
        named = ", ".join(f"{first}:{last}" for first, last in merged[:_NAMED_AT_MOST])
        more = f" and {len(merged) - _NAMED_AT_MOST:,} more" if len(merged) > _NAMED_AT_MOST else ""
        staging.find(
            "merged_cells",
            f"Cells are merged: {named}{more}. Their value was read for the first of them only.",
            hint="Split them, and write the value into each cell that it is meant for.",
            severity="warning",
        )


def _cell(line: int, column: int) -> str:
    """A cell's name as Excel shows it; both count from 1."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{line}"


def _text(cell: Cell) -> str:
    """A cell as exact text: whole numbers without a point, dates and times as ISO 8601, durations as h:mm:ss."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 10**_SAFE_DIGITS else _plain(cell)
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(int(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(cell) if isinstance(cell, int) else cell.isoformat()


def _plain(number: float) -> str:
    """The shortest digits that mean this number, without an exponent."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")
