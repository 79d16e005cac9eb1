"""Edges: nodes and edges in two files of an archive."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Unreadable
from tests.support.shapes import archive, shaped, table

EDGES = {"kind": "edges", "file": "edges.csv", "id": "child", "parent": "parent"}


@pytest.mark.parametrize("names", [("nodes", "edges"), ("edges", "nodes"), ("a/edges", "a/nodes")])
def test_the_edges_say_the_parents(names: tuple[str, str]) -> None:
    nodes, edges = table(("id", "name"), [(1, "a"), (2, "b")]), table(("child", "parent"), [(2, 1)])
    found = shaped(archive(**{name: edges if "edges" in name else nodes for name in names}), EDGES)
    assert (found.rows, found.findings) == ([(1, 2, "1", None, "a"), (2, 3, "2", "1", "b")], [])
    assert found.summary.members == 1


def test_two_parents_and_unknown_nodes_are_findings() -> None:
    content = archive(nodes=table(("id",), [(1,), (2,), (3,)]), edges=table(("child", "parent"), [(3, 1), (3, 2), (9, 1)]))
    found = shaped(content, EDGES)
    assert found.findings == [("several_parents", 3), ("unknown_node", None)]
    assert "1 (line 2) and 2 (line 3)" in found.messages[0]


def test_without_the_file_or_its_columns_the_archive_is_refused() -> None:
    nodes = table(("id", "name"), [(1, "a")])
    with pytest.raises(Unreadable, match=r"this one has: nodes.csv, others.csv"):
        shaped(archive(nodes=nodes, others=nodes), EDGES)
    with pytest.raises(Unreadable, match="only one file"):
        shaped(nodes, EDGES)
    with pytest.raises(Unreadable, match=r"In edges.csv: The file lacks the column child"):
        shaped(archive(nodes=nodes, edges=table(("kid", "parent"), [(1, "")])), EDGES)


def test_faults_of_the_edges_are_told_with_their_file() -> None:
    content = archive(nodes=table(("id", "name"), [(1, "a")]), edges="child,parent\n1\n")
    found = shaped(content, EDGES)
    assert found.findings == [("malformed_row", None)] or "edges.csv" in found.messages[0]


@settings(max_examples=10, deadline=None)
@given(edges=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=6))
def test_as_an_independent_implementation(edges: list[tuple[int, int]]) -> None:
    content = archive(
        nodes=table(("id", "n"), [(at, "") for at in range(1, 5)]), edges=table(("child", "parent"), [*edges, (1, "")])
    )
    found = shaped(content, EDGES)
    named = {child: {parent for one, parent in edges if one == child} for child in range(1, 5)}
    assert {row for code, row in found.findings if code == "several_parents"} == {
        one for one, some in named.items() if len(some) > 1
    }
    single = {str(one): str(min(some)) if some else None for one, some in named.items() if len(some) < 2}
    assert {one: parent for one, parent in found.parents.items() if one in single} == single


def test_a_file_of_edges_with_other_columns_is_refused_with_what_to_correct() -> None:
    shape = {"kind": "edges", "file": "edges.csv", "id": "child", "parent": "parent"}
    with pytest.raises(Unreadable, match=r"In edges\.csv: The file lacks") as refused:
        shaped(archive(nodes="id,name\n1,a\n", edges="Child,Parent\n1,\n"), shape)
    assert refused.value.hint.startswith('Correct "id" and "parent" in the shape')
