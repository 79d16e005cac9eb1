"""Trees of nested JSON, against a simple implementation. Given trees are in tests/unit/read/test_shapes.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read import Limits
from tests.support.reading import read_bytes

RECORDS = load_dataset("records")

OWN = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "", None, 7]),
        "parentId": st.sampled_from(["a", None, ""]),
        "name": st.sampled_from(["x", '"]}', "é", None]),
    },
)
NODES: st.SearchStrategy[Any] = st.recursive(
    OWN,
    lambda inner: st.builds(
        lambda own, items, first: {"items": items, **own} if first else {**own, "items": items},
        OWN,
        st.lists(st.one_of(inner, inner, inner, st.sampled_from([3, "a", [{"id": "z"}]])), max_size=3)
        | st.sampled_from([None, {"id": "z"}, "a"]),
        st.booleans(),
    ),
    max_leaves=6,
)
WRITTEN: dict[str, Callable[[Any], str]] = {
    "array": json.dumps,
    "indented": lambda trees: json.dumps(trees, indent=1),
    "lines": lambda trees: "\n".join(map(json.dumps, trees)),
}


@settings(max_examples=12, deadline=None)
@given(trees=st.lists(NODES, min_size=1, max_size=5), way=st.sampled_from([*WRITTEN]), size=st.integers(1, 60))
def test_as_an_independent_implementation(trees: list[Any], way: str, size: int) -> None:
    content, shape = WRITTEN[way](trees), {"kind": "nested", "children": "items"}
    expected = simple(trees)
    if expected is None:
        with pytest.raises(Unreadable, match="lacks the column"):
            read_bytes(content, RECORDS, Limits(chunk_bytes=size), shape=shape)
        return
    rows, wrong = expected
    seen = read_bytes(content, RECORDS, Limits(chunk_bytes=size), shape=shape)
    assert [row[:3] for row in seen.rows] == rows
    assert {finding[2] for finding in seen.findings if finding[1] == "error"} == wrong


def simple(trees: list[Any]) -> tuple[list[tuple[Any, ...]], set[int]] | None:
    """Return (id, parentId, name) of all records, and the rows that are wrong; None if the file is refused."""
    rows: list[tuple[Any, ...]] = []
    wrong, named, number, is_tree = set[int](), set[str](), 0, False

    def visit(node: Any, above: Any, is_nested: bool) -> None:
        nonlocal number, is_tree
        number += 1
        if not isinstance(node, dict):
            wrong.add(number)
            return
        named.update(node)
        is_tree |= is_nested or "items" in node
        key, parent, below = (node.get(name) for name in ("id", "parentId", "items"))
        key = None if key in (None, "") else str(key)
        if is_nested and (not above or parent not in (None, "", above)):
            wrong.add(number)
        if below is not None and not isinstance(below, list):
            wrong.add(number)
        rows.append((key, parent or above or None, node.get("name")))
        for one in below if isinstance(below, list) else ():
            visit(one, key, True)

    for tree in trees:
        visit(tree, None, False)
    return (rows, wrong) if "id" in named and ("parentId" in named or is_tree) else None
