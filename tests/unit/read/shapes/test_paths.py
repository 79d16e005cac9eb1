"""Paths: one column with the whole path."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shapes import shaped, table

PATH = {"kind": "path", "column": "path", "separator": ">"}


def test_the_parent_is_the_path_without_its_last_step() -> None:
    found = shaped(table(("path", "size"), [("A > B > C", 1), ("A>D", 2)]), PATH)
    assert found.rows == [
        (1, 2, "A>B>C", "A>B", "C"),
        (2, 3, "A>D", "A", "D"),
        (3, None, "A>B", "A", "B"),
        (4, None, "A", None, "A"),
    ]


def test_with_ids_the_parent_is_looked_up_by_its_path() -> None:
    content = table(("id", "path", "name"), [(1, "/Europe", "EU"), (2, "/Europe/France", "FR"), (3, "/Asia/Japan", "JP")])
    found = shaped(content, {**PATH, "separator": "/"})
    assert found.parents == {"1": None, "2": "1", "3": "/Asia", "/Asia": None}
    assert [row[4] for row in found.rows] == ["EU", "FR", "JP", "Asia"]


def test_a_path_of_two_records_is_a_finding_below_it() -> None:
    found = shaped(table(("id", "path"), [(1, "A"), (2, "A"), (3, "A>B")]), PATH)
    assert found.findings == [("ambiguous_parent", 3)]


def test_paths_with_empty_steps_or_another_beginning_are_malformed() -> None:
    found = shaped(table(("path", "n"), [("/a", 1), ("/a//b", 2), ("b", 3), ("/c/", 4)]), {**PATH, "separator": "/"})
    assert [row for code, row in found.findings if code == "malformed_path"] == [2, 3, 4]


@settings(max_examples=12, deadline=None)
@given(
    paths=st.lists(
        st.lists(st.sampled_from(["a", "b", "c d"]), min_size=1, max_size=4), min_size=1, max_size=6, unique_by=tuple
    )
)
def test_as_an_independent_implementation(paths: list[list[str]]) -> None:
    found = shaped(table(("path", "n"), [(" > ".join(path), at) for at, path in enumerate(paths)]), PATH)
    nodes = {tuple(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    assert found.parents == {">".join(node): ">".join(node[:-1]) or None for node in nodes}
    assert found.summary.generated == len(nodes) - len(paths)
    assert not found.errors
