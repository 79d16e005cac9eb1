"""Write a workbook of the findings: the file as a sheet, cells with findings coloured, each with a comment on what is wrong.

Three sheets. *Records* has the file's own columns behind the line or row of the file; *About* says what is in the workbook, and
what for lack of room is not; *Findings* is the list. Whatever comes from the file is written as text, which no spreadsheet
executes. Rows go by in a stream, so a large file needs no more memory than a small one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from pipeline.datasets.dataset import Dataset
from pipeline.display import counted as in_words
from pipeline.report.findings import TABLE_FIELDS, Counted
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cast import original_names
from pipeline.staging.database import reading_of

FILE = "findings.xlsx"

ROWS_MAX = 10_000
"""Rows of either sheet. A file of more rows shows only those with findings."""

CELLS_MAX = 30_000
"""Cells of either sheet: they take a quarter of a second, for which the verdict waits."""

CHARACTERS_MAX = 64 << 20
COMMENTS_MAX = 2_000
"""Comments: a spreadsheet takes long to open a sheet with more. Cells after the last one are only coloured."""

CELL_LENGTH = 32_767
"""The format's own limit, in units of UTF-16."""

_FETCH_ROWS = 2_000
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")  # no XML may have them
_COLOURS = {"error": ("#F8CBC6", "#7A1C12"), "warning": ("#FBE3B4", "#6B4400")}
_WIDTHS = {
    "place": 14,
    "row": 9,
    "id": 18,
    "code": 24,
    "severity": 10,
    "column": 16,
    "value": 24,
    "message": 64,
    "hint": 56,
    "line": 9,
}

Marks = list[dict[str, str]]
"""Findings about one row or one cell: column, severity, text."""


def write_workbook(connection: duckdb.DuckDBPyConnection, dataset: Dataset, folder: Path, counted: Counted) -> None:
    """Write findings.xlsx beside ``folder``'s findings.parquet, from which and from ``raw`` it is made."""
    options = {"constant_memory": True, "tmpdir": str(folder.parent)}
    options |= dict.fromkeys(("strings_to_formulas", "strings_to_urls", "strings_to_numbers"), False)
    with xlsxwriter.Workbook(folder / FILE, options) as book:
        connection.execute(f"create or replace temp view listed as from {literal(str(folder / 'findings.parquet'))}")
        records, about, findings = (_Page(book, name) for name in ("Records", "About", "Findings"))
        is_whole = _fill_records(connection, records, counted)
        _fill_findings(connection, findings)
        for at, (words, look) in enumerate(_explained(dataset, counted, records, findings, is_whole)):
            about.write(at, 0, words, look)
        about.sheet.set_column(0, 0, 110)


# --- Sheets ---


class _Sheet(Worksheet):  # type: ignore[misc]
    """A worksheet that writes every text as text, even if it looks like markup."""

    def _xml_rich_inline_string(self, string: str, attributes: Any) -> None:
        self._xml_inline_string(string, True, attributes)


class _Page:
    """A sheet, the formats of its cells, and what was left out of it. Cells stay text when they are edited."""

    def __init__(self, book: xlsxwriter.Workbook, name: str) -> None:
        self.sheet: Worksheet = book.add_worksheet(name, _Sheet)
        self.rows = self.marked = self.comments = self.cut = self.characters = 0
        self.is_full = False  # there was more than it has room for
        self.text: Format = book.add_format({"num_format": "@"})
        self.looks: dict[str, Format] = {"heading": book.add_format({"num_format": "@", "bold": True, "bottom": 1})}
        for severity, (back, ink) in _COLOURS.items():
            self.looks[severity] = book.add_format({"num_format": "@", "bg_color": back, "font_color": ink})

    def head(self, names: list[str], marks: Marks | None = None) -> None:
        """Write the names of the columns, and keep them in view."""
        for place, name in enumerate(names):
            about = [mark for mark in marks or [] if mark["column"] == name]
            self.write(0, place, name, "heading")
            self.mark(0, place, name, about)
        self.sheet.freeze_panes(1, 1)

    def write(self, row: int, place: int, value: Any, look: str = "") -> None:
        """Write one cell: a number as a number, anything else as text."""
        if isinstance(value, int):
            self.sheet.write_number(row, place, value, self.looks.get(look))
        elif value is None:
            if look:
                self.sheet.write_blank(row, place, None, self.looks[look])
        else:
            text = _fit(value)
            self.cut += text is not value
            self.characters += len(text)
            self.sheet.write_string(row, place, text, self.looks.get(look, self.text))

    def mark(self, row: int, place: int, value: Any, marks: Marks) -> None:
        """Write one cell again, in the colour of its worst finding, with all its findings as a comment."""
        if not marks:
            return
        self.marked += 1
        self.write(row, place, value, "error" if any(mark["severity"] == "error" for mark in marks) else "warning")
        if self.comments < COMMENTS_MAX:
            self.comments += 1
            text = _UNFIT.sub("\ufffd", "\n\n".join(mark["text"] for mark in marks))
            self.sheet.write_comment(row, place, _fit(text), {"author": "Bulkhead", "width": 320, "height": 110})


def _fit(text: str) -> str:
    """Return the text, cut with an ellipsis to what a cell holds."""
    if len(text) <= CELL_LENGTH // 2:
        return text
    units = text.encode("utf-16-le")
    if len(units) <= CELL_LENGTH * 2:
        return text
    return units[: (CELL_LENGTH - 1) * 2].decode("utf-16-le", "ignore") + "…"


# --- Records ---


def _fill_records(connection: duckdb.DuckDBPyConnection, page: _Page, counted: Counted) -> bool:
    """Write the rows of the file, with marked cells; return whether they are all rows of the file."""
    originals = original_names(connection)
    names = list(originals)
    most = min(ROWS_MAX, CELLS_MAX // (len(names) + 1))
    is_whole = bool(counted.by_code) and counted.records <= most and _characters(connection, names) <= CHARACTERS_MAX
    page.sheet.set_column(0, 0, _WIDTHS["row"])
    page.sheet.set_column(1, max(len(names), 1), 18, page.text)
    of_columns = connection.execute(f'select {_MARK} from listed where row is null and "column" is not null').fetchall()
    numbered = _numbered(connection)
    page.head([numbered, *originals.values()], [mark | {"column": originals.get(mark["column"])} for (mark,) in of_columns])
    connection.execute(_SHOWN.format(all="select _row as row from raw union" if is_whole else "", more=most + 1))
    for row, text, marks, *values in _records(connection, names, by_record=numbered == "record"):
        page.is_full = page.rows == most or page.characters > CHARACTERS_MAX
        if page.is_full:
            break
        page.rows += 1
        _write_record(page, names, row, [text, *values[1:]] if text is not None else values, marks or [])
    page.sheet.autofilter(0, 0, max(page.rows, 1), len(names))
    return is_whole and not page.is_full


def _numbered(connection: duckdb.DuckDBPyConnection) -> str:
    """Return what the number before a row counts: rows of the sheet, lines of the text, or records if it has neither."""
    reading = reading_of(connection)
    if reading.get("members", 1) != 1 or not connection.execute("from lines limit 1").fetchall():
        return "record"
    return "row" if reading.get("format") == "xlsx" else "line"


def _characters(connection: duckdb.DuckDBPyConnection, names: list[str]) -> int:
    """Return about how long the file's text is, in characters."""
    lengths = ["0", *(f"coalesce(strlen({quoted(name)}::varchar), 0)" for name in names)]
    ((total,),) = connection.execute(f"select coalesce(sum({' + '.join(lengths)}), 0) from raw").fetchall()
    return int(total)


def _write_record(page: _Page, names: list[str], row: int, values: list[Any], marks: Marks) -> None:
    """Write a row of the file. Findings on none of its columns mark its number."""
    by_column: dict[str | None, Marks] = {}
    for mark in marks:
        column = mark["column"] if mark["column"] in names else None
        by_column.setdefault(column, []).append(mark)
    at = page.rows
    for place, (name, value) in enumerate(zip((None, *names), (row, *values), strict=True)):
        if name in by_column:
            page.mark(at, place, value, by_column[name])
        elif value is not None:
            page.write(at, place, value)


_MARK = """{'column': "column", 'severity': severity, 'text': left(concat_ws(' ', code || ':', message, hint), 2000)}"""

_SHOWN = """
create or replace temp table shown as
select distinct row from ({all} select row from listed where row is not null) order by row limit {more}
"""


def _records(connection: duckdb.DuckDBPyConnection, names: list[str], *, by_record: bool) -> Iterator[tuple[Any, ...]]:
    """Yield (number, text if it is not a record, marks, values) of the rows that are shown, in the order of the file."""
    if not connection.execute("from shown limit 1").fetchall():
        return  # a join might read all that the file holds into memory
    tables = [str(row[0]) for row in connection.execute("show tables").fetchall()]
    malformed = "malformed" if "malformed" in tables else "(select null::bigint as _row, null::varchar as text)"
    values = [f"left(raw.{quoted(name)}::varchar, {CELL_LENGTH + 1})" for name in names]
    number = "shown.row" if by_record else "coalesce(lines.first_line + shown.row - lines.first_row, shown.row)"
    answer = connection.execute(
        f"""select {", ".join([number, f"left(malformed.text, {CELL_LENGTH + 1})", "said.marks", *values])}
        from shown
        left join raw on shown.row = raw._row
        left join {malformed} as malformed on shown.row = malformed._row
        left join (
            select row, list({_MARK} order by number) as marks from listed semi join shown using (row) group by row
        ) said on shown.row = said.row
        asof left join lines on shown.row >= lines.first_row
        order by shown.row"""
    )
    while rows := answer.fetchmany(_FETCH_ROWS):
        yield from rows


# --- Findings and About ---


def _listed_most() -> int:
    return min(ROWS_MAX, CELLS_MAX // len(TABLE_FIELDS))


def _fill_findings(connection: duckdb.DuckDBPyConnection, page: _Page) -> None:
    """Write the list of findings, in the order of the rows."""
    page.head(list(TABLE_FIELDS))
    for place, name in enumerate(TABLE_FIELDS):
        page.sheet.set_column(place, place, _WIDTHS.get(name, 24), None if name in ("row", "line") else page.text)
    joined = {"related": "array_to_string(related, ' ')", "cycle": "array_to_string(cycle, ' → ')"}
    picks = [
        quoted(name) if name in ("row", "line") else f"left({joined.get(name, quoted(name))}, {CELL_LENGTH + 1})"
        for name in TABLE_FIELDS
    ]
    answer = connection.execute(f"select {', '.join(picks)} from listed order by number limit {_listed_most()}")
    severity = TABLE_FIELDS.index("severity")
    while rows := answer.fetchmany(_FETCH_ROWS):
        for row in rows:
            page.rows += 1
            for place, value in enumerate(row):
                page.write(page.rows, place, value, str(value) if place == severity else "")
    page.sheet.autofilter(0, 0, max(page.rows, 1), len(TABLE_FIELDS) - 1)


def _explained(
    dataset: Dataset, counted: Counted, records: _Page, findings: _Page, is_whole: bool
) -> Iterator[tuple[str, str]]:
    """Yield the lines of About, each with its format: the true totals, and everything that is left out or changed."""
    total = counted.errors + counted.warnings
    yield f"{dataset.title}: what validation found", "heading"
    told = (("record", counted.records), ("error", counted.errors), ("warning", counted.warnings))
    yield ", ".join(in_words(number, thing) for thing, number in told), ""
    for code, number in counted.by_code.items():
        yield f"    {code}: {number:,}", ""
    yield "", ""
    yield "Records", "heading"
    yield _about_records(total, records, is_whole), ""
    yield "A cell in this colour holds an error. Its comment says what is wrong, and what to do.", "error"
    yield "A cell in this colour is warned of; it alone does not keep the file out.", "warning"
    yield "What is wrong with a row as a whole is said of its number, in the first column.", ""
    if records.marked > records.comments:
        coloured = in_words(records.marked, "cell is", "cells are")
        yield f"{coloured} coloured, the first {records.comments:,} have comments; Findings says more.", ""
    yield "", ""
    yield "Findings", "heading"
    if findings.rows < total:
        found = in_words(total, "finding")
        yield f"The first {findings.rows:,} of {found}. The files in CSV, JSON and Parquet hold every one.", ""
    else:
        yield f"{'The' if total == 1 else 'All'} {in_words(total, 'finding')}, in the order of the rows.", ""
    if records.cut + findings.cut:
        long = in_words(records.cut + findings.cut, "value is", "values are")
        words = f"{long} longer than the {CELL_LENGTH:,} characters that a cell can hold"
        yield f"{words}; what is cut ends in an ellipsis (…).", ""
    yield "Every value is text, as it was in the file; nothing was converted, and nothing is calculated.", ""


def _about_records(total: int, records: _Page, is_whole: bool) -> str:
    if not total:
        return "Nothing was found, so the records are not repeated here."
    if is_whole:
        return f"The whole file: {in_words(records.rows, 'row')}, each with its number."
    first = "The first " if records.is_full else ""
    rows = in_words(records.rows, "row")
    return f"{first}{rows} of the file that findings speak of, each with its number; the file is too large for all."
