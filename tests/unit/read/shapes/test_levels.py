"""Levels: one column a level."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shapes import shaped, table

COLUMNS = ("Region", "Country", "City")
LEVELS: dict[str, Any] = {"kind": "levels", "columns": list(COLUMNS)}


def test_the_path_is_the_id_and_what_it_implies_is_generated_once() -> None:
    found = shaped(table(COLUMNS, [("Europe", "France", "Paris"), ("Europe", "France", "Lyon"), ("Asia", "", "")]), LEVELS)
    assert found.rows == [
        (1, 2, "Europe/France/Paris", "Europe/France", "Paris"),
        (2, 3, "Europe/France/Lyon", "Europe/France", "Lyon"),
        (3, 4, "Asia", None, "Asia"),
        (4, None, "Europe", None, "Europe"),
        (5, None, "Europe/France", "Europe", "France"),
    ]
    assert found.findings == [("generated_records", None)]
    assert (found.summary.records, found.summary.generated) == (5, 2)


def test_ids_of_their_own_are_the_parents_of_those_below() -> None:
    rows = [
        ("Europe", "", "", "E"),
        ("Europe", "France", "", "F"),
        ("Europe", "France", "Paris", "P"),
        ("Asia", "Japan", "", "J"),
    ]
    found = shaped(table((*COLUMNS, "code"), rows), {**LEVELS, "id": "code"})
    assert found.parents == {"E": None, "F": "E", "P": "F", "J": "Asia", "Asia": None}


def test_two_records_at_one_place_are_candidates_for_the_parent() -> None:
    rows = [("Europe", "", "", "1"), ("Europe", "", "", "2"), ("Europe", "France", "", "3")]
    found = shaped(table((*COLUMNS, "id"), rows), LEVELS)
    assert found.findings == [("ambiguous_parent", 3)]
    assert "1, 2" in found.messages[0]


def test_blank_levels_are_as_above_only_on_demand() -> None:
    content = table(COLUMNS, [("Europe", "France", "Paris"), ("", "", "Lyon"), ("", "Spain", "Madrid"), ("Asia", "", "Tokyo")])
    filled = shaped(content, {**LEVELS, "fill_down": True, "separator": " > "})
    assert [row[2] for row in filled.rows[:3]] == [
        "Europe > France > Paris",
        "Europe > France > Lyon",
        "Europe > Spain > Madrid",
    ]
    assert ("level_gap", 4) in filled.findings
    assert [row for code, row in shaped(content, LEVELS).findings if code == "level_gap"] == [2, 3, 4]


def test_a_separator_that_names_contain_is_a_finding_where_ids_collide() -> None:
    rows = [("Music", "AC/DC"), ("Music/AC", "DC")]
    assert "ambiguous_parent" in shaped(table(("a", "b"), rows), {"kind": "levels", "columns": ["a", "b"]}).errors
    assert not shaped(table(("a", "b"), rows), {"kind": "levels", "columns": ["a", "b"], "separator": "|"}).errors


@pytest.mark.parametrize("fill_down", [False, True])
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.tuples(*[st.sampled_from(["", "a", "b"])] * 3), min_size=1, max_size=8))
def test_as_an_independent_implementation(fill_down: bool, rows: list[tuple[str, str, str]]) -> None:
    paths, refused = simple(rows, fill_down=fill_down)
    if not any(map(any, rows)):
        return
    found = shaped(table((*COLUMNS, "n"), [(*row, at) for at, row in enumerate(rows)]), {**LEVELS, "fill_down": fill_down})
    assert {row for code, row in found.findings if code == "level_gap"} == refused
    sound = [path for path in paths if path]
    nodes = {path[:depth] for path in sound for depth in range(1, len(path) + 1)}
    generated = {"/".join(path) for path in nodes - set(sound)}
    assert {row[2] for row in found.rows if row[1] is None} == generated
    expected = [("/".join(path), "/".join(path[:-1]) or None, path[-1]) for path in paths if path]
    assert [row[2:] for row in found.rows[: len(rows)] if row[0] not in refused and row[2]] == expected


def simple(rows: list[tuple[str, str, str]], *, fill_down: bool) -> tuple[list[tuple[str, ...]], set[int]]:
    """Return the path of each row, empty for one that has none, and the rows with a gap."""
    paths: list[tuple[str, ...]] = []
    refused, above = set(), list[str]()
    for number, row in enumerate(rows, 1):
        depth = max((at for at, cell in enumerate(row, 1) if cell), default=0)
        path = list(row[:depth])
        if fill_down:
            for at in range(depth):
                if not path[at] and path[:at] == above[:at] and at < len(above):
                    path[at] = above[at]
        whole = depth > 0 and all(path)
        refused |= {number} if depth and not whole else set()
        paths.append(tuple(path) if whole else ())
        above = path
    return paths, refused
