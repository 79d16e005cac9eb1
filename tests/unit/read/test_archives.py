"""Archives as people and programs pack them: service files are passed over, folders' names may be columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read import read
from pipeline.read.containers.service_files import partition_of, split_service_files
from tests.support.workbooks import packed

RECORDS, PLACES = load_dataset("records"), load_dataset("places")
H = "id,parentId,name\n"
A, B = f"{H}1,,a\n", f"{H}2,1,b\n"

Reads = Callable[..., tuple[list[Any], dict[str, list[str]]]]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def run(parts: dict[str, str], dataset: Any = RECORDS, **options: Any) -> tuple[list[Any], dict[str, list[str]]]:
        (tmp_path / "source").write_bytes(packed(parts))
        with duckdb.connect() as connection:
            read(tmp_path / "source", dataset, connection=connection, options=ReadOptions(**options))
            found: dict[str, list[str]] = {}
            for code, message in connection.execute("select code, message from findings").fetchall():
                found.setdefault(code, []).append(message)
            return connection.execute("select * exclude (_row) from raw order by _row").fetchall(), found

    return run


def test_service_files_are_passed_over_and_told_once(reads: Reads) -> None:
    chaff = [
        "out/_SUCCESS",
        "out/.part-0.csv.crc",
        "Thumbs.db",
        "desktop.ini",
        "out/._a.csv",
        "README.md",
        "~$a.xlsx",
        "a.csv.md5",
    ]
    rows, found = reads({**dict.fromkeys(chaff, "x"), "out/a.csv": A, "__MACOSX/out/._a.csv": "x"})
    assert rows == [("1", None, "a")]
    assert list(found) == ["files_passed_over"]
    assert len(found["files_passed_over"]) == 1
    rows, found = reads({"a.csv": A, "b.csv": B, "_SUCCESS": ""})
    assert (len(rows), list(found)) == (2, ["files_passed_over"])
    assert "In " not in found["files_passed_over"][0][:3]


def test_what_macos_adds_is_nothing_to_tell(reads: Reads) -> None:
    assert reads({"a.csv": A, ".DS_Store": "x", "__MACOSX/._a.csv": "x"})[1] == {}


def test_a_text_is_a_table_unless_another_file_is(reads: Reads) -> None:
    assert split_service_files(["readme.txt"]) == (["readme.txt"], [])
    assert split_service_files(["readme.txt", "a.csv", "LICENSE"]) == (["a.csv"], ["readme.txt", "LICENSE"])
    assert split_service_files(["./a.csv", "readmes.csv", "my.licence.csv"])[1] == []
    with pytest.raises(Unreadable, match="no files but 1 that are no tables, such as _SUCCESS"):
        reads({"_SUCCESS": ""})


def test_folders_name_a_column(reads: Reads) -> None:
    rows, found = reads({"t/region=EU/a.csv": A, "t/region=North%20America/b.csv": B, "t/_SUCCESS": ""})
    assert rows == [("1", None, "a", "EU"), ("2", "1", "b", "North America")]
    assert found["folder_columns"] == [
        "The archive has folders named region=EU, region=North America: region is read from them as a column."
    ]
    assert reads({"region=EU/a.csv": A})[0] == [("1", None, "a", "EU")]
    assert reads({"name=EU/a.csv": A, "name=US/b.csv": B})[0] == [("1", None, "a"), ("2", "1", "b")]


@pytest.mark.parametrize(
    ("parts", "dataset", "why"),
    [
        ({"region=EU/a.csv": A, "b.csv": B}, RECORDS, "not all files are in such a folder"),
        ({"Name=EU/a.csv": A}, RECORDS, "the files have a column of that name"),
        (
            {"region=EU/a.csv": "id,parentId,name,kind,numeric_code\nFR,,France,Country,250\n"},
            PLACES,
            "the dataset places has no",
        ),
    ],
)
def test_a_folders_column_that_is_not_read_is_told(reads: Reads, parts: dict[str, str], dataset: Any, why: str) -> None:
    _, found = reads(parts, dataset)
    assert why in found["folder_columns"][0]


def test_partitions_are_decoded() -> None:
    assert partition_of("t/y=2024/m=%2B1/x.csv") == {"y": "2024", "m": "+1"}
    assert partition_of("t/y=__HIVE_DEFAULT_PARTITION__/x=1.csv") == {"y": None}


def test_a_delta_table_is_refused(reads: Reads) -> None:
    with pytest.raises(Unreadable, match="Delta Lake table, whose files also have rows that were deleted"):
        reads({"t/_delta_log/0.json": "{}", "t/a.csv": A})
