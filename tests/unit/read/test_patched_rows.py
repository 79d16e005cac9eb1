"""Edits are applied to the rows that a reader made, in each format and shape; rows keep their numbers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from pipeline.contracts.options import Options
from pipeline.contracts.patches import CORRECTION_FILE, Correction, applied_in, applied_key
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import RejectedFile, Unreadable
from pipeline.staging.cast import stage
from pipeline.validate.row_balance import check_rows
from tests.support.staging import opened, read_into

RECORDS = load_dataset("records")
Rows = list[tuple[Any, ...]]
Patched = Callable[..., tuple[Rows, Rows]]
Cells = Sequence[tuple[int, str, str | None]]


@pytest.fixture
def patched(tmp_path: Path) -> Patched:
    """Read a file with edits; gives (row, line, id, parentId, name) of its records, and (code, row, column) of its findings."""

    def run(content: str | bytes, cells: Cells = (), skipped: Sequence[int] = (), **options: Any) -> tuple[Rows, Rows]:
        (tmp_path / "source").write_bytes(content.encode() if isinstance(content, str) else content)
        (tmp_path / CORRECTION_FILE).write_bytes(Correction("ab", cells, skipped).to_bytes())
        dataset = RECORDS.for_upload(Options(patch="any", **options))
        reading = read_into(tmp_path / "staging.duckdb", tmp_path / "source", dataset, options=dataset.options)
        with opened(tmp_path / "staging.duckdb") as connection:
            rows = connection.execute(
                """select _row, first_line + _row - first_row, id, "parentId", name
                from raw asof left join lines on _row >= first_row order by _row"""
            ).fetchall()
            found = connection.execute('select code, row, "column" from findings order by row nulls first, code').fetchall()
            ((malformed,),) = connection.execute("select count(*) from malformed").fetchall()
            stage(connection, dataset)
            check_rows(connection)
        assert (reading.records, reading.left_out) == (len(rows) + malformed, len(skipped))
        return rows, found

    return run


LINES = [("1", None, "a"), ("2", "1", "b"), ("3", "9", "c"), ("4", "1", "d")]
HEAD = ("id", "parentId", "name")


def to_csv() -> bytes:
    return ("\n".join([",".join(HEAD), *(",".join(cell or "" for cell in line) for line in LINES)]) + "\n").encode()


def to_json() -> bytes:
    return json.dumps([dict(zip(HEAD, line, strict=True)) for line in LINES]).encode()


def to_ndjson() -> bytes:
    return "\n".join(json.dumps(dict(zip(HEAD, line, strict=True))) for line in LINES).encode()


def to_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(zip(HEAD, line, strict=True)) for line in LINES]), file)
    return file.getvalue()


def to_xlsx() -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for row, cells in enumerate([HEAD, *LINES]):
            for column, cell in enumerate(cells):
                sheet.write_string(row, column, cell or "")
    return file.getvalue()


@pytest.mark.parametrize("write", [to_csv, to_json, to_ndjson, to_parquet, to_xlsx])
def test_cells_are_changed_and_rows_left_out_in_every_format(patched: Patched, write: Callable[[], bytes]) -> None:
    rows, found = patched(write(), [(3, "parentId", "1"), (3, "name", "ć"), (4, "parentId", None)], [2])
    assert [(row, *cells) for row, _, *cells in rows] == [(1, "1", None, "a"), (3, "3", "1", "ć"), (4, "4", None, "d")]
    assert [code for code, row, _ in found if row is None] == ["patched_file", "patched_file"]


def test_quoted_rows_and_blank_lines_keep_their_places(patched: Patched) -> None:
    file = 'id,parentId,name\n1,,"a\na"\n\n2,1,"b,\n""b"""\n\n3,1,c\n'
    rows, _ = patched(file, [(2, "name", 'x,"y"\nz'), (3, "id", "33")], [1])
    assert rows == [(2, 5, "2", "1", 'x,"y"\nz'), (3, 8, "33", "1", "c")]


def test_a_row_that_is_no_record_becomes_one_when_its_cells_are_filled(patched: Patched) -> None:
    file = "id,parentId,name\n1,,a\n2,1,b,c\n3,1\n4,1,d\n"
    assert [code for code, row, _ in patched(file)[1] if row in (2, 3)] == ["malformed_row", "malformed_row"]
    rows, found = patched(file, [(2, "id", "2"), (2, "parentId", "1"), (2, "name", "b, c")], [3])
    assert [cells for _, _, *cells in rows] == [["1", None, "a"], ["2", "1", "b, c"], ["4", "1", "d"]]
    assert [code for code, row, _ in found if row is not None] == []


def test_columns_are_those_of_the_file_and_edits_follow_the_mapping(patched: Patched) -> None:
    file = "Code;Above;Label\n1;;a\n2;9;b\n"
    mapping = {"Code": "id", "Above": "parentId", "Label": "name"}
    rows, _ = patched(file, [(2, "Above", "1"), (2, "Label", "B")], mapping=mapping)
    assert rows == [(1, 2, "1", None, "a"), (2, 3, "2", "1", "B")]


def test_rows_that_a_rule_leaves_out_are_counted_before_the_edits(patched: Patched) -> None:
    file = "id,parentId,name\nnote,,x\n1,,a\n2,9,b\n3,1,c\n"
    rows, _ = patched(file, [(2, "parentId", "1")], [3], clean={"skip_rows": [2]})
    assert rows == [(1, 3, "1", None, "a"), (2, 4, "2", "1", "b")]


def test_parents_of_a_data_frame_stay_whole_numbers_beside_an_edit(patched: Patched) -> None:
    rows, _ = patched("id,parentId,name\n1,,a\n2,1.0,b\n3,7.0,c\n", [(3, "parentId", "2")])
    assert [parent for _, _, _, parent, _ in rows] == [None, "1", "2"]


def test_a_hierarchy_is_made_of_the_edited_cells(patched: Patched) -> None:
    shape = {"kind": "levels", "columns": ["Continent", "Country"]}
    file = "Continent,Country\nEurope,\nEuorpe,France\nAsia,Japan\nx,y\n"
    rows, found = patched(file, [(2, "Continent", "Europe")], [4], shape=shape)
    assert [(row, id_, parent) for row, _, id_, parent, _ in rows] == [
        (1, "Europe", None),
        (2, "Europe/France", "Europe"),
        (3, "Asia/Japan", "Asia"),
        (5, "Asia", None),
    ]
    assert "generated_records" in [code for code, *_ in found]


def test_new_values_are_checked_like_any_other(patched: Patched) -> None:
    _, found = patched(to_csv(), [(2, "id", "2\u200b"), (3, "id", " 3"), (4, "name", "a\0b"), (1, "id", "x" * 3_000)])
    assert {(code, row) for code, row, _ in found if row} == {
        ("invalid_character", 2),
        ("invalid_character", 3),
        ("invalid_character", 4),
        ("value_too_long", 1),
    }


@pytest.mark.parametrize(("cells", "skipped"), [([(9, "id", "x")], []), ([(1, "nam", "x")], []), ([], [9])])
def test_edits_that_do_not_fit_the_file_are_refused(patched: Patched, cells: Cells, skipped: list[int]) -> None:
    with pytest.raises(RejectedFile) as refused:
        patched(to_csv(), cells, skipped)
    assert refused.value.code == "patch_mismatch"


def test_a_file_of_which_nothing_is_left_is_empty(patched: Patched) -> None:
    with pytest.raises(Unreadable, match="leave out every row"):
        patched(to_csv(), [], [1, 2, 3, 4])


def test_a_correction_is_stored_and_named_by_its_content() -> None:
    one = Correction("ab", [(2, "b", None), (1, "a", "x\u0000ü")], [4, 3])
    other = Correction("ab", [(1, "a", "x\u0000ü"), (2, "b", None)], [3, 4])
    assert one.digest == other.digest
    assert Correction.from_bytes(one.to_bytes()) == Correction("ab", [(1, "a", "x\u0000ü"), (2, "b", None)], [3, 4])
    import_id = "0192f0c1-2a3b-7c4d-8e5f-0123456789ab"
    assert applied_in(applied_key(import_id, 7, one.digest)) == (import_id, 7)
    assert applied_in("incoming/places/x/y.csv") is None
    with pytest.raises(ValueError, match="no correction"):
        Correction.from_bytes(b"{}")
