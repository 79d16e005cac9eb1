"""What became of a file's rows, as files: every row once, all its columns, and the exact ones read like the file itself."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from pipeline.contracts.object_keys import RowOutcome, added_names, results_file
from pipeline.contracts.options import DETECTED, Options
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.orchestration.result_files import FATES_SCHEMA
from pipeline.read import FileSummary
from pipeline.sandbox.write_results import FATES, RESULTS, DefaultOutcome, _write, write_results
from pipeline.settings import ROOT
from pipeline.staging.cast import original_names
from tests.support.staging import SHARED, read_into

Row = dict[str, str | None]
NAMES = ["id", "Parent", "parentId", "a, b", "code"]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("records", ROOT)


def as_csv(rows: list[Row], to: Path, delimiter: str = ",") -> None:
    with to.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(NAMES)
        writer.writerows([[row[name] or "" for name in NAMES] for row in rows])


def as_xlsx(rows: list[Row], to: Path) -> None:
    with xlsxwriter.Workbook(to, {"strings_to_urls": False}) as book:
        sheet = book.add_worksheet()
        for line, cells in enumerate([NAMES, *([row[name] or "" for name in NAMES] for row in rows)]):
            for column, cell in enumerate(cells):
                sheet.write_string(line, column, cell or "")


def as_gzip(rows: list[Row], to: Path) -> None:
    as_csv(rows, to, "\t")
    to.write_bytes(gzip.compress(to.read_bytes(), mtime=0))


def as_parquet(rows: list[Row], to: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in NAMES])), to)


WRITERS: dict[str, Callable[[list[Row], Path], object]] = {
    "csv": as_csv,
    "semicolons": lambda rows, to: as_csv(rows, to, ";"),
    "tabs in gzip": as_gzip,
    "json": lambda rows, to: to.write_text(json.dumps(rows)),
    "ndjson": lambda rows, to: to.write_text("\n".join(map(json.dumps, rows))),
    "parquet": as_parquet,
    "xlsx": as_xlsx,
}

TEXT = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8))
ROWS = st.lists(
    st.fixed_dictionaries({"id": st.from_regex("[a-z0-9=]{1,6}", fullmatch=True), **dict.fromkeys(NAMES[1:], TEXT)}),
    min_size=1,
    max_size=12,
)


def write(
    folder: Path, dataset: Dataset, fates: dict[int, RowOutcome], *forms: str, others: RowOutcome = RowOutcome.SUCCEEDED
) -> dict[RowOutcome, int]:
    """Sort the rows of ``source``; those that are not named are ``others``."""
    said = [list(fates), [str(one) for one in fates.values()], ["why"] * len(fates), ["because"] * len(fates)]
    arrays = [pa.array(column, field.type) for column, field in zip(said, FATES_SCHEMA, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=FATES_SCHEMA), folder / FATES)
    return write_results(folder, dataset, DETECTED, DefaultOutcome(RowOutcome.SUCCEEDED), dict.fromkeys(RowOutcome, forms))


def raw(source: Path, dataset: Dataset) -> tuple[FileSummary, list[tuple[Any, ...]]]:
    """How a file is read, and its rows by the names of the file."""
    reading = read_into(SHARED, source, dataset)
    names = ", ".join(f'"{name}"' for name in reading.columns)
    with duckdb.connect(str(SHARED)) as connection:
        return reading, connection.execute(f"select {names} from raw order by _row").fetchall()


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, data=st.data())
def test_every_row_is_in_one_file_exactly_and_is_read_from_it_as_it_was(
    form: str, rows: list[Row], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, dataset: Dataset
) -> None:
    folder = tmp_path_factory.mktemp("results")
    WRITERS[form](rows, folder / "source")
    reading, whole = raw(folder / "source", dataset)
    assert len(whole) == len(rows)
    fates = {
        row: fate
        for row in range(1, len(rows) + 1)
        if (fate := data.draw(st.sampled_from(RowOutcome))) is not RowOutcome.SUCCEEDED
    }
    counted = write(folder, dataset, fates, "native", "parquet")
    assert sum(counted.values()) == len(rows)
    facts = {"format": reading.format}
    added = added_names(reading.original_columns)
    for exact in ("native", "parquet"):
        found: dict[int, tuple[Any, ...]] = {}
        for fate, number in counted.items():
            file = folder / RESULTS / results_file(fate, exact, facts)
            again, values = raw(file, dataset.ignoring(added))
            assert (again.original_columns, len(values)) == (reading.original_columns, number)
            numbers = [row for row in range(1, len(rows) + 1) if fates.get(row, RowOutcome.SUCCEEDED) is fate]
            found.update(zip(numbers, values, strict=True))
        assert [found[row] for row in sorted(found)] == whole


def test_the_columns_are_those_of_the_file_in_their_order_then_row_code_and_reason(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "source").write_text("Name;parentId;id;code\n=1+1;;007;x\nb;007;8;y\n")
    assert write(tmp_path, dataset, {2: RowOutcome.FAILED}, "native", "csv", "json") == {
        RowOutcome.SUCCEEDED: 1,
        RowOutcome.FAILED: 1,
    }
    exact = (tmp_path / RESULTS / "failed-exact.csv").read_text().splitlines()
    assert exact == ["Name;parentId;id;code;row;_code;reason", "b;007;8;y;2;why;because"]
    loaded = list(csv.reader(io.StringIO((tmp_path / RESULTS / "succeeded.csv").read_text())))
    assert loaded == [["Name", "parentId", "id", "code", "row", "_code", "reason"], ["'=1+1", "", "007", "x", "1", "", ""]]
    assert json.loads((tmp_path / RESULTS / "succeeded.json").read_text()) == [
        {"Name": "=1+1", "parentId": None, "id": "007", "code": "x", "row": 1, "_code": None, "reason": None}
    ]


def test_a_row_that_is_no_record_comes_with_its_text(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "source").write_text("id,parentId,name\n1,,a\n2,,b,too,many\n3,,c\n")
    assert write(tmp_path, dataset, {2: RowOutcome.FAILED, 3: RowOutcome.FAILED}, "native")[RowOutcome.FAILED] == 2
    exact = list(csv.reader(io.StringIO((tmp_path / RESULTS / "failed-exact.csv").read_text())))
    assert exact == [
        ["id", "parentId", "name", "row", "code", "reason", "text"],
        ["", "", "", "2", "why", "because", "2,,b,too,many\n"],
        ["3", "", "c", "3", "why", "because", ""],
    ]


TWICE = '[{"id": "1", "name": "a"}, {"id": "2", "name": "b", "name": "c"}, {"id": 1.5, "name": "d"}]'


def test_a_row_that_could_not_be_kept_whole_is_no_better_in_its_file(tmp_path: Path, dataset: Dataset) -> None:
    """A key that appears twice, an id that is none: a retry without a change must not load what is left of them."""
    (tmp_path / "source").write_text(TWICE.replace('"id": "1"', '"id": "1", "parentId": null'))
    write(tmp_path, dataset, {2: RowOutcome.FAILED, 3: RowOutcome.FAILED}, "native")
    failed = json.loads((tmp_path / RESULTS / "failed-exact.json").read_text())
    assert [(row["id"], row["name"], row["row"]) for row in failed] == [(None, None, 2), (None, None, 3)]
    assert [json.loads(row["text"]) for row in failed] == [
        {"id": "2", "parentId": None, "name": "c"},
        {"id": None, "parentId": None, "name": "d"},
    ]
    _, values = raw(tmp_path / RESULTS / "failed-exact.json", dataset.ignoring(("row", "code", "reason", "text")))
    assert values == [(None, None, None)] * 2


@pytest.mark.parametrize("long", ["x" * 32_768, "🚢" * 16_384])
def test_a_cell_that_no_workbook_holds_is_not_lost_silently(
    tmp_path: Path, database: Path, dataset: Dataset, long: str
) -> None:
    """The row says where it is whole, and fails again until it is filled; what just fits is there."""
    rows = [
        dict.fromkeys(NAMES, "") | {"id": "1", "a, b": "x" * 32_767},
        dict.fromkeys(NAMES, "") | {"id": "2", "a, b": "y"},
        dict.fromkeys(NAMES, "") | {"id": "3", "a, b": "🚢" * 16_383},
    ]
    as_xlsx(rows, tmp_path / "source")
    read_into(database, tmp_path / "source", dataset)
    with duckdb.connect(str(database)) as connection:
        connection.execute("""update raw set "a, b" = ? where id = '2'""", [long])
        folder = tmp_path / "book"
        folder.mkdir()
        connection.execute(
            "create table fated as select _row, null::varchar as text, 'failed' as fate, 'c' as code, 'r' as reason from raw"
        )
        _write(connection, original_names(connection), RowOutcome.FAILED, "native", {"format": "xlsx", "delimiter": ""}, folder)
    sheet = CalamineWorkbook.from_path(folder / "failed-exact.xlsx").get_sheet_by_index(0).to_python()
    by_row = {line[5]: line for line in sheet[1:]}
    assert (by_row[1][3], by_row[3][3]) == ("x" * 32_767, "🚢" * 16_383)
    assert by_row[2][:5] == [""] * 5
    assert (
        by_row[2][-1]
        == "A cell of this row has more than 32,767 characters, which a workbook cannot hold. The row is in failed.parquet."
    )


def test_what_is_left_out_may_bear_a_name_that_is_ours(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "source").write_text("id,parentId,row,_row,REASON\n1,,x,1,because\n")
    reading, rows = raw(tmp_path / "source", dataset.ignoring(("_row", "reason")))
    assert (reading.original_columns, rows) == (("id", "parentId", "row"), [("1", None, "x")])


def test_options_carry_what_is_left_out() -> None:
    asked = Options(without=("row", "code"))
    assert Options.from_json(asked.to_json()) == asked


def test_results_have_the_values_of_the_file_not_those_of_a_rule(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("id,parentId\n a,\n b, a\n c, a\nTotal,\n")
    asked = dataset.for_upload(Options(clean={"trim": True, "skip_rows": [3, 5]}))
    assert write(tmp_path, asked, {2: RowOutcome.FAILED}, "csv")[RowOutcome.FAILED] == 1
    succeeded, failed = (
        tmp_path / RESULTS / results_file(fate, "csv", {}) for fate in (RowOutcome.SUCCEEDED, RowOutcome.FAILED)
    )
    assert [line.split(",")[:3] for line in succeeded.read_text().splitlines()[1:]] == [[" a", "", "1"]]
    assert [line.split(",")[:3] for line in failed.read_text().splitlines()[1:]] == [[" c", " a", "2"]]
