"""Nested sets: left and right."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Unreadable
from tests.support.shapes import shaped, table

SET = {"kind": "nested_set", "left": "lft", "right": "rgt"}


def rows(*some: tuple[object, object]) -> str:
    return table(("id", "lft", "rgt"), [(f"n{at}", *one) for at, one in enumerate(some)])


def test_the_parent_is_the_smallest_interval_around() -> None:
    assert shaped(rows((1, 6), (2, 5), (3, 4), (7, 8)), SET).parents == {"n0": None, "n1": "n0", "n2": "n1", "n3": None}


@pytest.mark.parametrize(
    ("some", "code"),
    [
        ([(1, 4), (2, 5)], "overlapping_intervals"),
        ([(1, 4), (3, 2)], "invalid_interval"),
        ([(1, 4), ("x", 3)], "invalid_interval"),
        ([(1, 4), (1, 3)], "invalid_interval"),
    ],
)
def test_intervals_that_are_no_tree_are_errors_of_the_whole_file(some: list[tuple[object, object]], code: str) -> None:
    found = shaped(rows(*some), SET)
    assert {code, "unclear_parents"} <= found.errors
    assert ("unclear_parents", None) in found.findings


def test_a_missing_column_is_named() -> None:
    with pytest.raises(Unreadable, match=r"lacks the column left. It has: id, lft, rgt"):
        shaped(rows((1, 2)), {**SET, "left": "left"})


@settings(max_examples=12, deadline=None)
@given(bounds=st.permutations(range(1, 11)), seed=st.integers(0, 1000))
def test_as_an_independent_implementation(bounds: list[int], seed: int) -> None:
    some = [tuple(sorted(bounds[at : at + 2])) for at in range(0, 10, 2)]
    if seed % 2:
        some = proper(random.Random(seed))
    around = [[other for other in some if other[0] < one[0] and one[1] < other[1]] for one in some]
    crossing = any(a[0] < b[0] < a[1] < b[1] for a in some for b in some)
    found = shaped(rows(*some), SET)
    assert ("overlapping_intervals" in found.errors) == crossing
    if not crossing:
        nearest = [some.index(max(one)) if one else None for one in around]
        assert [row[3] for row in found.rows] == [None if up is None else f"n{up}" for up in nearest]


def proper(chance: random.Random) -> list[tuple[int, int]]:
    """Return intervals that are a tree, in any order."""
    some, open_, bound = list[tuple[int, int]](), list[int](), 0
    while len(some) + len(open_) < 8 or open_:
        bound += 1
        if open_ and (chance.random() < 0.5 or len(some) + len(open_) >= 8):
            some.append((open_.pop(), bound))
        else:
            open_.append(bound)
    chance.shuffle(some)
    return some


def test_several_trees_in_one_table_are_told_apart_by_a_column() -> None:
    rows = [("a", 1, 1, 4), ("b", 1, 2, 3), ("c", 2, 1, 2)]
    content, shape = table(("id", "tree_id", "lft", "rgt"), rows), {"kind": "nested_set", "left": "lft", "right": "rgt"}
    found = shaped(content, {**shape, "tree": "tree_id"})
    assert (found.parents, found.findings) == ({"a": None, "b": "a", "c": None}, [])
    without = shaped(content, shape)
    assert "The intervals of 3 records are wrong" in without.messages[-1] or "of 3 records" in " ".join(without.messages)


def test_a_number_is_not_rounded() -> None:
    content = table(("id", "lft", "rgt"), [("a", "1.0", "4"), ("b", "1.5", "3")])
    assert ("invalid_interval", 2) in shaped(content, {"kind": "nested_set", "left": "lft", "right": "rgt"}).findings
