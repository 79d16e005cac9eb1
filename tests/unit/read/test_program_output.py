"""Texts that programs print for people, and other texts that are not quite CSV: read if that is certain, else named."""

from __future__ import annotations

import io
import json

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from tests.support.reading import read_bytes

RECORDS = load_dataset("records")
H = "id,parentId,name\n"
ROWS = [("1", None, "Europe", "{}"), ("2", "1", "France", "{}")]

READ = {
    "DuckDB's box": (
        "┌───────┬──────────┬─────────┐\n│  id   │ parentId │  name   │\n│ int32 │  int32   │ varchar │\n"
        "├───────┼──────────┼─────────┤\n│     1 │          │ Europe  │\n│     2 │        1 │ France  │\n"
        "└───────┴──────────┴─────────┘\n",
        "Spaces beside the lines",
    ),
    "Polars's frame": (
        "shape: (2, 3)\n┌─────┬──────────┬────────┐\n│ id  ┆ parentId ┆ name   │\n│ --- ┆ ---      ┆ ---    │\n"
        "│ i64 ┆ i64      ┆ str    │\n╞═════╪══════════╪════════╡\n│ 1   ┆          ┆ Europe │\n│ 2   ┆ 1        ┆ France │\n"
        "└─────┴──────────┴────────┘\n",
        "Spaces beside the lines",
    ),
    "SQL*Plus": (
        "        id   parentId name\n---------- ---------- ----------\n         1            Europe\n"
        "         2          1 France\n\n2 rows selected.\n",
        "as wide as the dashes",
    ),
    "a table of reStructuredText": (
        "==  ========  ======\nid  parentId  name\n==  ========  ======\n1             Europe\n2   1         France\n"
        "==  ========  ======\n",
        "as wide as the dashes",
    ),
    "marks where files were joined": (f"{H}1,,Europe\n\ufeff{H}2,1,France\n", "Byte order marks"),
}


@pytest.mark.parametrize(("text", "said"), READ.values(), ids=READ)
def test_what_a_program_printed_is_read_and_reported(text: str, said: str) -> None:
    seen = read_bytes(text, RECORDS)
    assert seen.rows == ROWS
    assert said in seen.message("unusual_format")
    assert {*seen.codes()} <= {"unusual_format", "skipped_lines"}


def test_several_spaces_or_one_separate_values_if_every_line_fits() -> None:
    three = read_bytes("id  parentId    name\n2   1           Old France\n3   1           Spain\n", RECORDS)
    assert [row[2] for row in three.rows] == ["Old France", "Spain"]
    assert "Two or more spaces" in three.message("unusual_format")
    one = read_bytes("id parentId name\n2 1 France\n3 1 Spain\n\n2 rows selected.\n", RECORDS)
    assert [row[2] for row in one.rows] == ["France", "Spain"]
    assert "A space separates" in one.message("unusual_format")


@pytest.mark.parametrize("delimiter", [None, "  "])
def test_columns_of_spaces_with_an_empty_value_are_refused(delimiter: str | None) -> None:
    text = "id  parentId  name\n1             Europe\n2   1         France\n"
    if delimiter is None:
        with pytest.raises(Unreadable, match="fixed width"):
            read_bytes(text, RECORDS)
    else:
        seen = read_bytes(text, RECORDS, delimiter=delimiter)
        assert [row[0] for row in seen.rows] == ["2"]
        assert "malformed_row" in seen.codes("error")


SKIPPED = {
    "units in brackets": (
        "id,parentId,name,area\n[-],[-],text,km2\n1,,Europe,1\n2,1,France,1\n",
        "line 2 (the columns' units)",
    ),
    "units": ("name,id,parentId,weight\n-,-,-,kg\nEurope,1,,1\nFrance,2,1,1\n", "line 2 (the columns' units)"),
    "a comment at the end": (f"{H}1,,Europe\n2,1,France\n# end of file\n", "line 4 (a comment)"),
    "a footer in words": (f"{H}1,,Europe\n2,1,France\nTotal rows: 2\n", "line 4 (a footer)"),
    "the header after a mark": (f"{H}1,,Europe\n2,1,France\n\ufeff{H}", "line 4 (the header again)"),
}


@pytest.mark.parametrize(("text", "said"), SKIPPED.values(), ids=SKIPPED)
def test_lines_that_are_no_records_are_skipped(text: str, said: str) -> None:
    seen = read_bytes(text, RECORDS)
    assert [row[0] for row in seen.rows] == ["1", "2"]
    assert said in seen.message("skipped_lines")


@pytest.mark.parametrize("row", ["kg,,kilogram", "m,-,km", "EU,-,kg", "1,,text", ",,a", ",,kg", ",,text", "-,-,a"])
def test_a_first_record_is_not_taken_for_units(row: str) -> None:
    assert len(read_bytes(f"{H}{row}\nx,,y\n", RECORDS).rows) == 2


def test_a_form_feed_at_the_end_is_a_blank_row() -> None:
    assert read_bytes(f"{H}1,,Europe\n2,1,France\n\f", RECORDS).codes() == ["blank_rows"]


COUNTS = {
    "psql": (f"{H}1,,Europe\n2,1,France\n(3 rows)\n", "error", "3 rows, but 2"),
    "Oracle": (f"{H}1,,Europe\n2,1,France\n\n1,200 rows selected.\n", "error", "1,200 rows, but 2"),
    "Hive": (f"{H}1,,Europe\n2,1,France\nFetched: 5 row(s)\n", "error", "5 rows, but 2"),
    "fewer": (f"{H}1,,Europe\n2,1,France\n(1 row)\n", "warning", "1 rows, but 2"),
    "the second table": (f"{H}1,,Europe\n(1 row)\n{H}2,1,France\n(2 rows)\n", "error", "2 rows, but 1"),
    "Spark": (f"{H}1,,Europe\n2,1,France\nonly showing top 2 rows\n", "error", "left out rows: line 4"),
    "dots": (f"{H}1,,Europe\n…,…,…\n2,1,France\n", "error", "left out rows: line 3"),
}


@pytest.mark.parametrize(("text", "severity", "said"), COUNTS.values(), ids=COUNTS)
def test_a_table_that_was_cut_off_is_a_finding(text: str, severity: str, said: str) -> None:
    seen = read_bytes(text, RECORDS)
    assert [row[0] for row in seen.rows] == ["1", "2"]
    ((found, message),) = [(one[1], one[4]) for one in seen.findings if one[0] == "incomplete_file"]
    assert said in message and found == severity


@pytest.mark.parametrize(
    "footer", ["(2 rows)", "2 rows in set (0.00 sec)", "(2 rows affected)", "(2 rows)\n\n(7 rows affected)"]
)
def test_footers_that_agree_are_no_finding(footer: str) -> None:
    assert read_bytes(f"{H}1,,Europe\n2,1,France\n{footer}\n", RECORDS).codes() == ["skipped_lines"]


REFUSED = {
    "the output of tree": (".\n├── Europe\n│   ├── France\n│   └── Spain\n└── Asia\n", "the output of tree", '"path"'),
    "paths": ("/srv\n/srv/a\n/srv/a/x.txt\n/srv/b\n", "a list of paths", '"separator": "/"'),
    "an outline": ("Europe\n\tFrance\n\t\tParis\n\tSpain\n", "an outline", '"text": true'),
    "LDIF": ("dn: cn=Ann,dc=a\ncn: Ann\n\ndn: cn=Bob,dc=a\ncn: Bob\n", "LDIF", "csvde"),
    "names and values": ("id: 1\nname: Europe\n\nid: 2\nname: France\n", "a list of names and values", "header"),
    "a table on its side": ("id,1,2\nparentId,,1\nname,Europe,France\n", "in the first column", "Transpose"),
    "typographic quotes": ("“id”,“parentId”\n“1”,\n", "typographic quotes", 'Replace them by "'),
    "U+2028": ("id,parentId\u20281,\u20282,1\u2028", "U+2028 (line separator)", "line ends"),
    "U+0085": ("id,parentId\x851,\x852,1\x85", "U+0085 (next line)", "line ends"),
    "R's write.table": ('"id" "parentId" "name"\n"1" 1 NA "x"\n"2" 2 1 "y"\n', "4 values", "row.names = FALSE"),
    "R's write.table with commas": ('"id","parentId"\n"1",1,NA\n"2",2,1\n', "has 3 fields", "row.names = FALSE"),
    "semicolons below commas": ("id,parentId,name\n1;;Europe\n2;1;France\n", "has 1 field", "records have semicolons"),
    "TOML": ("[[records]]\nid = 1\nparentId = 0\n", "is TOML", "yq"),
    "INI": ("; places\n[1]\nname=Europe\n\n[2]\nname=France\n", "configuration file (INI)", "as CSV"),
    "JSON in quotes": ('"{""id"":1}"\n"{""id"":2}"\n', "JSON within quotes", "NDJSON"),
    "Google's chart data": ('/*O_o*/\ngoogle.visualization.Query.setResponse({"version":"0.6"});', "JSONP", "callback"),
}


@pytest.mark.parametrize(("text", "said", "hint"), REFUSED.values(), ids=REFUSED)
def test_other_texts_are_named_with_what_to_do(text: str, said: str, hint: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(text, RECORDS)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_a_line_with_one_value_may_be_left_out() -> None:
    seen = read_bytes(f"{H}1,,Europe\n2,1,France\n\nGenerated on 2024-01-01\n", RECORDS)
    assert seen.codes("error") == ["malformed_row"]
    assert [row[0] for row in seen.rows] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "option", "said"),
    [
        (H + "1,,a\n", {"records_at": "data.items"}, "it is for JSON, and this is CSV"),
        (H + "1,,a\n", {"sheet": "Data"}, "it is for workbooks, and this is CSV"),
        (H + "1,,a\n", {"merged": "fill"}, "it is for workbooks, and this is CSV"),
        (json.dumps([{"id": "1", "parentId": None}]), {"header_row": 2}, "it is for CSV and Excel, and this is JSON"),
        (json.dumps([{"id": "1", "parentId": None}]), {"delimiter": ";"}, "it is for CSV, and this is JSON"),
    ],
)
def test_an_option_without_a_use_is_a_warning(text: str, option: dict[str, object], said: str) -> None:
    assert said in read_bytes(text, RECORDS, **option).message("unused_option")


DAMAGED = {
    "characters that were lost": ("\ufffdsterreich", "garbled_text", "U+FFFD"),
    "UTF-8 read as Windows-1252": ("NiederÃ¶sterreich", "garbled_text", "another encoding"),
    "typographic marks read so": ("Lâ€™Aquila", "garbled_text", "another encoding"),
    "an error": ("#NAME?", "spreadsheet_error", "errors of a spreadsheet"),
    "a text that Excel cut": ("x" * 32_767, "spreadsheet_error", "exactly 32,767 characters"),
}


@pytest.mark.parametrize(("name", "code", "said"), DAMAGED.values(), ids=DAMAGED)
def test_values_that_were_damaged_before_are_a_warning(name: str, code: str, said: str) -> None:
    seen = read_bytes(f"{H}1,,{name}\n2,1,b\n", RECORDS)
    assert seen.codes() == [code] and said in seen.message(code)


@pytest.mark.parametrize("name", ["Österreich", "São Paulo", "Ãlvaro", "Â", "#1", "x" * 32_766, "Đà Nẵng", "â", "東京"])
def test_other_values_are_not_taken_for_damaged(name: str) -> None:
    assert read_bytes(f"{H}1,,{name}\n", RECORDS).findings == []


def test_whole_numbers_with_a_decimal_comma_are_read_without() -> None:
    seen = read_bytes("id;parentId;name\n1,00;;a\n2,00;1,00;b\n", RECORDS)
    assert [row[:2] for row in seen.rows] == [("1", None), ("2", "1")]
    assert seen.codes() == ["whole_numbers"]
    thousands = read_bytes("id;parentId;name\n1,000;;a\n2,000;1,000;b\n", RECORDS)
    assert [row[0] for row in thousands.rows] == ["1,000", "2,000"]


# --- Against simple implementations ---

WORD = st.text("abcé1", min_size=1, max_size=6)
CELL = st.one_of(st.just(""), WORD, st.tuples(WORD, WORD).map(" ".join))


@given(st.lists(st.tuples(WORD, CELL, CELL), min_size=1, max_size=5), st.sampled_from([1, 2, 3]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_columns_as_wide_as_their_ruler_are_cut_there(rows: list[tuple[str, str, str]], gap: int, to_right: bool) -> None:
    table = [("id", "parentId", "name"), *rows]
    widths = [max(len(row[place]) for row in table) + 1 for place in range(3)]
    drawn = [
        (" " * gap).join(
            value.rjust(width) if to_right else value.ljust(width) for value, width in zip(row, widths, strict=True)
        )
        for row in table
    ]
    drawn.insert(1, (" " * gap).join("-" * width for width in widths))
    seen = read_bytes("\n".join(line.rstrip() for line in drawn) + "\n", RECORDS)
    assert [row[:3] for row in seen.rows] == [tuple(value or None for value in row) for row in rows]


@given(st.lists(st.tuples(WORD, CELL, CELL), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_box_gives_the_values_in_it(rows: list[tuple[str, str, str]]) -> None:
    table = [("id", "parentId", "name"), *rows]
    widths = [max(len(row[place]) for row in table) for place in range(3)]
    lines = ["│ " + " │ ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) + " │" for row in table]
    lines.insert(1, "├" + "┼".join("─" * (width + 2) for width in widths) + "┤")
    seen = read_bytes("\n".join(["┌" + "─" * (len(lines[0]) - 2) + "┐", *lines]), RECORDS)
    assert [row[:3] for row in seen.rows] == [tuple(value or None for value in row) for row in rows]


@given(st.lists(st.tuples(WORD, WORD, CELL.filter(bool)), min_size=1, max_size=5), st.data())
@settings(max_examples=25, deadline=None)
def test_several_spaces_are_one_delimiter(rows: list[tuple[str, str, str]], data: st.DataObject) -> None:
    gaps = st.integers(2, 5).map(lambda size: " " * size)
    lines = [data.draw(gaps).join(row) for row in [("id", "parentId", "name"), *rows]]
    seen = read_bytes("\n".join(lines) + "\n", RECORDS)
    assert [row[:3] for row in seen.rows] == rows


def test_a_workbook_says_what_it_has_beside_records() -> None:
    rows = [
        ["id", "parentId", "name"],
        ["[-]", "[-]", "[text]"],
        ["1", None, "a"],
        ["2", "1", "b"],
        ["(3 rows)"],
        ["Source: us"],
    ]
    seen = read_bytes(_workbook(rows, hidden=4), RECORDS)
    assert [row[0] for row in seen.rows] == ["1", "2", "Source: us"]
    assert (
        seen.message("skipped_lines") == "Rows that are no records were skipped: row 2 (the columns' units), row 5 (a footer)."
    )
    assert "3 rows, but 2" in seen.message("incomplete_file")
    assert seen.message("hidden_rows").startswith("Rows of the sheet are hidden, by hand or by a filter: 1.")
    assert "Source: us" in seen.message("totals_row")
    assert [row[0] for row in read_bytes(_workbook(rows), RECORDS, clean={"skip_totals": True}).rows] == ["1", "2"]


def test_a_workbook_with_whole_lines_in_a_column_is_recognised() -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(_workbook([["id;parentId;name"], ["1;;a"]]), RECORDS)
    assert "Text to Columns" in caught.value.hint


def _workbook(rows: list[list[str | None]], hidden: int = 0) -> bytes:
    """Return a workbook of these rows, of which one may be hidden."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    if hidden:
        book.active.row_dimensions[hidden].hidden = True
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()
