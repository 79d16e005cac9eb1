# ruff: noqa: E501 - a case is one line, however long
"""Workbooks as people and programs write them: nothing is lost silently, whatever the layout, the formulas or the formats."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import load_dataset
from pipeline.display import cell_name
from pipeline.errors import Unreadable
from pipeline.read import read
from pipeline.read.formats.excel_cells import CellFaults, FaultFinder, XmlCell
from pipeline.read.formats.excel_number_formats import digit_format
from tests.support.workbooks import SHEETML, header, links, packed, sheet_xml, text_cell, xml_book

RECORDS = load_dataset("records")
HEADER = ["id", "parentId", "name"]
TWO = [("1", None, "top"), ("2", "1", "child")]
DONE = '<calcPr calcId="191029"/>'
PENDING = '<calcPr calcId="191029" fullCalcOnLoad="1"/>'


class Got:
    """What one workbook became."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, sheet: str) -> None:
        self.sheet = sheet
        self.rows = connection.execute('select id, "parentId", name from raw order by _row').fetchall()
        self.totals = [row for (row,) in connection.execute("from declared_totals").fetchall()]
        found = connection.execute('select code, severity, line, "column", message, hint from findings').fetchall()
        self.errors = [(code, line, column) for code, severity, line, column, *_ in found if severity == "error"]
        self.warnings = {code: message for code, severity, _, _, message, _ in found if severity == "warning"}
        self.said = " ".join(f"{message} {hint}" for *_, message, hint in found)


Reads = Callable[..., Got]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    return lambda content, **options: read_book(tmp_path, content, **options)


def read_book(folder: Path, content: bytes, **options: Any) -> Got:
    (folder / "source").write_bytes(content)
    with duckdb.connect() as connection:
        asked = ReadOptions(**options)
        reading = read(folder / "source", RECORDS.for_upload(asked), connection=connection, options=asked)
        return Got(connection, reading.sheet)


def book(*sheets: tuple[str, list[list[Any]]], fill: Callable[[Any, Any], None] | None = None) -> bytes:
    """A workbook of XlsxWriter; ``fill`` gets the workbook and its last sheet."""
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink) as workbook:
        for name, rows in sheets:
            sheet = workbook.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
        if fill:
            fill(workbook, sheet)
    return sink.getvalue()


def rows_xml(*rows: list[str]) -> str:
    """Rows of texts without any address."""
    return "".join(f"<row>{''.join(text_cell(text) if text else '<c/>' for text in row)}</row>" for row in rows)


PLAIN = sheet_xml(header(*HEADER) + rows_xml(["1", "", "top"], ["2", "1", "child"]))
ADDRESSED = sheet_xml(
    "".join(
        f"<row>{''.join(text_cell(text, cell_name(line, column)) for column, text in enumerate(row, 1) if text)}</row>"
        for line, row in enumerate((HEADER, ["1", "", "top"], ["2", "1", "child"]), 1)
    )
)


# --- Layouts ---


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(xml_book(PLAIN), id="no addresses"),
        pytest.param(xml_book(PLAIN, part="xl/Worksheets/Sheet1.xml"), id="other case"),
        pytest.param(xml_book(PLAIN, workbook="xl/workbook22.xml"), id="other name"),
        pytest.param(xml_book(PLAIN, workbook="book.xml", part="sheets/one.xml", target="/sheets/one.xml"), id="other folders"),
        pytest.param(xml_book(PLAIN, workbook="xl\\workbook.xml", part="xl\\worksheets\\sheet1.xml", target="worksheets\\sheet1.xml"), id="backslashes"),
        *(
            pytest.param(xml_book(ADDRESSED, target=target), id=f"target {target}")
            for target in ("/xl/worksheets/sheet1.xml", "Worksheets/SHEET1.xml", "worksheets\\sheet1.xml", "./worksheets/sheet1.xml", "../xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml")
        ),
        pytest.param(xml_book(ADDRESSED, part="xl/worksheets/Sheet1.xml"), id="addresses and other case"),
        pytest.param(xml_book(PLAIN, prefix="d3p1"), id="other prefix of links"),
        pytest.param(xml_book(PLAIN, sheetml="http://purl.oclc.org/ooxml/spreadsheetml/main", office="http://purl.oclc.org/ooxml/officeDocument/relationships"), id="strict"),
        pytest.param(xml_book(PLAIN.replace("<sheetData>", "<!-- <c r='Z9' t='e'><v>1</v></c> --><sheetData>")), id="comment"),
        pytest.param(xml_book(PLAIN.replace(f'xmlns="{SHEETML}"', f'xmlns:x="{SHEETML}"').replace("<", "<x:").replace("<x:/", "</x:").replace("<x:?", "<?")), id="prefixes"),
    ],
)  # fmt: skip
def test_a_workbook_is_read_however_its_parts_are_named_and_written(reads: Reads, content: bytes) -> None:
    got = reads(content)
    assert (got.rows, got.errors, got.warnings) == (TWO, [], {})


def test_a_workbook_without_content_types_or_a_sheet_is_refused(reads: Reads) -> None:
    with pytest.raises(Unreadable, match="the sheet S is missing"):
        reads(xml_book(PLAIN, target="worksheets/other.xml"))
    twice = packed({"xl/workbook.xml": "<a/>", "xl/Workbook.xml": "<a/>"})
    with pytest.raises(Unreadable, match="twice"):
        reads(twice)


@pytest.mark.parametrize("address", ["", "B3"])
def test_an_error_is_never_a_root_with_or_without_an_address(reads: Reads, address: str) -> None:
    at = f' r="{address}"' if address else ""
    row = f'<row>{text_cell("2")}<c{at} t="e"><v>#N/A</v></c>{text_cell("child")}</row>'
    got = reads(xml_book(sheet_xml(header(*HEADER) + rows_xml(["1", "", "top"]) + row)))
    assert got.errors == [("invalid_type", 3, "parentId")]
    assert "B3 contains an error" in got.said


def test_an_error_beside_the_header_or_below_the_table_is_a_finding_too(reads: Reads) -> None:
    rows = f'<row>{text_cell("1")}<c/>{text_cell("top")}<c t="e"><v>#REF!</v></c></row><row><c/><c/><c><f>A1</f></c></row>'
    got = reads(xml_book(sheet_xml(header(*HEADER) + rows)))
    assert got.errors == [("malformed_row", 2, None), ("invalid_type", 3, "name")]


def test_a_cell_that_is_there_twice_is_refused_but_any_order_is_read(reads: Reads) -> None:
    one, other = (f'<row r="{line}">{text_cell(str(line), f"A{line}")}</row>' for line in (2, 3))
    top = "".join(text_cell(name, f"{letter}1") for letter, name in zip("ABC", HEADER, strict=True))
    assert [key for key, *_ in reads(xml_book(sheet_xml(f"{other}{one}<row r='1'>{top}</row>"))).rows] == ["2", "3"]
    with pytest.raises(Unreadable, match="the cell A2 is there twice"):
        reads(xml_book(sheet_xml(f"<row r='1'>{top}</row>{one}{one}")))


def test_an_error_without_a_value_is_one_too(reads: Reads) -> None:
    top = "".join(text_cell(name, f"{letter}1") for letter, name in zip("ABC", HEADER, strict=True))
    row = f'<row r="2">{text_cell("1", "A2")}<c r="B2" t="e"/></row>'
    assert reads(xml_book(sheet_xml(f"<row>{top}</row>{row}"))).errors == [("invalid_type", 2, "parentId")]


def test_the_bound_on_cells_holds_without_addresses(reads: Reads) -> None:
    far = f'<row r="1048576">{"<c><v>1</v></c>" * 60}</row>'
    with pytest.raises(Unreadable, match="1,048,576 rows and 60 columns"):
        reads(xml_book(sheet_xml(header(*HEADER) + far)))


FAULTY = f'<row>{text_cell("1")}<c t="e"><v>#N/A</v></c>{text_cell("a")}</row><row>{text_cell("2")}<c><f>A1</f></c></row>'
ODD = sheet_xml(header(*HEADER) + FAULTY)
NAMED = "".join(text_cell(name, f"{letter}1") for letter, name in zip("ABC", HEADER, strict=True))
USUAL = sheet_xml(
    f'<row r="1">{NAMED}</row>'
    f'<row r="2">{text_cell("1", "A2")}<c r="B2" t="e"><v>#N/A</v></c></row>'
    f'<row r="3">{text_cell("2", "A3")}<c r="B3"><f>A1</f></c></row>'
)


@pytest.mark.parametrize("sheet", [ODD, USUAL], ids=["without addresses", "with addresses"])
@pytest.mark.parametrize("overlooked", ["e", ""], ids=["an error", "a formula"])
def test_a_fault_that_the_reader_of_cells_overlooks_is_refused(
    reads: Reads, monkeypatch: pytest.MonkeyPatch, sheet: str, overlooked: str
) -> None:
    assert len(reads(xml_book(sheet)).errors) == 2
    add = FaultFinder.add

    def add_others(finder: FaultFinder, cell: XmlCell) -> None:
        if cell.kind != overlooked:
            add(finder, cell)

    monkeypatch.setattr(FaultFinder, "add", add_others)
    with pytest.raises(Unreadable, match="has 2 cells with an error or a formula that was never computed, but 1 were found"):
        reads(xml_book(sheet))


@pytest.mark.parametrize("sheet", [ODD, USUAL], ids=["without addresses", "with addresses"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_fault_that_is_found_and_not_judged_is_refused(
    reads: Reads, monkeypatch: pytest.MonkeyPatch, sheet: str, place: int
) -> None:
    in_order = CellFaults.in_order

    def others(faults: CellFaults) -> Iterator[tuple[int, int, str]]:
        return (one for number, one in enumerate(in_order(faults)) if number != place)

    monkeypatch.setattr(CellFaults, "in_order", others)
    with pytest.raises(Unreadable, match=r"has 2 cells with an error .* but 1 were found"):
        reads(xml_book(sheet))


def test_an_error_where_no_cell_should_be_is_refused(reads: Reads) -> None:
    within = '<c r="B2" t="inlineStr"><is><t>x</t></is><extLst><c t="e"><v>#N/A</v></c></extLst></c>'
    rows = f'<row r="2">{text_cell("1", "A2")}{within}</row>'
    with pytest.raises(Unreadable, match="written in an unusual way"):
        reads(xml_book(USUAL.replace("</sheetData>", f"{rows.replace('2', '4')}</sheetData>")))


# --- Formulas ---


def formula_row(line: int, parent: str, name: str = "<v>0</v>") -> str:
    return f'<row r="{line}">{text_cell(str(line), f"A{line}")}<c r="B{line}"><f>A2</f>{parent}</c><c r="C{line}"><f>A1</f>{name}</c></row>'


@pytest.mark.parametrize(
    ("calculation", "rows", "lines"),
    [
        (DONE, formula_row(2, "<v>0</v>"), []),  # Excel computed zeros
        (PENDING, formula_row(2, "<v>7</v>", "<v>5</v>"), []),  # the program that wrote it knew the values
        (PENDING, formula_row(2, "<v>0</v>", "<v>5</v>"), [("B", 2)]),
        (PENDING, formula_row(2, "<v>0.0</v>"), [("B", 2), ("C", 2)]),
        ("", formula_row(2, "<v>0</v>"), [("B", 2), ("C", 2)]),
        ("", formula_row(2, "<v>0</v>", "<v>5</v>"), []),
        ('<calcPr calcId="124519" calcMode="manual"/>', formula_row(2, "<v>0</v>"), [("B", 2), ("C", 2)]),
        (DONE, formula_row(2, "<v></v>", "<v/>"), [("B", 2), ("C", 2)]),
        (DONE, formula_row(2, "", "<v>3</v>"), [("B", 2)]),
        (PENDING, '<row r="2"><c r="A2" t="inlineStr"><is><t>9</t></is></c><c r="B2" t="str"><f>A1</f><v></v></c></row>', [("B", 2)]),
        (DONE, '<row r="2"><c r="A2" t="inlineStr"><is><t>9</t></is></c><c r="B2" t="str"><f>A1</f><v></v></c></row>', []),
        (PENDING, '<row r="2"><c r="A2" t="inlineStr"><is><t>9</t></is></c><c r="B2"><f t="array" ref="B2:C2">A1</f><v>0</v></c><c r="C2"><v>0</v></c></row>', [("B", 2), ("C", 2)]),
    ],
)  # fmt: skip
def test_a_formula_that_was_never_computed_is_no_data(reads: Reads, calculation: str, rows: str, lines: list[Any]) -> None:
    got = reads(xml_book(sheet_xml(header(*HEADER) + rows), calculation=calculation))
    names = {"A": "id", "B": "parentId", "C": "name"}
    assert sorted(got.errors) == sorted(("invalid_type", line, names[column]) for column, line in lines)
    for column, _ in lines:
        assert got.rows[0]["ABC".index(column)] is None


def test_formulas_of_a_script_are_no_data(reads: Reads) -> None:
    got = reads(book(("S", [HEADER, ["A", None, "top"], ["B", "=A2", '=A3&"-child"']])))
    assert got.errors == [("invalid_type", 3, "parentId"), ("invalid_type", 3, "name")]
    assert "Open the workbook in Excel" in got.said


# --- Merged cells ---


def merged_book(reference: str, *rows: list[Any]) -> bytes:
    merge = f'<mergeCells><mergeCell ref="{reference}"/></mergeCells>'
    return xml_book(sheet_xml(rows_xml(HEADER, *rows), merge))


def test_merged_ids_are_errors_or_filled(reads: Reads) -> None:
    content = merged_book("B3:B5", ["1", "", "a"], ["2", "1", "b"], ["3", "", "c"], ["4", "", "d"])
    got = reads(content)
    assert got.errors == [("merged_ids", 4, "parentId"), ("merged_ids", 5, "parentId")]
    assert "merged=fill" in got.said
    filled = reads(content, merged="fill")
    assert filled.errors == []
    assert [parent for _, parent, _ in filled.rows] == [None, "1", "1", "1"]
    assert "B3:B5" in filled.warnings["merged_cells"]


def test_merged_cells_elsewhere_are_a_warning_or_filled(reads: Reads) -> None:
    content = merged_book("C2:C3", ["1", "", "a"], ["2", "1", ""])
    assert (reads(content).errors, list(reads(content).warnings)) == ([], ["merged_cells"])
    assert reads(content, merged="fill").rows == [("1", None, "a"), ("2", "1", "a")]


def test_empty_rows_of_a_merged_range_are_no_records(reads: Reads) -> None:
    content = merged_book("A2:A9", ["1", "", "a"])
    assert reads(content, merged="fill").rows == [("1", None, "a")]


# --- Number formats ---


@pytest.mark.parametrize(
    ("code", "number", "shown"),
    [
        ("00000", 123, "00123"), ("00000", 1234567, "1234567"), ("000-000", 123, "000-123"), ("000-000", 1234567, "1234-567"),
        ('"ID-"0', 7, "ID-7"), ("\\F000", 7, "F007"), ("00000;-00000", 5, "00005"), ("[$-409]0000", 5, "0005"), ("##-00", 123, "1-23"),
        ("000_)", 5, "005"), ("0000", 0, "0000"), ("(000) 000", 1234, "(001) 234"),
    ],
)  # fmt: skip
def test_a_number_is_shown_as_its_format_says(code: str, number: int, shown: str) -> None:
    form = digit_format(code)
    assert form is not None
    assert form.display(number) == shown


@pytest.mark.parametrize(
    "code", ["General", "0", "#,##0", "0.00", "yyyy-mm-dd", "0%", "# ?/?", "@", "[<=99]00;000", "0E+00", "#", "0_)"]
)
def test_formats_that_add_no_zeros_change_nothing(code: str) -> None:
    assert digit_format(code) is None


def test_ids_are_what_the_sheet_shows(reads: Reads) -> None:
    def fill(workbook: Any, sheet: Any) -> None:
        zeros = workbook.add_format({"num_format": "00000"})
        sheet.write_row(0, 0, HEADER)
        sheet.write_number(1, 0, 123, zeros)
        sheet.write_number(2, 0, 124, zeros)
        sheet.write_string(2, 1, "00123")
        sheet.write_number(2, 2, 5, zeros)

    got = reads(book(("S", []), fill=fill))
    assert got.rows == [("00123", None, None), ("00124", "00123", "5")]
    assert "A2 holds 123 and shows 00123" in got.warnings["displayed_ids"]
    assert "numeric_ids" not in got.warnings


# --- Sheets, headers, totals ---


DATA = ("Data", [HEADER, ["1", None, "top"], ["2", "1", "child"]])
COVER = ("Read me", [["How to fill in this workbook"]])


def test_the_one_sheet_with_the_columns_is_read(reads: Reads) -> None:
    got = reads(book(COVER, DATA))
    assert (got.sheet, got.rows) == ("Data", TWO)
    assert "Only the sheet Data was read, not Read me. It is the only one" in got.warnings["several_sheets"]
    with pytest.raises(Unreadable, match="lacks the columns") as caught:
        reads(book(COVER, DATA, ("Old", DATA[1])))
    assert "Data, Old" in caught.value.hint
    assert "sheet=Data" in caught.value.hint


@pytest.mark.parametrize("name", ["Old", "old", "3"])
def test_the_sheet_can_be_chosen(reads: Reads, name: str) -> None:
    content = book(COVER, DATA, ("Old", [HEADER, ["9", None, "x"]]))
    assert reads(content, sheet=name).rows == [("9", None, "x")]
    with pytest.raises(Unreadable, match=r"no sheet 4\. It has: Read me, Data, Old"):
        reads(content, sheet="4")


def test_the_header_is_found_below_titles(reads: Reads) -> None:
    got = reads(book(("S", [["Our places"], [], ["2026"], *DATA[1]])))
    assert got.rows == TWO
    assert "row 4" in got.warnings["skipped_lines"]
    assert "row 1 (Our places)" in got.warnings["skipped_lines"]
    content = book(("S", [["x"], *DATA[1], HEADER, ["3", None, "z"]]))
    with pytest.raises(Unreadable) as caught:
        reads(content)
    assert "header_row=2" in caught.value.hint
    assert reads(content, header_row=5).rows == [("3", None, "z")]
    with pytest.raises(Unreadable, match=r"Row 9 .* is empty"):
        reads(content, header_row=9)


def test_a_row_that_looks_like_the_header_is_hinted_at(reads: Reads) -> None:
    with pytest.raises(Unreadable) as caught:
        reads(book(("S", [["Places"], ["id", "parent of it", "name"], ["1", None, "a"]])))
    assert "header_row=2" in caught.value.hint


def test_totals_that_the_workbook_declares_are_told_and_can_be_skipped(reads: Reads) -> None:
    def fill(_: Any, sheet: Any) -> None:
        columns = [{"header": "id", "total_string": "Total"}, {"header": "parentId"}, {"header": "name"}]
        sheet.add_table("A1:C4", {"total_row": True, "columns": columns, "data": [["1", None, "top"], ["2", "1", "child"]]})

    content = book(("S", []), fill=fill)
    got = reads(content)
    assert (got.rows[-1][0], got.totals) == ("Total", [3])
    assert '"Total"' in got.warnings["totals_row"]
    skipped = reads(content, clean={"skip_totals": True})
    assert skipped.rows == TWO
    assert "left out 1 row of totals" in skipped.warnings["cleaned_values"]


# --- Any workbook: the same rows and faults as a simple reader, with and without addresses ---


CELLS = st.sampled_from(["", "text", "error", "number", "formula", "computed"])
XML = {
    "": "", "text": '<c{at} t="inlineStr"><is><t>t</t></is></c>', "error": '<c{at} t="e"><v>#N/A</v></c>', "number": "<c{at}><v>7</v></c>",
    "formula": "<c{at}><f>A1</f></c>", "computed": "<c{at}><f>A1</f><v>7</v></c>",
}  # fmt: skip
TEXT = {"": None, "text": "t", "number": "7", "computed": "7", "error": None, "formula": None}


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3).filter(any), min_size=1, max_size=5), st.data(), st.booleans())
def test_any_sheet_is_read_as_its_cells_say(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], data: st.DataObject, odd: bool
) -> None:
    xml = header(*HEADER)
    for line, row in enumerate(rows, 2):
        cells, is_next = "", True  # whether the cell's place follows from the one before
        for column, kind in enumerate(row, 1):
            named = not is_next or not data.draw(st.booleans())
            at = f' r="{cell_name(line, column)}"' if named else ""
            cells += XML[kind].format(at=at) if kind else ("<c/>" if odd else "")
            is_next = bool(kind) or odd
        xml += f"<row>{cells}</row>"
    got = read_book(tmp_path_factory.mktemp("any"), xml_book(sheet_xml(xml), calculation=DONE))
    assert got.rows == [tuple(TEXT[kind] for kind in row) for row in rows]
    faults = [
        ("invalid_type", line, HEADER[place])
        for line, row in enumerate(rows, 2)
        for place, kind in enumerate(row)
        if kind in ("error", "formula")
    ]
    assert sorted(got.errors) == sorted(faults)


# --- Any merged cells: as a simple filler fills them ---

CORNERS = st.tuples(st.integers(1, 7), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2))
GRID = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6)
"""Which cells have a value; the value is the cell's own address."""


@settings(max_examples=15, deadline=None)
@given(GRID, st.lists(CORNERS, max_size=4), st.booleans())
def test_any_merged_cells_are_filled_or_errors(
    tmp_path_factory: pytest.TempPathFactory, grid: list[list[bool]], corners: list[tuple[int, int, int, int]], fills: bool
) -> None:
    ranges, covered = [], set[tuple[int, int]]()
    for top, left, down, right in corners:
        cells = [(line, column) for line in range(top, top + down + 1) for column in range(left, min(left + right + 1, 3))]
        if not covered.intersection(cells) and not (top == 1 and right):  # Excel allows no ranges that overlap
            covered.update(cells)
            ranges.append(cells)
    texts = [[cell_name(line, column + 1) if has else "" for column, has in enumerate(row)] for line, row in enumerate(grid, 2)]
    merges = "".join(
        f'<mergeCell ref="{cell_name(a, b + 1)}:{cell_name(c, d + 1)}"/>' for (a, b), *_, (c, d) in map(two, ranges)
    )
    content = xml_book(sheet_xml(rows_xml(HEADER, *texts), f"<mergeCells>{merges}</mergeCells>" if merges else ""))
    if not any(map(any, grid)):
        with pytest.raises(Unreadable, match="no records"):
            read_book(tmp_path_factory.mktemp("merged"), content, merged="fill" if fills else None)
        return
    got = read_book(tmp_path_factory.mktemp("merged"), content, merged="fill" if fills else None)
    rows, faults = {line: list(row) for line, row in enumerate(texts, 2) if any(row)}, []
    for cells in ranges:
        first = rows.get(cells[0][0], [""] * 3)[cells[0][1]]
        for line, column in cells[1:]:
            if line not in rows or rows[line][column]:
                continue
            if fills and cells[0][0] > 1:
                rows[line][column] = first
            elif column < 2:
                faults.append(("merged_ids", line, HEADER[column]))
    assert got.rows == [tuple(text or None for text in row) for row in rows.values()]
    assert sorted(got.errors) == sorted(faults)


def two(cells: list[Any]) -> list[Any]:
    """The first and the last of a range's cells."""
    return [cells[0], cells[-1]]


# --- Any number format with leading zeros: as str.zfill writes it ---

GROUPS = st.lists(st.integers(1, 4), min_size=1, max_size=3)
BETWEEN = {"-": "-", " ": " ", '"/"': "/", "\\.": "."}
BEFORE = {"": "", '"ID-"': "ID-", "\\F": "F", "[$-409]": ""}
FORMATS = st.tuples(GROUPS, st.sampled_from([*BETWEEN]), st.sampled_from([*BEFORE]), st.sampled_from(["", ";-000", "_)"]))
NUMBERS = st.integers(0, 20) | st.integers(0, 10**15 - 1) | st.integers(0, 9999)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS | st.just("00x"), st.none() | FORMATS, st.none() | FORMATS), min_size=1, max_size=8))
def test_any_zeros_that_a_sheet_shows_are_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    expected = list[tuple[str, ...]]()

    def fill(workbook: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, HEADER)
        for line, (key, parent, *formats) in enumerate(rows, 1):
            cells = []
            for column, (value, form) in enumerate(zip((key, parent), formats, strict=True)):
                code = "General"
                if form:
                    groups, between, before, after = form
                    code = before + between.join("0" * size for size in groups) + after
                sheet.write(line, column, value, workbook.add_format({"num_format": code}))
                cells.append(as_shown(value, form))
            sheet.write_number(line, 2, 7, workbook.add_format({"num_format": "000"}))
            expected.append((*cells, "7"))

    got = read_book(tmp_path_factory.mktemp("zeros"), book(("S", []), fill=fill))
    assert got.rows == expected
    differ = [
        cell for row, (key, parent, *_) in zip(expected, rows, strict=True) for cell in zip(row, (key, parent), strict=False)
    ]
    assert ("displayed_ids" in got.warnings) == any(shown != str(value) for shown, value in differ)


def as_shown(value: Any, form: Any) -> str:
    """What a cell shows: zeros before the number, and texts between its groups of digits."""
    if form is None or isinstance(value, str):
        return str(value)
    groups, between, before, _ = form
    digits, shown = str(value).zfill(sum(groups)), list[str]()
    for size in groups[:0:-1]:
        digits, last = digits[:-size], digits[-size:]
        shown = [last, *shown]
    return BEFORE[before] + BETWEEN[between].join([digits, *shown])


def test_a_workbook_is_written_again_within_the_folder_only(tmp_path: Path) -> None:
    read_book(tmp_path, xml_book(PLAIN))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_links_may_be_missing_for_styles(reads: Reads) -> None:
    content = xml_book(PLAIN, extra={"xl/worksheets/_rels/sheet1.xml.rels": links(("table", "../tables/none.xml"))})
    assert reads(content).rows == TWO
