"""Files that Bulkhead wrote are recognised when they come back: by their columns and what is in them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from pipeline.contracts.options import Options
from pipeline.contracts.result_columns import import_in_name
from pipeline.datasets.dataset import load_dataset
from tests.support.staging import opened, read_into

Seen = Callable[..., tuple[tuple[str, ...], list[str]]]


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """Read a file; gives its columns and the codes of the findings."""

    def run(content: str | bytes, dataset: str = "places", **options: Any) -> tuple[tuple[str, ...], list[str]]:
        (tmp_path / "source").write_bytes(content.encode() if isinstance(content, str) else content)
        of = load_dataset(dataset).for_upload(Options(**options))
        reading = read_into(tmp_path / "staging.duckdb", tmp_path / "source", of, options=of.options)
        with opened(tmp_path / "staging.duckdb") as connection:
            codes = [code for (code,) in connection.execute("select code from findings order by code").fetchall()]
        return reading.original_columns, codes

    return run


OWN = ("id", "parentId", "name", "kind")
HEAD = "id,parentId,name,kind,row,code,reason"


@pytest.mark.parametrize(
    "file",
    [
        f"{HEAD}\nFR,,France,Country,7,missing_parent,No record has it.\n",
        f"{HEAD}\nFR,,France,Country,7,,\nDE,,Germany,Country,,,\n",
        f"{HEAD},text\nFR,,France,Country,7,malformed_row,Wrong.,\n,,,,9,malformed_row,Wrong.,x\n",
        '[{"id": "FR", "parentId": null, "name": "a", "kind": "b", "row": 7, "code": "x", "reason": "y"}]',
    ],
)
def test_a_file_of_results_is_recognised(seen: Seen, file: str) -> None:
    columns, codes = seen(file)
    assert columns == OWN
    assert codes == ["results_file"]


def test_names_that_the_file_had_itself_are_its_own(seen: Seen) -> None:
    file = "id,parentId,name,code,row,_code,reason\n1,,a,own,7,missing_parent,No record has it.\n"
    assert seen(file, "records") == (("id", "parentId", "name", "code"), ["results_file"])


@pytest.mark.parametrize(
    "file",
    [
        "id,parentId,name,row,code,reason\n1,,a,north,A1,\n",
        "id,parentId,name,row,code,reason\n1,,a,1,A 1,because\n",
        "id,parentId,name,row,code,reason\n1,,a,,A1,because\n",
        "id,parentId,name,code,row,reason\n1,,a,A1,1,because\n",
        "id,parentId,row,code,reason,name\n1,,1,A1,because,a\n",
    ],
)
def test_columns_that_only_have_such_names_are_data(seen: Seen, file: str) -> None:
    columns, codes = seen(file, "records")
    assert {"row", "code", "reason"} <= {*columns}
    assert "results_file" not in codes


def test_columns_that_are_mapped_are_data(seen: Seen) -> None:
    file = "id,parentId,row,code,reason\n1,,1,A1,because\n"
    assert "reason" in seen(file, "records", mapping={"reason": "name"})[0]


def workbook(*sheets: str, first: str = "line") -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        for sheet in sheets:
            page = book.add_worksheet(sheet)
            if sheet == "Records":
                page.write_row(0, 0, [first, *OWN])
                page.write_row(1, 0, [2, "FR", "", "France", "Country"])
                page.write_comment(1, 1, "missing_parent: ...")
            else:
                page.write_row(0, 0, ["code", "row"])
    return file.getvalue()


@pytest.mark.parametrize("first", ["line", "row", "record"])
def test_a_workbook_of_findings_is_recognised(seen: Seen, first: str) -> None:
    assert seen(workbook("Records", "About", "Findings", first=first)) == (OWN, ["results_file"])


def test_another_workbook_keeps_its_first_column(seen: Seen) -> None:
    columns, codes = seen(workbook("Records", "Notes"))
    assert columns == ("line", *OWN)
    assert codes == ["several_sheets", "unknown_column"]


def test_the_name_of_a_download_has_the_import() -> None:
    one = "0192f0c1-2a3b-7c4d-8e5f-0123456789ab"
    assert import_in_name(f"failed-{one} (1).csv") == import_in_name(f"findings-{one}.xlsx") == one
    assert import_in_name(f"places-{one}.csv") is None
