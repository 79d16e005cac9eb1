"""The files that a user downloads: complete, in the order of the rows, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.report.findings import FIELDS, Counted, as_json, write_findings
from pipeline.staging.database import FINDINGS
from tests.support.formula_cells import FORMULAS, HARMLESS
from tests.support.staging import empty, read_into, run_stage
from tests.support.tables import fill

Write = Callable[..., Counted]
CSV_FIELDS = ["place", "row", "id", "code", "severity", "column", "value", "message", "hint", "line", "related", "cycle"]


@pytest.fixture
def write(tmp_path: Path, database: Path) -> Write:
    """Write the report on these records (dictionaries) and findings (dictionaries) into ``tmp_path``/report."""

    def run(
        records: list[dict[str, str | None]], findings: list[dict[str, Any]], cycle_rows: list[list[str]] | None = None
    ) -> Counted:
        empty(database)
        names = list(dict.fromkeys(["id", *(name for record in records for name in record)]))
        with duckdb.connect(str(database)) as connection:
            quoted = ", ".join('"' + name + '" varchar' for name in names)
            connection.execute(f"create table raw (_row bigint, {quoted})")
            for number, record in enumerate(records, 1):
                marks = ", ".join("?" for _ in names)
                connection.execute(f"insert into raw values (?, {marks})", [number, *(record.get(n) for n in names)])
            connection.execute(FINDINGS)
            for finding in findings:
                values = {"code": "x", "severity": "error", "message": "Wrong.", **finding}
                marks = ", ".join("?" for _ in values)
                fields = ", ".join(f'"{name}"' for name in values)
                connection.execute(f"insert into findings ({fields}) values ({marks})", list(values.values()))
            connection.execute(
                "create table reading as select count(*) as records, $names as columns, $names as original_columns from raw",
                {"names": names},
            )
            connection.execute(
                "create table lines as select * from (values (1::bigint, 2::bigint), (3, 9)) t(first_row, first_line)"
            )
            connection.execute("create table cycle_rows (_row bigint)")
            for rows in cycle_rows or []:
                fill(connection, "cycle_rows", ([row] for row in rows))
        return run_stage(write_findings, database, load_dataset("records"), tmp_path / "report")

    return run


@pytest.fixture
def table(tmp_path: Path) -> Callable[[], list[dict[str, str]]]:
    """The rows of findings.csv."""
    return lambda: list(csv.DictReader(io.StringIO((tmp_path / "report" / "findings.csv").read_text(encoding="utf-8"))))


# --- Findings ---


def test_the_three_files_say_the_same_in_the_order_of_the_rows(
    write: Write, table: Callable[[], list[dict[str, str]]], tmp_path: Path
) -> None:
    counted = write(
        [{"id": "a", "name": "A"}, {"id": "b", "name": 'B, "b"\nb'}, {"id": "c", "name": None}],
        [
            {"row": 3, "code": "z", "column": "name", "value": "v", "hint": "h", "related": ["1", "2"]},
            {"row": 2, "code": "y", "severity": "warning"},
            {"row": 3, "code": "c", "cycle": ["a", "b", "a"], "line": 77},
            {"code": "file"},
        ],
    )
    assert counted == Counted(records=3, errors=3, warnings=1, invalid=1, by_code={"c": 1, "file": 1, "y": 1, "z": 1})
    as_table, as_array = table(), json.loads((tmp_path / "report" / "findings.json").read_bytes())
    as_parquet = duckdb.sql(f"from '{tmp_path / 'report' / 'findings.parquet'}'")
    order = [("file", None), ("y", 2), ("c", 3), ("z", 3)]
    assert [(f["code"], f["row"]) for f in as_array] == order
    assert [(f["code"], int(f["row"]) if f["row"] else None) for f in as_table] == order
    assert as_parquet.select("code", "row").fetchall() == order
    assert set(as_array[0]) == {*FIELDS, "id"} <= set(as_parquet.columns)
    assert list(as_table[0]) == [*CSV_FIELDS, "name"]
    assert as_array[3] == {
        "code": "z",
        "severity": "error",
        "message": "Wrong.",
        "place": "line 9",
        "row": 3,
        "line": 9,
        "column": "name",
        "value": "v",
        "hint": "h",
        "related": ["1", "2"],
        "cycle": None,
        "id": "c",
    }
    assert as_table[3]["related"] == "1 2" and as_table[2]["cycle"] == "a → b → a"
    assert [f["line"] for f in as_array] == [None, 3, 77, 9], "the line is that of the row, if nothing better is known"
    assert as_table[1]["name"] == 'B, "b"\nb' and as_table[1]["id"] == "b"


def test_no_findings_are_empty_files(write: Write, table: Callable[[], list[dict[str, str]]], tmp_path: Path) -> None:
    assert write([{"id": "a"}], []) == Counted(records=1, errors=0, warnings=0, invalid=0)
    assert json.loads((tmp_path / "report" / "findings.json").read_bytes()) == []
    assert table() == []
    assert (tmp_path / "report" / "findings.csv").read_text().startswith("place,row,id,code")


def test_every_finding_is_there(write: Write, table: Callable[[], list[dict[str, str]]], tmp_path: Path) -> None:
    write([{"id": str(number)} for number in range(300)], [{"row": number} for number in range(1, 301)] * 2)
    assert [int(row["row"]) for row in table()] == sorted([*range(1, 301)] * 2)


def test_the_rows_of_a_cycle_are_all_invalid(write: Write) -> None:
    records: list[dict[str, str | None]] = [{"id": str(number)} for number in range(5)]
    findings = [{"row": 2, "code": "circular_reference"}, {"row": 2}, {"row": 5, "severity": "warning"}]
    assert write(records, findings, cycle_rows=[["2", "3", "4"]]).invalid == 3


def test_a_columns_name_may_be_that_of_a_findings_field(
    write: Write, table: Callable[[], list[dict[str, str]]], tmp_path: Path
) -> None:
    write([{"id": "a", "code": "mine", "message": "hers", "row": "7"}], [{"row": 1}])
    lines = list(csv.reader(io.StringIO((tmp_path / "report" / "findings.csv").read_text())))
    assert lines[1][:4] == ["line 2", "1", "a", "x"]
    assert lines[1][len(CSV_FIELDS) :] == ["mine", "hers", "7"]


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_no_cell_is_a_formula(write: Write, table: Callable[[], list[dict[str, str]]], tmp_path: Path, text: str) -> None:
    """In the table a quote stands before it; in JSON and Parquet the value is as it was."""
    finding = dict.fromkeys(("column", "value", "message", "hint"), text)
    write([{"id": text, "name": text}], [{"row": 1, **finding, "related": [text], "cycle": [text]}])
    lines = list(csv.reader(io.StringIO((tmp_path / "report" / "findings.csv").read_bytes().decode(), newline="")))
    cells = dict(zip(lines[0], lines[1], strict=True))
    assert {cells[name] for name in ("id", "name", *finding, "related", "cycle")} == {"'" + text}
    (as_json,) = json.loads((tmp_path / "report" / "findings.json").read_bytes())
    assert as_json["value"] == as_json["id"] == text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_stays_as_it_is(write: Write, table: Callable[[], list[dict[str, str]]], text: str) -> None:
    write([{"id": "1", "name": text}], [{"row": 1, "value": text}])
    (row,) = table()
    assert (row["name"], row["value"]) == (text, text)


def test_a_columns_name_is_no_formula_either(write: Write, tmp_path: Path) -> None:
    write([{"id": "1", "=cmd()": "x"}], [{"row": 1}])
    header = (tmp_path / "report" / "findings.csv").read_text().splitlines()[0]
    assert "'=cmd()" in header


def test_a_document_is_for_people_too() -> None:
    assert as_json({"a": Path("x")}) == b'{\n  "a": "x"\n}'


def test_findings_of_an_archive_say_in_which_file_their_row_lies(tmp_path: Path, database: Path) -> None:
    with zipfile.ZipFile(tmp_path / "source", "w") as archive:
        archive.writestr("a.csv", "id,parentId,name\n1,,a\n")
        archive.writestr("b.csv", "id,parentId,name\n 2,,b\n1,2,c\n")
    dataset = load_dataset("records")
    read_into(database, tmp_path / "source", dataset)
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table cycle_rows (_row bigint)")
    run_stage(write_findings, database, dataset, tmp_path)
    (found,) = json.loads((tmp_path / "findings.json").read_text())
    assert (found["file"], found["row"], found["line"]) == ("b.csv", 2, 2)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "findings.csv").read_text()))
    assert row["file"] == "b.csv"
