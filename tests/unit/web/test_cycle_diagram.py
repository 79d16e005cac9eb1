"""Circles as drawings: an arrow for each step, from box to box, and none where there is no whole circle to draw."""

from __future__ import annotations

import math
import re

import pytest

from web.pages.cycle_diagram import BOX_HEIGHT, BOX_WIDTH, BOXES_MAX, WIDTH, Arrow, Box, ring


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[0-9.]+),(-?[0-9.]+)", text)]


def distance(point: tuple[float, float], box: Box) -> float:
    """How far a point is from a box, 0 within it."""
    return math.hypot(max(abs(point[0] - box.x) - BOX_WIDTH / 2, 0), max(abs(point[1] - box.y) - BOX_HEIGHT / 2, 0))


def nearest(point: tuple[float, float], boxes: tuple[Box, ...]) -> str:
    return min(boxes, key=lambda box: distance(point, box)).id


@pytest.mark.parametrize("count", range(1, BOXES_MAX + 1))
def test_each_arrow_leads_from_a_record_to_its_parent(count: int) -> None:
    ids = [f"r{number}" for number in range(count)]
    drawn = ring([*ids, ids[0]])
    assert drawn is not None
    assert [box.id for box in drawn.boxes] == ids
    for number, arrow in enumerate(drawn.arrows):
        start, tip = points(arrow.line)[0], points(arrow.head)[0]
        assert (nearest(start, drawn.boxes), nearest(tip, drawn.boxes)) == (ids[number], ids[(number + 1) % count])
    for box in drawn.boxes:
        assert BOX_WIDTH / 2 <= box.x <= WIDTH - BOX_WIDTH / 2
        assert BOX_HEIGHT / 2 <= box.y <= drawn.height - BOX_HEIGHT / 2


@pytest.mark.parametrize("count", range(2, BOXES_MAX + 1))
def test_boxes_lie_apart(count: int) -> None:
    ids = [f"r{number}" for number in range(count)]
    drawn = ring([*ids, ids[0]])
    assert drawn is not None
    for number, box in enumerate(drawn.boxes):
        for other in drawn.boxes[number + 1 :]:
            assert abs(box.x - other.x) >= BOX_WIDTH or abs(box.y - other.y) >= BOX_HEIGHT


def test_two_arrows_between_two_boxes_are_two() -> None:
    drawn = ring(["a", "b", "a"])
    assert drawn is not None
    there, back = (points(arrow.line)[0][1] for arrow in drawn.arrows)
    assert abs(there - back) > 10


@pytest.mark.parametrize(
    "path",
    [[], ["a"], ["a", "b"], ["a", "…", "c"], [*map(str, range(BOXES_MAX + 1)), "0"], ["a", "b", "b", "a"]],
)
def test_an_incomplete_or_too_long_cycle_is_not_drawn(path: list[str]) -> None:
    assert ring(path) is None


def test_a_record_that_is_its_own_parent() -> None:
    drawn = ring(["a", "a"])
    assert drawn is not None
    (arrow,) = drawn.arrows
    assert isinstance(arrow, Arrow) and distance(points(arrow.head)[0], drawn.boxes[0]) == 0
