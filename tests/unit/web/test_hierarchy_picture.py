"""The picture of a hierarchy: boxes within the picture and their parents' rows, none over another, areas as the counts."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from pipeline.warehouse.dataset_numbers import TopRecord
from web.pages.hierarchy_picture import HEIGHT, TINTS, WIDTH, Box, icicle


def a_tree(seed: int, size: int = 400) -> tuple[list[TopRecord], int]:
    """A tree's records as a count keeps them, and how many there are."""
    chance = random.Random(seed)
    parents: dict[str, str | None] = {f"n{n}": None if n < 3 else f"n{chance.randrange(n)}" for n in range(size)}
    below, children, depths = dict.fromkeys(parents, 0), dict.fromkeys(parents, 0), dict[str, int]()
    for one, parent in parents.items():
        depths[one] = 0 if parent is None else depths[parent] + 1
        if parent is not None:
            children[parent] += 1
        while parent is not None:
            below[parent] += 1
            parent = parents[parent]
    order = sorted(parents, key=lambda one: (-below[one], depths[one], one))
    return [TopRecord(one, parents[one], depths[one], children[one], below[one]) for one in order], size


def area(box: Box) -> float:
    return box.width * box.height


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kept", [1, 50, 400])
def test_no_box_is_over_another_and_areas_are_as_the_counts(seed: int, kept: int) -> None:
    tree, records = a_tree(seed)
    top = tree[:kept]
    boxes = {box.id: box for box in icicle(top, records)}
    assert list(boxes) == [one.id for one in top]
    unit = area(boxes[top[0].id]) / (top[0].descendants + 1)
    for one in top:
        box = boxes[one.id]
        assert area(box) == pytest.approx((one.descendants + 1) * unit)
        assert box.weight == one.descendants + 1
        assert box.x >= 0 and box.x + box.width <= WIDTH + 1e-6
        assert box.y >= 0 and box.y + box.height <= HEIGHT + 1e-6
        if one.parent is not None:
            above = boxes[one.parent]
            assert box.x == pytest.approx(above.x + above.width)
            assert above.y - 1e-6 <= box.y and box.y + box.height <= above.y + above.height + 1e-6
    for depth in {box.depth for box in boxes.values()}:
        column = sorted((box for box in boxes.values() if box.depth == depth), key=lambda box: box.y)
        assert all(upper.y + upper.height <= lower.y + 1e-6 for upper, lower in pairwise(column))


def test_the_whole_height_is_that_of_all_records() -> None:
    tree, records = a_tree(1)
    assert sum(box.height for box in icicle(tree, records) if box.depth == 0) == pytest.approx(HEIGHT)
    assert sum(box.height for box in icicle(tree, 2 * records) if box.depth == 0) == pytest.approx(HEIGHT / 2)
    assert sum(box.height for box in icicle(tree, 0) if box.depth == 0) == pytest.approx(HEIGHT), "as if counted before"


def test_text_is_only_where_it_fits_and_levels_differ_in_colour() -> None:
    big = TopRecord("a", None, 0, 1000, 1000)
    low, none = TopRecord("b", "a", 1, 0, 0), icicle([], 0)
    boxes = icicle([big, low], 1001)
    assert (boxes[0].characters > 20, boxes[1].characters) == (True, 0)
    assert [box.tint for box in boxes] == [0, 1 % TINTS]
    assert none == []
