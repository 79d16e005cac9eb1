"""What all shapes have in common: options, both columns, files of results, generated rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import load_dataset
from pipeline.datasets.shape_meta import KINDS, shape_of
from pipeline.display import line_of, record_at
from pipeline.errors import InvalidConfiguration, InvalidRequest, Unreadable
from pipeline.read.shapes.suggest import shape_suggestion
from pipeline.sandbox.validate_file import validate
from tests.support.shapes import RECORDS, shaped, table

PATH = {"kind": "path", "column": "path", "separator": "/"}
PATHS = table(("path", "x"), [("a/b", 1), ("a/c", 2)])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "levls"}, "Did you mean levels"),
        ({"kind": "levels"}, "needs columns"),
        ({"kind": "levels", "columns": "a"}, "a list of different texts"),
        ({"kind": "levels", "columns": ["a", "a"]}, "a list of different texts"),
        ({"kind": "path", "column": "a", "separator": "/", "deep": 1}, "no option 'deep'"),
        ({"kind": "prefix", "column": "a", "lengths": [0]}, "whole numbers from 1"),
        ({"kind": "prefix", "column": "a", "lengths": [1], "longest": True}, "one of them"),
        ({"kind": "nested", "children": "name"}, "which is a column too"),
        ({"kind": "path", "column": "a", "separator": "/", "name": "titel"}, "not a column of the dataset"),
        ({"kind": "outline", "column": "a", "comment": "#"}, "comment needs text"),
        ({"children": "a", "path_separator": "/"}, "one of them only"),
        ({"kind": ["path"]}, "does not exist"),
        ({"depth": 3}, f"one of {', '.join(KINDS)}"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_with_what_can(said: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        RECORDS.check_shape(said)
    suite = {**RECORDS.suite, "meta": {**RECORDS.suite["meta"], "shape": said}}
    if "column of the dataset" not in why and "column too" not in why:
        with pytest.raises(InvalidConfiguration, match=why):
            _ = replace(RECORDS, suite=suite).shape


def test_nested_is_the_old_children_and_the_old_keys_stay() -> None:
    assert shape_of({"kind": "nested", "children": "items"}) == shape_of({"children": "items"})
    assert shape_of({"path_separator": "/"}).path_separator == "/"
    assert shaped('[{"id":1,"items":[{"id":2}]}]', {"kind": "nested", "children": "items"}).parents == {"1": None, "2": "1"}


def test_the_shape_of_a_suite_is_used_unless_the_upload_says_another() -> None:
    suite = {**RECORDS.suite, "meta": {**RECORDS.suite["meta"], "shape": PATH}}
    dataset = replace(RECORDS, suite=suite)
    assert shaped(PATHS, {}, dataset).parents == {"a/b": "a", "a/c": "a", "a": None}
    codes, prefix = table(("code", "x"), [("1", 1), ("12", 2)]), {"kind": "prefix", "column": "code", "longest": True}
    assert shaped(codes, prefix, dataset).parents == {"1": None, "12": "1"}


def test_a_file_with_parents_too_is_refused_unless_it_is_one_of_results() -> None:
    content = table(("path", "x", "parentId", "row", "reason"), [("a/b", 1, "z", 4, "why")])
    with pytest.raises(Unreadable, match="a column of parents, parentId"):
        shaped(content, PATH)
    assert shaped(content, PATH, without=("row", "reason")).parents == {"a/b": "z"}


def test_generated_rows_have_numbers_after_the_file_and_no_line() -> None:
    found = shaped(PATHS, PATH)
    reading = {"lines": found.summary.lines, "members": 1}
    assert [line_of(row, reading) for row in (1, 2, 3)] == [2, 3, None]
    assert [record_at(f"line {line}", reading) for line in (2, 3, 4)] == [1, 2, None]
    assert found.summary.columns == ("id", "x", "parentId", "name", "generated")


def test_a_record_that_cannot_be_read_leaves_no_parent_certain() -> None:
    assert ("unclear_parents", None) in shaped("path,x\na/b,1\na,1,1\n", PATH).findings


def _validated(folder: Path, content: str, **options: Any) -> Any:
    (folder / "source").write_text(content, encoding="utf-8")
    return validate(folder, load_dataset("records"), "f.csv", "run", None, Options(**options), lambda asked: None)


def test_a_whole_validation_counts_generated_rows_and_quarantines_below_them(tmp_path: Path) -> None:
    counted = _validated(tmp_path, PATHS, shape=PATH)
    assert (counted.records, counted.errors, counted.by_code) == (3, 0, {"generated_records": 1})
    repeated = table(("path", "x"), [("a/b", 1), ("a/b", 2), ("c", 3)])
    held = _validated(tmp_path, repeated, shape=PATH, on_error=OnError.QUARANTINE)
    assert (held.records, held.quarantined) == (4, 2)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["level1", "level2", "level3"], '"columns": ["level1", "level2", "level3"]'),
        (["id", "name", "lft", "rgt"], '"left": "lft", "right": "rgt"'),
        (["id", "Full Path"], '"column": "Full Path"'),
        (["id", "items"], '"children": "items"'),
        (["Level", "name"], '"level": "Level"'),
        (["id", "name", "phone1"], ""),
        (["WBS", "Task Name"], '{"kind": "prefix", "column": "WBS", "separator": "."}'),
        (["SKU", "Product Category"], '{"kind": "path", "column": "Product Category", "separator": " > "}'),
        (["Account", "Balance"], '{"kind": "path", "column": "Account", "separator": ":"}'),
    ],
)
def test_columns_suggest_a_shape(names: list[str], said: str) -> None:
    found = shape_suggestion(names)
    assert said in found if said else found == ""


@pytest.mark.parametrize(
    ("second", "code", "hint"),
    [
        (1, "duplicate_id", "Keep one of these rows: both name the same path, and nothing else differs."),
        (2, "conflicting_duplicate", "The id is made of path. Keep one row for each; or, if they are records of their own,"),
    ],
)
def test_a_repeated_place_is_told_apart_from_a_repeated_row(tmp_path: Path, second: int, code: str, hint: str) -> None:
    counted = _validated(tmp_path, table(("path", "x"), [("a/b", 1), ("a/b", second)]), shape=PATH)
    assert counted.by_code == {code: second, "generated_records": 1}
    found = pq.read_table(tmp_path / "report" / "findings.parquet").to_pylist()
    assert {one["hint"][: len(hint)] for one in found if one["code"] == code} == {hint}
    own = _validated(tmp_path, table(("path", "x"), [("a/b", 1), ("a/b", 2)]), shape={**PATH, "id": "x"})
    assert own.errors == 0
