"""The words that pages, mails and the command line share: places in a file, counts, what was probably meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import xlsxwriter

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from pipeline.display import (
    LINES_KEPT,
    cell_name,
    counted,
    line_of,
    meant,
    place_and_record,
    place_of,
    place_of_record,
    place_sql,
    record_at,
)
from pipeline.sandbox.validate_file import SOURCE, validate

CSV = {"format": "csv", "columns": ["id", "parentId"], "original_columns": ["Id", "Parent"], "lines": [[1, 2]]}
XLSX = {**CSV, "format": "xlsx", "letters": ["B", "D"], "sheet": "Sheet1", "sheets": 1, "lines": [[1, 5], [3, 9]]}
SEVERAL = {**XLSX, "sheets": 2}
PLACES = [
    (CSV, 1, 2, "id", "line 2"),
    (CSV, 11999, 12000, None, "line 12,000"),
    (CSV, None, None, "id", ""),
    (CSV, None, 1, "id", "line 1"),
    (XLSX, 6, 7, "parentId", "D7"),
    (XLSX, 6, 7, "Parent", "D7"),
    (XLSX, 6, 7, None, "row 7"),
    (XLSX, 6, 7, "gone", "row 7"),
    (XLSX, 12000, 12001, "Id", "B12001"),
    (XLSX, 12000, 12001, None, "row 12,001"),
    (SEVERAL, 6, 7, "id", "Sheet1!B7"),
    (SEVERAL, 6, 7, None, "Sheet1 row 7"),
    ({**SEVERAL, "sheet": "It's 2024"}, 6, 7, "id", "'It''s 2024'!B7"),
    ({**XLSX, "letters": []}, 6, 7, "id", "row 7"),  # an import of before
    ({"format": "parquet"}, 6, None, "id", "record 6"),
    ({}, 6, None, None, "record 6"),
    ({}, None, None, None, ""),
]


@pytest.mark.parametrize(("reading", "row", "line", "column", "place"), PLACES)
def test_a_place_is_what_a_person_looks_for(
    reading: dict[str, Any], row: int | None, line: int | None, column: str | None, place: str
) -> None:
    assert place_of({"row": row, "line": line, "column": column}, reading) == place
    given = 'select $row::bigint as row, $line::bigint as line, $column::varchar as "column"'
    asked = place_sql(reading, row="row", line="line", column='"column"')
    found = duckdb.execute(f"select {asked} from ({given})", {"row": row, "line": line, "column": column}).fetchall()
    assert found == [(place or None,)], "the files say the same as the pages"


def test_the_record_comes_second() -> None:
    assert place_and_record("C7", 6) == "C7 (record 6)"
    assert place_and_record("record 6", 6) == "record 6"
    assert place_and_record("line 1", None) == "line 1"
    assert place_and_record("", None) == ""


def test_a_record_is_found_by_its_number() -> None:
    assert [line_of(row, XLSX) for row in (1, 2, 3, 6, None)] == [5, 6, 9, 12, None]
    assert place_of_record(3, XLSX) == "row 9"
    assert place_of_record(3, CSV) == "line 4"
    assert place_of_record(3, {**CSV, "members": 2}) == "record 3"
    assert place_of_record(1200, {"format": "parquet"}) == "record 1,200"
    many = {**CSV, "lines": [[at, 2 * at] for at in range(1, LINES_KEPT + 1)]}
    assert place_of_record(LINES_KEPT - 1, many) == f"line {2 * LINES_KEPT - 2}"
    assert place_of_record(LINES_KEPT + 50, many) == f"record {LINES_KEPT + 50}"


@pytest.mark.parametrize(
    ("written", "reading", "row"),
    [
        ("C9", XLSX, 3),
        ("Sheet1!c9", XLSX, 3),
        ("row 9", XLSX, 3),
        ("B7", XLSX, None),  # an empty row
        ("line 12,000", CSV, 11999),
        ("line 1", CSV, None),  # the header
        ("record 6", {}, 6),
        ("FR-75", CSV, None),
        ("7", CSV, None),
    ],
)
def test_a_place_that_a_person_writes_is_found(written: str, reading: dict[str, Any], row: int | None) -> None:
    assert record_at(written, reading) == row


def test_cells_are_named_as_excel_does() -> None:
    assert [cell_name(7, column) for column in (1, 3, 26, 27, 52, 703)] == ["A7", "C7", "Z7", "AA7", "AZ7", "AAA7"]


def test_one_of_a_thing_is_no_plural() -> None:
    assert [counted(number, "warning") for number in (0, 1, 2, 1000)] == [
        "0 warnings",
        "1 warning",
        "2 warnings",
        "1,000 warnings",
    ]
    assert counted(2, "child", "children") == "2 children"


def test_what_was_probably_meant() -> None:
    known = ("max_errors", "max_error_ratio", "dryRun")
    assert meant("max_error", known) == " Did you mean max_errors?"
    assert meant("DRYRUN", known) == " Did you mean dryRun?"
    assert meant("zzz", known) == ""


def test_a_workbook_with_empty_rows_and_a_header_further_down(tmp_path: Path) -> None:
    """A finding's cell is the one that a person sees in Excel."""
    with xlsxwriter.Workbook(tmp_path / SOURCE) as book:
        sheet = book.add_worksheet("Our list")
        sheet.write_row(2, 1, ["id", "parentId", "name", "left", "kind", "numeric_code"])  # B3:G3
        sheet.write_row(3, 1, ["FR", "", "France", "x", "Country", "250"])
        sheet.write_row(7, 1, ["FR-75", "XX", "Paris", "x", "City", "1"])  # after three empty rows
        sheet.write_row(8, 1, ["DE", "", "Germany", "x", "Country", "many"])
        sheet.write_row(10, 1, ["FR", "", "France", "x", "Country", "250"])
        book.add_worksheet("Others").write(0, 0, "more")
    wanted = Options(without=("left",))
    found = validate(tmp_path, load_dataset("places"), "a.xlsx", "run", None, wanted, lambda wanted: None)
    assert found.reading["sheets"] == 2
    with duckdb.connect() as connection:
        told = connection.execute(f"select code, place, row, line from '{tmp_path}/report/findings.parquet' where row > 0")
        places = {code: (place, row, line) for code, place, row, line in told.fetchall()}
    assert places == {
        "missing_parent": ("'Our list'!C8", 2, 8),
        "invalid_type": ("'Our list'!G9", 3, 9),
        "duplicate_id": ("'Our list'!B11", 4, 11),
    }
    assert place_of_record(2, found.reading) == "'Our list' row 8"
    groups = (tmp_path / "report" / "groups.json").read_text()
    assert "'Our list'!C8" in groups
