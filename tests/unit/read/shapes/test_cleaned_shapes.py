"""Values are cleaned before a shape makes ids and parents of them, and results files give the file's own values back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shapes import Shaped, archive, shaped, table

CLEAN = {"trim": True, "collapse_spaces": True, "case": "upper", "null_values": ["-"]}
LEVELS = {"kind": "levels", "columns": ["Region", "Country"]}
SPACE = st.sampled_from(["", " ", "  ", "\u00a0"])
WORDS = st.tuples(SPACE, st.sampled_from(["a", "A", "b", "a  B", "-", ""]), SPACE).map("".join)
CODES = st.tuples(SPACE, st.sampled_from(["a1", "A1", "a12", "A123", "b1", "a1-a2"]), SPACE).map("".join)
PATHS = st.lists(WORDS, min_size=1, max_size=3).map(">".join)
INDENTED = st.tuples(st.sampled_from(["", "\t", "\t\t"]), st.sampled_from(["a", "A ", "b  b", "é"])).map("".join)


def simply(text: str, lead: str = "") -> str:
    """The rules of CLEAN in Python, on what follows the indentation."""
    before = (re.match(lead, text) or [""])[0]
    rest = re.sub(r"\s+", " ", text[len(before) :].strip())
    return "" if rest == "-" else before + rest.upper()


def told(found: Shaped) -> list[tuple[str, int | None]]:
    return [(code, row) for code, row in found.findings if code != "cleaned_values"]


SHAPES: dict[str, tuple[dict[str, Any], Sequence[str], st.SearchStrategy[Any], str]] = {
    "levels": (LEVELS, ("Region", "Country"), st.tuples(WORDS, WORDS), ""),
    "levels with ids": ({**LEVELS, "id": "code"}, ("Region", "Country", "code"), st.tuples(WORDS, WORDS, CODES), ""),
    "levels filled down": ({**LEVELS, "fill_down": True}, ("Region", "Country"), st.tuples(WORDS, WORDS), ""),
    "path": ({"kind": "path", "column": "path", "separator": ">"}, ("path",), st.tuples(PATHS), ""),
    "path with ids": ({"kind": "path", "column": "path", "separator": ">"}, ("path", "id"), st.tuples(PATHS, CODES), ""),
    "prefix": ({"kind": "prefix", "column": "code", "longest": True}, ("code",), st.tuples(CODES), ""),
    "outline": ({"kind": "outline", "column": "name"}, ("name",), st.tuples(INDENTED), "\t*"),
    "outline by number": ({"kind": "outline", "level": "n"}, ("n", "id"), st.tuples(st.sampled_from("12"), CODES), ""),
    "outline by column": ({"kind": "outline", "columns": ["a", "b"]}, ("a", "b"), st.tuples(WORDS, WORDS), ""),
}


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=5, deadline=None)
@given(chosen=st.data())
def test_the_tree_is_that_of_a_file_cleaned_before(name: str, chosen: st.DataObject) -> None:
    shape, columns, cells, lead = SHAPES[name]
    rows = chosen.draw(st.lists(cells, min_size=1, max_size=6))
    numbered = [(*row, at) for at, row in enumerate(rows)]
    before = [(*(simply(cell, lead) for cell in row), at) for at, row in enumerate(rows)]
    found, expected = (
        shaped(table((*columns, "x"), numbered), shape, clean=CLEAN),
        shaped(table((*columns, "x"), before), shape),
    )
    assert found.rows == expected.rows
    assert told(found) == told(expected)
    assert [[row[column] or "" for column in columns] for row in found.originals[: len(rows)]] == [list(row) for row in rows]


def test_a_space_makes_no_second_node_if_the_upload_says_so() -> None:
    content = table(("Region", "Country"), [("Europe", "France"), (" Europe", "Spain"), ("Europe ", "")])
    found = shaped(content, LEVELS, clean={"trim": True})
    assert found.parents == {"Europe/France": "Europe", "Europe/Spain": "Europe", "Europe": None}
    assert found.messages == [
        'The rule trim changed 2 values (Region), for instance " Europe" -> "Europe", "Europe " -> "Europe".'
    ]
    assert [row["Region"] for row in found.originals] == ["Europe", " Europe", "Europe "]
    assert len(shaped(content, LEVELS).parents) == 5


@pytest.mark.parametrize("columns", [["id"], ["parentId"], ["Region"]])
def test_a_rule_for_ids_is_one_for_the_columns_that_they_are_made_of(columns: list[str]) -> None:
    content = table(("Region", "Country"), [("Europe", "France"), ("EUROPE", "Spain")])
    found = shaped(content, LEVELS, clean={"case": {"value": "upper", "columns": columns}})
    assert sum(parent is None for parent in found.parents.values()) == 1


def test_edges_are_cleaned_as_the_ids_that_they_name() -> None:
    content = archive(nodes="id,name\n a ,A\nB,B\n", edges="child,parent\nb,A\nA ,-\n")
    shape = {"kind": "edges", "file": "edges.csv", "id": "child", "parent": "parent"}
    found = shaped(content, shape, clean=CLEAN)
    assert found.parents == {"A": None, "B": "A"}
    assert [row["id"] for row in found.originals] == [" a ", "B"]
    assert not found.errors - {"cleaned_values"}


@pytest.mark.parametrize("clean", [{"trim": True}, {"trim": {"columns": ["id"]}}])
def test_nested_records_agree_with_the_cleaned_id_around_them(clean: dict[str, Any]) -> None:
    content = json.dumps([{"id": " 1", "items": [{"id": "2", "parentId": "1 "}, {"id": "3"}]}])
    found = shaped(content, {"kind": "nested", "children": "items"}, clean=clean)
    assert found.parents == {"1": None, "2": "1", "3": "1"}
    assert found.errors == {"cleaned_values"}


def test_ids_that_are_paths_are_cleaned_before_they_are_checked() -> None:
    found = shaped(table(("id", "x"), [("/a", 1), (" /a/b", 2)]), {"path_separator": "/"}, clean={"trim": True})
    assert found.parents == {"/a": None, "/a/b": "/a"}
    assert found.errors == {"cleaned_values"}


def test_nested_sets_are_read_after_cleaning() -> None:
    content = table(("id", "lft", "rgt"), [(" a", "1,000", "2,000"), ("b ", "1,100", "1,200")])
    clean = {"trim": True, "thousands": {"value": ",", "columns": ["lft", "rgt"]}}
    assert shaped(content, {"kind": "nested_set", "left": "lft", "right": "rgt"}, clean=clean).parents == {"a": None, "b": "a"}


RETRIED: dict[str, tuple[dict[str, Any], str]] = {
    "path": (SHAPES["path"][0], table(("path", "x"), [(" a > b", 1), ("a", 2), ("c", 3)])),
    "prefix": (SHAPES["prefix"][0], table(("code", "x"), [(" a1", 1), ("A12", 2)])),
    "outline": (SHAPES["outline"][0], table(("name", "x"), [("a ", 1), ("\tb  b", 2)])),
    "levels": (LEVELS, table(("Region", "Country", "x"), [(" a", "b", 1), ("a", "", 2)])),
    "a path called as the name": (
        {"kind": "path", "column": "name", "separator": ">"},
        table(("name", "x"), [("a >b", 1), ("a", 2)]),
    ),
}


@pytest.mark.parametrize("clean", [{}, CLEAN])
@pytest.mark.parametrize("name", RETRIED)
def test_a_file_of_results_becomes_the_same_records(name: str, clean: dict[str, Any]) -> None:
    shape, content = RETRIED[name]
    first = shaped(content, shape, clean=clean)
    header = [*first.originals[0], "row", "reason"]
    results = table(header, [(*(cell or "" for cell in row.values()), 1, "why") for row in first.originals])
    again = shaped(results, shape, clean=clean, without=("row", "reason"))
    assert [row[2:] for row in again.rows] == [row[2:] for row in first.rows]
