"""The workbook as a spreadsheet opens it: the file's own rows, coloured and commented; text that stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest
from openpyxl.cell import Cell
from openpyxl.workbook import Workbook

from pipeline.report import findings_workbook
from tests.support.formula_cells import FORMULAS

Reported = Callable[..., Path]
ERROR, WARNING = "FFF8CBC6", "FFFBE3B4"


def opened(folder: Path) -> Workbook:
    return openpyxl.load_workbook(folder / findings_workbook.FILE)


def colour(cell: Cell) -> str | None:
    return cell.fill.fgColor.rgb if cell.fill.fill_type else None


def about(book: Workbook) -> str:
    return "\n".join(str(row[0].value or "") for row in book["About"].iter_rows())


def test_the_file_is_there_as_it_was_and_the_bad_cells_are_marked(reported: Reported) -> None:
    records = [{"id": "a", "z": "007", "b": None}, {"id": "b", "z": "x", "b": " y"}, {"id": "c", "z": "", "b": "1.50"}]
    findings = [
        {"row": 2, "column": "z", "code": "odd", "message": "It is odd.", "hint": "Make it even.", "severity": "warning"},
        {"row": 2, "column": "b", "code": "bad", "message": "It is bad.", "severity": "warning"},
        {"row": 2, "column": "b", "code": "worse", "message": "It is worse."},
        {"row": 3, "code": "whole", "message": "The row is wrong."},
        {"row": 1, "column": "b", "code": "none", "message": "It is missing."},
        {"column": "z", "code": "column", "message": "The column is wrong."},
        {"code": "file", "message": "The file is wrong."},
    ]
    book = opened(reported(records, findings))
    assert book.sheetnames == ["Records", "About", "Findings"]
    sheet = book["Records"]
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["line", "id", "parentId", "z", "b"],
        [2, "a", None, "007", None],
        [3, "b", None, "x", " y"],
        [4, "c", None, "", "1.50"],
    ]
    marked = {cell.coordinate: colour(cell) for row in sheet.iter_rows() for cell in row if colour(cell)}
    assert marked == {"D1": ERROR, "E2": ERROR, "D3": WARNING, "E3": ERROR, "A4": ERROR}
    comments = {cell.coordinate: cell.comment.text for row in sheet.iter_rows() for cell in row if cell.comment}
    assert comments == {
        "D1": "column: The column is wrong.",
        "E2": "none: It is missing.",
        "D3": "odd: It is odd. Make it even.",
        "E3": "bad: It is bad.\n\nworse: It is worse.",
        "A4": "whole: The row is wrong.",
    }
    assert sheet.freeze_panes == "B2" and sheet.auto_filter.ref == "A1:E4"
    assert "The whole file: 3 rows" in about(book)
    assert "3 records, 5 errors, 2 warnings" in about(book)


def test_every_finding_is_listed_in_the_order_of_the_rows(reported: Reported) -> None:
    findings = [{"row": 2, "related": ["1", "3"], "cycle": ["a", "b"]}, {"row": 1, "severity": "warning"}, {"code": "file"}]
    book = opened(reported([{"id": "a"}, {"id": "b"}], findings))
    header, *rows = ([cell.value for cell in row] for row in book["Findings"].iter_rows())
    listed = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(one["row"], one["code"], one["id"]) for one in listed] == [
        (None, "file", None),
        (1, "wrong", "a"),
        (2, "wrong", "b"),
    ]
    assert (listed[2]["related"], listed[2]["cycle"], listed[2]["line"]) == ("1 3", "a → b", 3)
    assert [colour(row[4]) for row in book["Findings"].iter_rows(min_row=2)] == [ERROR, WARNING, ERROR]
    assert book["Findings"].auto_filter.ref == "A1:L4" and book["Findings"].freeze_panes == "B2"
    assert "All 3 findings, in the order of the rows." in about(book)


EVIL = ["=1+1", "@SUM(A1)", "{=1}", '=HYPERLINK("http://x")', "http://example.org", "+1", "-1", "1e5", "<r><t>rich</t></r>"]
EVIL += ["<r>broken<r></r>", "]]>&<b>", "_x0041_", "\x01\x1b[31m", "\ufffe", "a\r\nb", "'quoted", "\u202egnp.exe"]  # fmt: skip


@pytest.mark.parametrize("text", [*EVIL, *FORMULAS], ids=ascii)
def test_nothing_from_a_file_is_more_than_text(reported: Reported, text: str) -> None:
    finding = dict.fromkeys(("code", "column", "value", "message", "hint"), text)
    folder = reported([{"id": text, text: text}], [{"row": 1, **finding}])
    book = opened(folder)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells if not isinstance(cell.value, int)} == {"s"}
    assert not any(cell.hyperlink for cell in cells)
    bad = book["Records"].cell(2, 4)
    assert bad.number_format == "@", "text it stays, even if somebody opens the cell to edit it"
    assert bad.comment is not None
    with ZipFile(folder / findings_workbook.FILE) as archive:
        written = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(("xml", "vml", "rels")))
    assert b"<f>" not in written and b"TargetMode" not in written
    if not re.search("[\x00-\x1f\ufffe_]", text):
        assert bad.value == book["Findings"].cell(2, 7).value == text


def test_a_row_that_is_no_record_is_shown_as_it_stands_in_the_file(reported: Reported) -> None:
    findings = [{"row": 2, "line": 3, "code": "malformed_row", "message": "Too many fields."}]
    sheet = opened(reported([{"id": "a"}, {"id": "c"}], findings, malformed=[(2, 3, "b,,,=x")]))["Records"]
    assert [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)] == [
        [2, "a", None],
        [3, "b,,,=x", None],
        [4, "c", None],
    ]
    assert (colour(sheet["A3"]), sheet["A3"].comment.text) == (ERROR, "malformed_row: Too many fields.")


def test_a_large_file_shows_only_what_is_wrong_and_says_so(reported: Reported, monkeypatch: Any) -> None:
    monkeypatch.setattr(findings_workbook, "ROWS_MAX", 5)
    book = opened(reported([{"id": str(n)} for n in range(6)], [{"row": 4}, {"row": 2}, {"row": 2, "column": "id"}]))
    assert [row[0].value for row in book["Records"].iter_rows(min_row=2)] == [3, 5]
    assert "2 rows of the file that findings speak of" in about(book)


def test_what_there_is_no_room_for_is_counted_all_the_same(reported: Reported, monkeypatch: Any) -> None:
    monkeypatch.setattr(findings_workbook, "ROWS_MAX", 5)
    monkeypatch.setattr(findings_workbook, "COMMENTS_MAX", 2)
    book = opened(reported([{"id": str(n)} for n in range(9)], [{"row": n, "column": "id"} for n in range(1, 9)]))
    assert [row[0].value for row in book["Records"].iter_rows(min_row=2)] == [2, 3, 4, 5, 6]
    assert [bool(row[1].comment) for row in book["Records"].iter_rows(min_row=2)] == [True, True, False, False, False]
    assert {colour(row[1]) for row in book["Records"].iter_rows(min_row=2)} == {ERROR}
    assert book["Findings"].max_row == 6
    said = about(book)
    assert "9 records, 8 errors" in said and "wrong: 8" in said
    assert "The first 5 of 8 findings. The files in CSV, JSON and Parquet hold every one." in said
    assert "The first 5 rows of the file that findings speak of" in said
    assert "5 cells are coloured, the first 2 have comments" in said


def test_a_sheet_grows_no_wider_nor_heavier_than_it_may(reported: Reported, monkeypatch: Any) -> None:
    monkeypatch.setattr(findings_workbook, "CHARACTERS_MAX", 50)
    book = opened(reported([{"id": "x" * 20} for n in range(9)], [{"row": n} for n in (5, 6, 7, 8, 9)]))
    assert [row[0].value for row in book["Records"].iter_rows(min_row=2)] == [6, 7]
    assert "The first 2 rows of the file that findings speak of" in about(book)
    monkeypatch.undo()
    monkeypatch.setattr(findings_workbook, "CELLS_MAX", 9)
    book = opened(reported([{"id": "x"} for n in range(9)], [{"row": n} for n in (2, 4, 6, 8)]))
    assert [row[0].value for row in book["Records"].iter_rows(min_row=2)] == [3, 5, 7]


@pytest.mark.parametrize("letter", ["x", "🚢"])
def test_a_value_too_long_for_a_cell_ends_in_an_ellipsis(reported: Reported, letter: str) -> None:
    book = opened(reported([{"id": letter * 40_000, "n": letter * 1000}], [{"row": 1, "column": "id", "value": letter}]))
    shown = book["Records"]["B2"].value
    assert shown.endswith(letter + "…") and set(shown) == {letter, "…"}
    assert findings_workbook.CELL_LENGTH - 2 < len(shown.encode("utf-16-le")) // 2 <= findings_workbook.CELL_LENGTH
    assert book["Records"]["D2"].value == letter * 1000
    assert "2 values are longer than the 32,767 characters" in about(book)


def test_nothing_found_is_a_workbook_that_says_so(reported: Reported) -> None:
    book = opened(reported([{"id": "a"}], []))
    assert book["Records"].max_row == 1
    assert "Nothing was found" in about(book)
