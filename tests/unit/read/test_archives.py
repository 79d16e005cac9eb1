"""Archives as people and programs pack them: service files are passed over, folders' names may be columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


NAMES = st.lists(st.sampled_from(["region", "Region", "a b", "NAME", "ID", "y"]), max_size=3, unique=True)
VALUES = st.sampled_from([None, "EU", "a b", "a/b=%", "é"])
ANY_FOLDERS = NAMES.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, VALUES)))
SAME_FOLDERS = NAMES.flatmap(
    lambda names: st.lists(
        st.tuples(st.fixed_dictionaries(dict.fromkeys(names, VALUES)), st.just(False)), min_size=1, max_size=4
    )
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=SAME_FOLDERS | st.lists(st.tuples(ANY_FOLDERS, st.booleans()), min_size=1, max_size=3))
def test_folders_as_an_independent_implementation(reads: Reads, files: list[tuple[dict[str, str | None], bool]]) -> None:
    """Each file is in its folders, and some have a column y of their own."""
    parts = {}
    for number, (folders, has_y) in enumerate(files):
        path = "".join(f"{quote(name)}={'' if value is None else quote(value, safe='')}/" for name, value in folders.items())
        parts[f"t/{path}{number}.csv"] = f"id,parentId,name{',y' * has_y}\n{number},,n{',own' * has_y}\n"
    order = [number for _, number in sorted(zip(parts, range(len(files)), strict=True))]  # read in the order of their names
    files = [files[number] for number in order]
    expected = simple(files)
    if expected is None:
        with pytest.raises(Unreadable, match=r"must have the same columns|name a column y"):
            reads(parts)
        return
    rows, columns, refused = expected
    found_rows, found = reads(parts)
    assert [row[:3] for row in found_rows] == [(str(number), None, "n") for number in order]
    assert [sorted(filter(None, row[3:])) for row in found_rows] == rows
    told = found.get("folder_columns", [])
    assert [": ".join(one.split(": ")[1:]).partition(" is ")[0] for one in told] == [*columns, *refused]
    assert [" is not read" in one for one in told] == [False] * len(columns) + [True] * len(refused)


def simple(files: list[tuple[dict[str, str | None], bool]]) -> tuple[list[list[str]], list[str], list[str]] | None:
    """Return the values of each row, the columns read of the folders and the others; None if the archive is refused."""
    taken = {"id", "parentid", "name"} | ({"y"} if files[0][1] else set())
    columns, refused = list[str](), list[str]()
    for name in dict.fromkeys(name for folders, _ in files for name in folders):
        is_read = all(name in folders for folders, _ in files) and name.lower() not in taken
        (columns if is_read else refused).append(name)
        taken |= {name.lower()} if is_read else set()
    if len({has_y for _, has_y in files}) > 1:
        return None
    values = [[folders[name] for name in columns] + ["own"] * has_y for folders, has_y in files]
    return [sorted(filter(None, one)) for one in values], columns, refused
