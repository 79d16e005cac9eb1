"""Compute the drawing of a circular reference: a box for each record, an arrow to its parent. Pure geometry.

A cycle that is too long, or only known in part, has no drawing (None): the page lists it as text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BOXES_MAX = 8
WIDTH, BOX_WIDTH, BOX_HEIGHT = 460, 120, 30
_ALONE_HEIGHT, _LEAST_HEIGHT, _HEIGHT_A_BOX = 90, 120, 42
_HEAD_LENGTH, _HEAD_WIDTH = 9, 4
_APART = 9
"""How far the two arrows between the same two boxes are moved from the straight line."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A record: its ID and the centre of its box."""

    id: str
    x: float
    y: float


@dataclass(frozen=True)
class Arrow:
    """A line as an SVG path, and its head as the points of a polygon."""

    line: str
    head: str


@dataclass(frozen=True)
class Ring:
    """The drawing: its height at the width WIDTH, its boxes and arrows."""

    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def ring(path: Sequence[str]) -> Ring | None:
    """Return the drawing of a closed path (a, b, a), each record before its parent; None if incomplete or too long."""
    ids = path[:-1] if len(path) > 1 and path[0] == path[-1] else []
    if not 1 <= len(ids) <= BOXES_MAX or len(set(ids)) < len(ids):
        return None
    if len(ids) == 1:
        return _alone(ids[0])
    height = max(_LEAST_HEIGHT, _HEIGHT_A_BOX * len(ids)) if len(ids) > 2 else _ALONE_HEIGHT
    boxes = tuple(Box(one, *_place(number, len(ids), height)) for number, one in enumerate(ids))
    pairs = zip(boxes, (*boxes[1:], boxes[0]), strict=True)
    return Ring(height, boxes, tuple(_arrow(box, above, apart=_APART if len(ids) == 2 else 0) for box, above in pairs))


def _place(number: int, count: int, height: int) -> Point:
    """Return a point on an ellipse; the points go clockwise, starting on the left."""
    angle = math.pi + 2 * math.pi * number / count
    across, down = (WIDTH - BOX_WIDTH) / 2 - 4, (height - BOX_HEIGHT) / 2 - 4
    return round(WIDTH / 2 + across * math.cos(angle), 1), round(height / 2 + down * math.sin(angle), 1)


def _arrow(box: Box, above: Box, *, apart: float) -> Arrow:
    """Return the arrow from the edge of one box to that of the other, ``apart`` to the left of the line between the centres."""
    along = _towards((box.x, box.y), (above.x, above.y))
    shift = (along[1] * apart, -along[0] * apart)
    start, end = _edge(box, along, shift), _edge(above, (-along[0], -along[1]), shift)
    neck = (end[0] - along[0] * _HEAD_LENGTH, end[1] - along[1] * _HEAD_LENGTH)
    return Arrow(f"M{_written(start)} L{_written(neck)}", _head(neck, end, along))


def _alone(record_id: str) -> Ring:
    """Return the drawing of a record that is its own parent: an arrow from its right side back to its top."""
    x, y = WIDTH / 2, _ALONE_HEIGHT - BOX_HEIGHT / 2 - 6
    right, top = x + BOX_WIDTH / 2, y - BOX_HEIGHT / 2
    neck, end = (x + 20, top - _HEAD_LENGTH), (x + 20, top)
    line = f"M{_written((right, y))} C{_written((right + 60, y))} {_written((x + 20, -30))} {_written(neck)}"
    return Ring(_ALONE_HEIGHT, (Box(record_id, x, y),), (Arrow(line, _head(neck, end, (0, 1))),))


def _towards(one: Point, other: Point) -> Point:
    """Return the direction from one point to another, as a vector of length one."""
    across, down = other[0] - one[0], other[1] - one[1]
    length = math.hypot(across, down)
    return across / length, down / length


def _edge(box: Box, along: Point, shift: Point) -> Point:
    """Return the point slightly outside a box where a line from its centre leaves it, moved by ``shift``."""
    half = BOX_WIDTH / 2, BOX_HEIGHT / 2
    reach = min(side / abs(part) for side, part in zip(half, along, strict=True) if part) + 3
    return box.x + along[0] * reach + shift[0], box.y + along[1] * reach + shift[1]


def _head(neck: Point, end: Point, along: Point) -> str:
    """Return the three corners of an arrow's head."""
    aside = (-along[1] * _HEAD_WIDTH, along[0] * _HEAD_WIDTH)
    corners = (end, (neck[0] + aside[0], neck[1] + aside[1]), (neck[0] - aside[0], neck[1] - aside[1]))
    return " ".join(map(_written, corners))


def _written(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
