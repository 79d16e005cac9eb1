"""Lay out a tree as an icicle: a column for each level, a box for each record, as high as its share of records. Pure geometry.

An icicle (J. B. Kruskal and J. M. Landwehr, "Icicle Plots: Better Displays for Hierarchical Clustering", The American
Statistician 37(2), 1983) shows levels side by side, so that a name fits in its box. All boxes have the same width, so areas
are as the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.warehouse.dataset_numbers import TopRecord

WIDTH = 1000
"""Width of the picture in SVG units; the page scales it."""

HEIGHT = 620

TEXT_HEIGHT = 16
"""The height that a box needs to have text, in SVG units."""

CHARACTER_WIDTH = 7.2
"""The width of a character of that text, on average."""

TINTS = 4
"""Levels alternate between so many colours."""


@dataclass(frozen=True)
class Box:
    """A record's box. ``weight`` is the number of records it is drawn for: itself and its descendants."""

    id: str
    x: float
    y: float
    width: float
    height: float
    weight: int
    depth: int
    children: int

    @property
    def tint(self) -> int:
        """Return the number of its colour."""
        return self.depth % TINTS

    @property
    def characters(self) -> int:
        """Return how many characters of text fit into it; 0: none, it is too low."""
        return int((self.width - 10) / CHARACTER_WIDTH) if self.height >= TEXT_HEIGHT else 0


def icicle(top: Sequence[TopRecord], records: int) -> list[Box]:
    """Return a box for each record. ``top``: each after its parent. ``records``: all there are, which the height is shared by.

    What has no box of its own is an empty place below the boxes of its siblings.
    """
    if not top:
        return []
    levels = max(one.depth for one in top) + 1
    width = WIDTH / levels
    weight = sum(one.descendants + 1 for one in top if one.parent is None)
    unit = HEIGHT / max(records, weight)
    boxes: list[Box] = []
    floors: dict[str | None, float] = {None: 0.0}
    for one in top:
        y, height = floors[one.parent], (one.descendants + 1) * unit
        boxes.append(Box(one.id, one.depth * width, y, width, height, one.descendants + 1, one.depth, one.children))
        floors[one.parent], floors[one.id] = y + height, y
    return boxes
