"""Lay a forest out depth first and cut it into parts that need no other part but the first one, the spine.

In pre-order, a node comes directly before its children's subtrees, so an ancestor of any node of a part lies in the same part
or is an ancestor of the part's first node. The ancestors of all parts' first nodes are the *spine*. Loaded before everything
else, as a part of its own, it leaves the other parts independent of one another: any number of workers load them at once. In
the order of levels, in contrast, a part needs nearly all parts of the level above.

A spine is small unless the tree is a chain or nearly one: at most the number of parts times the depth. ``lay_out`` returns None
for a forest that it does not suit, and the caller orders the records by level instead (docs/decisions/0057).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.prepare.manifest import BatchSizes

Numbers = NDArray[np.int64]

LEVELS_MAX = 5_000
"""A forest with more levels is not laid out depth first: each level takes some calls of numpy, and its spine would be long."""

BATCH_MIN = 100
"""A batch has so many records at least, if there are so many."""


class Layout(NamedTuple):
    """The order in which to load the nodes.

    ``places`` has the place of each node, from 0, and ``sizes`` the number of nodes of each part. The first part is the spine,
    which all others need, unless ``spine``, the number of its nodes, is 0: then no part needs another.
    """

    places: Numbers
    sizes: tuple[int, ...]
    spine: int


def lay_out(above: Numbers, sizes_bytes: Numbers, cutting: BatchSizes) -> Layout | None:
    """Return the order of the nodes and their parts, or None if the forest is too deep or its spine too large.

    ``above`` has the number of each node's parent, -1 for a root; ``sizes_bytes`` the bytes of each node's values. Raises
    RuntimeError if the nodes form a cycle.
    """
    places = pre_order(above)
    if places is None:
        return None
    order = np.empty_like(places)
    order[places] = np.arange(len(places))
    firsts = first_places(sizes_bytes[order], cutting)
    is_spine = spine_of(above, order, firsts, most=cutting.batch_records * cutting.batches_per_part)
    if is_spine is None or int(sizes_bytes[is_spine].sum()) > cutting.part_bytes:
        return None
    in_spine = is_spine[order]
    before = np.diff(np.append(firsts, len(order)))
    after = before - np.add.reduceat(in_spine, firsts, dtype=np.int64)
    if np.any((after < BATCH_MIN) & (after < before)):
        return None  # a part that gave so many to the spine would make a batch that is too small
    spine = int(in_spine.sum())
    later = spine + np.cumsum(~in_spine) - 1
    places[order] = np.where(in_spine, np.cumsum(in_spine) - 1, later)
    return Layout(places, ((spine,) if spine else ()) + tuple(after.tolist()), spine)


class _Level(NamedTuple):
    """The nodes of one level, siblings side by side: where each group of siblings starts, and the parent of each group."""

    nodes: Numbers
    starts: Numbers
    parents: Numbers


def pre_order(above: Numbers) -> Numbers | None:
    """Return the place of each node in pre-order: a node, then its children's subtrees, siblings in the order of their numbers.

    None if the forest has more than LEVELS_MAX levels. Raises RuntimeError if the nodes form a cycle.
    """
    levels: list[_Level] = []
    for level in _levels(above):
        if len(levels) == LEVELS_MAX:
            return None
        levels.append(level)
    if sum(len(level.nodes) for level in levels) != len(above):
        raise RuntimeError("The records to be cut into batches form a cycle.")
    below = np.ones(len(above), np.int64)  # of each node: how many nodes its subtree has
    for nodes, starts, parents in reversed(levels[1:]):
        below[parents] += np.add.reduceat(below[nodes], starts)
    places = np.empty(len(above), np.int64)
    for nodes, starts, parents in levels:
        sizes = below[nodes]
        offsets = np.cumsum(sizes) - sizes
        group_places = places[parents] + 1 if parents[0] >= 0 else np.zeros(1, np.int64)
        places[nodes] = offsets + np.repeat(group_places - offsets[starts], np.diff(np.append(starts, len(nodes))))
    return places


def _levels(above: Numbers) -> Iterator[_Level]:
    """Yield level after level, from the roots down; the roots are one group of siblings, whose parent is -1."""
    nodes = np.argsort(above, kind="stable")  # the roots first, then siblings side by side
    counts = np.bincount(above + 1, minlength=len(above) + 1)  # of each node, at the place after its number; first the roots
    firsts = np.cumsum(counts) - counts
    parents = np.full(1, -1)
    while len(parents := parents[counts[parents + 1] > 0]):
        many = counts[parents + 1]
        starts = np.cumsum(many) - many
        level = nodes[np.repeat(firsts[parents + 1] - starts, many) + np.arange(many.sum())]
        yield _Level(level, starts, parents)
        parents = level


def first_places(sizes_bytes: Numbers, cutting: BatchSizes) -> Numbers:
    """Return the place of the first node of each part: of equal numbers of nodes, cut again where they have too many bytes.

    A node that is larger than ``cutting.part_bytes`` is a part by itself.
    """
    count = len(sizes_bytes)
    parts = ceil(count / (cutting.batch_records * cutting.batches_per_part))
    ends = np.arange(1, parts + 1) * count // parts
    total = np.cumsum(sizes_bytes)
    firsts, first = [], 0
    for end in ends.tolist():
        while first < end:
            firsts.append(first)
            allowed = int(total[first] - sizes_bytes[first]) + cutting.part_bytes
            first = min(end, max(first + 1, int(np.searchsorted(total, allowed, side="right"))))
    return np.array(firsts, np.int64)


def spine_of(above: Numbers, order: Numbers, firsts: Numbers, *, most: int) -> NDArray[np.bool_] | None:
    """Return which nodes are ancestors of a part's first node; None if they are more than ``most``.

    So that they make a batch, nodes from the beginning of the order are added to fewer than BATCH_MIN: their ancestors are
    there, too.
    """
    is_spine = np.zeros(len(above), bool)
    count = 0
    for node in order[firsts].tolist():
        while (node := int(above[node])) >= 0 and not is_spine[node]:
            is_spine[node] = True
            count += 1
            if count > most:
                return None
    for node in order[: 2 * BATCH_MIN].tolist() if count and count < BATCH_MIN <= len(order) else ():
        if count == BATCH_MIN:
            break
        count += not is_spine[node]
        is_spine[node] = True
    return is_spine
