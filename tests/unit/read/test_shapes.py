"""Hierarchies that are not a column of parents: trees of nested JSON, and ids that are paths."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.errors import Unreadable
from pipeline.read import Limits
from pipeline.staging.cast import stage
from tests.support.staging import read_into, run_stage

RECORDS = load_dataset("records")
Rows = list[tuple[Any, ...]]
Shaped = Callable[..., tuple[Rows, Rows]]


def shaped(**shape: str) -> Dataset:
    """The records, with another shape."""
    return replace(RECORDS, suite={**RECORDS.suite, "meta": {**RECORDS.suite["meta"], "shape": shape}})


TREES, PATHS = shaped(children="children"), shaped(path_separator="/")


@pytest.fixture
def staged(tmp_path: Path, database: Path) -> Shaped:
    """Read and stage; gives (row, line, id, parentId, name, attributes) and (code, row, line, value) of the findings."""

    def run(content: str, dataset: Dataset, limits: Limits | None = None) -> tuple[Rows, Rows]:
        (tmp_path / "source").write_text(content, encoding="utf-8")
        read_into(database, tmp_path / "source", dataset, limits=limits)
        run_stage(stage, database, dataset)
        with duckdb.connect(str(database)) as connection:
            rows = connection.execute(
                """select _row, first_line + _row - first_row, id, "parentId", name, attributes
                from incoming asof left join lines on _row >= first_row order by _row"""
            ).fetchall()
            found = connection.execute("select code, row, line, value from findings order by row, code").fetchall()
        return rows, found

    return run


# --- Trees ---

TREE = """{"id": "1", "children": [
  {"name": "first", "children": [
    {"id": "3", "size": 3}], "id": "2"},
  {"id": "4", "parentId": "1", "children": []},
  {"id": 5, "children": null}
], "name": "root"}"""
FLAT = [
    (1, 1, "1", None, "root", "{}"),
    (2, 2, "2", "1", "first", "{}"),
    (3, 3, "3", "2", None, '{"size":"3"}'),
    (4, 4, "4", "1", None, "{}"),
    (5, 5, "5", "1", None, "{}"),
]


@pytest.mark.parametrize("content", [TREE, f"[{TREE}]", f"{TREE}\n"], ids=["object", "array", "ndjson"])
def test_a_tree_becomes_records_that_name_their_parents(staged: Shaped, content: str) -> None:
    assert staged(content, TREES) == (FLAT, [])


def test_an_empty_parent_is_none_that_contradicts_the_tree(staged: Shaped) -> None:
    rows, found = staged('{"id":"a","parentId":"","children":[{"id":"b","parentId":""}]}', TREES)
    assert [row[2:4] for row in rows] == [("a", None), ("b", "a")]
    assert found == []


def test_many_trees_are_one_forest(staged: Shaped) -> None:
    rows, found = staged('{"id":"a","children":[{"id":"b"}]}\n{"id":"c"}\n{"id":"d","children":[{"id":"e"}]}', TREES)
    assert [row[1:4] for row in rows] == [(1, "a", None), (1, "b", "a"), (2, "c", None), (3, "d", None), (3, "e", "d")]
    assert found == []


def test_the_names_are_mapped_in_trees_too(staged: Shaped) -> None:
    dataset = shaped(children="items")
    dataset.suite["meta"]["mapping"] = {"aliases": {"id": ["code"], "parentId": ["under"]}}
    rows, found = staged('{"code":"a","items":[{"code":"b","under":"a"},{"code":"c"}]}', dataset)
    assert [row[2:4] for row in rows] == [("a", None), ("b", "a"), ("c", "a")]
    assert found == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"id":"1","children":[{"id":"2",\n"parentId":"7"}]}', [("malformed_row", 2, 1, "7")]),
        ('{"children":[{"id":"2"}],"name":"x"}', [("malformed_row", 2, 1, None)]),
        ('{"id":"1","children":[2,\n{"id":"3"}]}', [("malformed_row", 2, 1, "2")]),
        ('{"id":"1","children":{"id":"2"}}', [("malformed_row", 1, 1, None)]),
        ('{"id":"1","children":[],"children":[{"id":"2"}]}', [("malformed_row", 1, 1, None)]),
    ],
    ids=["another_parent", "nameless_parent", "no_record", "no_list", "two_lists"],
)
def test_what_does_not_fit_into_a_tree_is_named(staged: Shaped, content: str, found: Rows) -> None:
    assert staged(content, TREES)[1] == found


def test_ten_thousand_levels_are_read_and_one_more_is_refused(staged: Shaped) -> None:
    def chain(levels: int) -> str:
        return "".join(f'{{"id":"{n}","children":[' for n in range(levels)) + "]}" * levels

    rows, found = staged(chain(10_000), TREES)
    assert (len(rows), rows[-1][2:4], found) == (10_000, ("9999", "9998"), [])
    with pytest.raises(Unreadable, match="more than 10,000 deep"):
        staged(chain(10_001), TREES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"id":"1","children":[{"id":"2"}', "ends in the middle"),
        ('{"id":"1","children":[{"id":"2"},]}', "not valid JSON"),
        ('{"id":"1","children":[{"id":"2",}]}', "expected a key"),
        ('{"id":"1","children":[]]}', "expected ','"),
        ('{"id":"1" "children":[]}', "expected ','"),
        ('{"id":"1","name":"' + "x" * 5000 + '"}', "longer than"),
        ('{"id":"1",' + ",".join(f'"c{n}":"{"x" * 500}"' for n in range(9)) + "}", "longer than"),
    ],
)
def test_a_tree_that_is_no_json_is_refused(staged: Shaped, content: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        staged(content, TREES, Limits(record_bytes=3000))


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_tree_is_the_same_however_the_text_is_cut(database: Path, tmp_path: Path, cut: int) -> None:
    from pipeline.read.formats.json_records import read_lines
    from pipeline.read.raw_tables import RawTables

    text = TREE.encode()
    with duckdb.connect(str(database)) as connection, RawTables(connection, TREES, Limits(), tmp_path) as staging:
        read_lines(iter([text[at : at + cut] for at in range(0, len(text), cut)]), staging)
        rows = staging.connection.execute('select _row, id, "parentId", name from raw order by _row').fetchall()
    assert rows == [(row, *rest) for row, _, *rest, _ in FLAT]


def test_without_a_shape_children_are_a_value_like_any_other(staged: Shaped) -> None:
    rows, _ = staged('{"id":"1","parentId":null,"children":[{"id":"2"}]}', RECORDS)
    assert [(row[2], json.loads(json.loads(row[5])["children"])) for row in rows] == [("1", [{"id": "2"}])]


def test_a_flat_file_without_parents_is_no_tree(staged: Shaped) -> None:
    with pytest.raises(Unreadable, match="lacks the column parentId"):
        staged('[{"id":"1"},{"id":"2"}]', TREES)


# --- Paths ---


@pytest.mark.parametrize("lead", ["/", ""], ids=["leading", "bare"])
@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_parent_is_the_path_without_its_last_step(staged: Shaped, lead: str, form: str) -> None:
    ids = [f"{lead}{path}" for path in ("a", "a/b", "a/b/ç 1", "d")]
    content = "id,name\n" + "".join(f"{one},x\n" for one in ids) if form == "csv" else json.dumps([{"id": one} for one in ids])
    rows, found = staged(content, PATHS)
    assert [row[2:4] for row in rows] == [(ids[0], None), (ids[1], ids[0]), (ids[2], ids[1]), (ids[3], None)]
    assert found == []


def test_a_separator_may_be_long(staged: Shaped) -> None:
    rows, _ = staged("id,name\na::b::c,x\n", shaped(path_separator="::"))
    assert rows[0][2:4] == ("a::b::c", "a::b")


def test_what_is_no_path_is_named_with_its_line(staged: Shaped) -> None:
    _, found = staged("id,name\n/a,x\n\n/a//b,x\n/a/,x\nb,x\n/,x\n", PATHS)
    assert found == [
        ("malformed_path", 2, 4, "/a//b"),
        ("malformed_path", 3, 5, "/a/"),
        ("malformed_path", 4, 6, "b"),
        ("malformed_path", 5, 7, "/"),
    ]


def test_paths_with_a_column_of_parents_are_ambiguous(staged: Shaped) -> None:
    with pytest.raises(Unreadable) as caught:
        staged("id,parentId\n/a,\n", PATHS)
    assert caught.value.code == "duplicate_column"
    assert "before the last '/'" in caught.value.hint
