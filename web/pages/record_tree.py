"""The tree on the pages: its nodes with the columns that one chose, its levels, open as far as one asked.

What is shown is in the address: ``column`` (several), ``levels`` and ``after``. Everything is read by keyset pagination,
and children are counted up to CHILDREN_COUNTED only, so a page costs the same at a thousand records and at ten million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from flask import request, url_for

from pipeline.datasets.dataset import Dataset
from web.app_context import app_context
from web.http.responses import as_text
from web.pages.formatting import CHILDREN_COUNTED
from web.pages.record_values import is_nested, leaves

NODES_SHOWN = 50
"""Records on a page of the tree, and children of one record where several levels are open."""

NODES_OPEN_MAX = 300
"""Records on a page with several levels open; the others are a link away."""

LEVELS_OPEN_MAX = 20
"""What "expand all" opens at most."""

COLUMNS_SHOWN_MAX = 8

LEAVES_SHOWN = 10
"""Values of a column of JSON beside a record; as many as fit are seen."""

ANCESTORS_SHOWN = 20
"""The nearest ancestors of a record."""

FOLDERS = (".", "..")
"""IDs that cannot end a path: browsers read them as folders."""

_LABELS = ("name", "title", "label")


@dataclass
class Node:
    """A record in the tree. ``children`` is counted up to one more than CHILDREN_COUNTED. ``open``: those that are shown."""

    id: str
    label: str
    children: int
    page: str
    below: str  # the address of its children in the tree
    cells: list[tuple[str, Any]] = field(default_factory=list)  # the columns that one chose
    open: list[Node] = field(default_factory=list)
    next: str | None = None  # the address of the children after those


@dataclass(frozen=True)
class Level:
    """One page of siblings."""

    nodes: list[Node]
    next: str | None  # the address of the next page
    pages: str  # the address of the dataset's tree
    is_cut: bool = False  # not all that was to be open is


@dataclass(frozen=True)
class View:
    """What the address says of how the tree is shown."""

    dataset: Dataset
    columns: tuple[str, ...] = ()
    levels: int = 1

    @classmethod
    def of_request(cls, dataset: Dataset) -> View:
        """Return what the address says; what it says wrongly is left out."""
        may_be = [name for name, _ in choices(dataset)]
        chosen = dict.fromkeys(name for name in request.args.getlist("column") if name in may_be)
        said = request.args.get("levels", "1")
        levels = LEVELS_OPEN_MAX if said == "all" else int(said) if said.isascii() and said.isdigit() and len(said) < 4 else 1
        return cls(dataset, tuple(chosen)[:COLUMNS_SHOWN_MAX], min(max(levels, 1), LEVELS_OPEN_MAX))

    def url(self, *, under: str | None = None, **more: Any) -> str:
        """Return an address of the tree with the same columns."""
        return url_for(
            "record_pages.tree_page", dataset=self.dataset.name, under=under, column=list(self.columns) or None, **more
        )


def choices(dataset: Dataset) -> list[tuple[str, str]]:
    """Return the columns that can be shown beside a record in the tree, each with its type."""
    hidden = (dataset.key, dataset.parent, label_of(dataset))
    return [(column.name, column.type) for column in dataset.shown_columns if column.name not in hidden]


def label_of(dataset: Dataset) -> str:
    """Return the column that describes a record best beside its ID; empty if there is none."""
    hidden = (dataset.key, dataset.parent, *dataset.masked)
    told = [c.name for c in dataset.columns if c.type == "text" and c.name not in hidden]
    return next((name for name in _LABELS if name in told), told[0] if told else "")


def record_url(dataset: str, record_id: str) -> str:
    """Return the address of a record's page, for any ID."""
    if record_id in FOLDERS:
        return url_for("record_pages.tree_page", dataset=dataset, id=record_id)
    return url_for("record_pages.record_page", dataset=dataset, record_id=record_id)


def level_of(view: View, parent: str | None) -> Level:
    """Return the page of siblings that the request asks for, with as many levels below it open."""
    read, after, dataset = app_context().records, request.args.get("after"), view.dataset
    if parent is None:
        page = read.roots(dataset, cursor=after, limit=NODES_SHOWN)
    else:
        page = read.children(dataset, parent, cursor=after, limit=NODES_SHOWN)
    nodes = nodes_of(view, page.items)
    following = None
    if page.next_cursor is not None:
        levels = request.args.get("levels") if view.levels > 1 else None
        following = view.url(under=parent, after=page.next_cursor, levels=levels)
    return Level(nodes, following, view.url(), is_cut=_open_below(view, nodes))


def nodes_of(view: View, records: Sequence[dict[str, Any]]) -> list[Node]:
    """Return the records as nodes, their children counted by one query."""
    counts = counts_of(view.dataset, [record[view.dataset.key] for record in records])
    return [node_of(view, record, counts.get(record[view.dataset.key], 0)) for record in records]


def node_of(view: View, record: dict[str, Any], children: int) -> Node:
    """Return a record as a node."""
    record_id = record[view.dataset.key]
    return Node(
        id=record_id,
        label=record.get(label_of(view.dataset)) or "",
        children=children,
        page=record_url(view.dataset.name, record_id),
        below=view.url(under=record_id),
        cells=[(name, _cell(record[name])) for name in view.columns],
    )


def _cell(value: Any) -> Any:
    """Return a value for the tree; of JSON, the first values in it with their paths."""
    if not is_nested(value):
        return None if value == {} or value == [] else value
    return ", ".join(f"{' › '.join(path)}: {as_text(one)}" for path, one in islice(leaves(value), LEAVES_SHOWN))


def counts_of(dataset: Dataset, ids: list[str]) -> dict[str, int]:
    """Return how many children each of these records has, up to one more than CHILDREN_COUNTED."""
    return app_context().records.children_counts(dataset, ids, CHILDREN_COUNTED + 1)


def ancestors_of(view: View, record_id: str) -> list[Node | None]:
    """Return the nodes from the top to the record, None first if there are more above; empty if there is no such record."""
    dataset = view.dataset
    record = app_context().records.one(dataset, record_id)
    if record is None:
        return []
    page = app_context().records.ancestors(dataset, record_id, cursor=None, limit=ANCESTORS_SHOWN)
    way: list[Node | None] = [node_of(view, one, 1) for one in [record, *page.items]]
    return [*([None] if page.next_cursor is not None else []), *way[::-1]]


def _open_below(view: View, nodes: list[Node]) -> bool:
    """Open the levels below these nodes that the address asks for, breadth first; return whether not all of it fits."""
    left, now = NODES_OPEN_MAX - len(nodes), nodes
    for _ in range(view.levels - 1):
        branches = [node for node in now if node.children]
        fitting = _fitting(branches, left)
        found = app_context().records.first_children(view.dataset, [node.id for node in fitting], NODES_SHOWN)
        below = nodes_of(view, [record for node in fitting for record in found[node.id]])
        now, left = below, left - len(below)
        by_id = {node.id: node for node in below}
        for node in fitting:
            node.open = [by_id[record[view.dataset.key]] for record in found[node.id]]
            if node.children > len(node.open) > 0:
                node.next = view.url(under=node.id, after=node.open[-1].id)
        if len(fitting) < len(branches):
            return True
        if not below:
            return False
    return False


def _fitting(branches: list[Node], left: int) -> list[Node]:
    """Return the first branches whose children to be shown are at most ``left`` together."""
    fitting = []
    for node in branches:
        left -= min(node.children, NODES_SHOWN)
        if left < 0:
            break
        fitting.append(node)
    return fitting
