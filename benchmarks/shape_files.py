"""One tree, written in each shape, and as a plain file of ids and parents with the same records in the same format."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

CHILDREN = 20
"""Of each record above the last level, of which there are four; the last one takes the rest."""

_LEVELS = ("region", "country", "city", "street")
_MORE = ("kind", "amount", "note")


@dataclass(frozen=True)
class Node:
    """A record of the tree: its places among its siblings from the root down, counted from 1."""

    places: tuple[int, ...]

    @property
    def steps(self) -> list[str]:
        """Return the names from the root down."""
        return [f"{_LEVELS[level]} {place}" for level, place in enumerate(self.places)]

    @property
    def more(self) -> tuple[str, str, str]:
        """Return what else is said of it."""
        number = sum(self.places)
        return f"kind {number % 7}", f"{number % 1000}.5", f"What is to be said of the record {'-'.join(map(str, self.places))}"


def tree(records: int) -> Iterator[Node]:
    """Yield so many records, parents first and depth first, as in a table of contents."""
    above = CHILDREN + CHILDREN**2 + CHILDREN**3
    leaves, left = max(-(-(records - above) // CHILDREN**3), 0), records
    for region in range(1, CHILDREN + 1):
        for places in _below((region,), leaves):
            if not left:
                return
            left -= 1
            yield Node(places)


def _below(places: tuple[int, ...], leaves: int) -> Iterator[tuple[int, ...]]:
    yield places
    if len(places) < len(_LEVELS):
        for place in range(1, (leaves if len(places) == len(_LEVELS) - 1 else CHILDREN) + 1):
            yield from _below((*places, place), leaves)


def position(node: Node) -> str:
    """Return the id of a record in an outline: 1.2.3."""
    return ".".join(map(str, node.places))


def code(node: Node) -> str:
    """Return the id of a record as a code that begins with its parent's: two digits a level, four in the last one."""
    return "".join(f"{place:0{4 if level == len(_LEVELS) - 1 else 2}}" for level, place in enumerate(node.places))


def path(node: Node) -> str:
    """Return the id of a record as a path."""
    return "/".join(node.steps)


Identify = Callable[[Node], str]
Cells = Callable[[Node], Sequence[object]]


@dataclass(frozen=True)
class Written:
    """A shape: what it says, how ids are made, and the columns of its file beside those that every file has."""

    shape: dict[str, Any]
    identify: Identify
    columns: tuple[str, ...] = ()
    cells: Cells = lambda node: ()
    form: str = "csv"


_OUTLINE = {"kind": "outline"}
SHAPES: dict[str, Written] = {
    "levels": Written({"kind": "levels", "columns": list(_LEVELS)}, path, _LEVELS, lambda node: [*node.steps, "", "", ""][:4]),
    "levels with ids": Written(
        {"kind": "levels", "columns": list(_LEVELS), "id": "code"},
        code,
        ("code", *_LEVELS),
        lambda node: [code(node), *[*node.steps, "", "", ""][:4]],
    ),
    "outline": Written(
        {**_OUTLINE, "column": "name"}, position, ("name",), lambda node: ["  " * (len(node.places) - 1) + node.steps[-1]]
    ),
    "outline by level": Written(
        {**_OUTLINE, "level": "level"},
        code,
        ("level", "id", "name"),
        lambda node: [len(node.places), code(node), node.steps[-1]],
    ),
    "path": Written({"kind": "path", "column": "path", "separator": "/"}, path, ("path",), lambda node: [path(node)]),
    "prefix": Written(
        {"kind": "prefix", "column": "code", "lengths": [2, 4, 6, 10]},
        code,
        ("code", "name"),
        lambda node: [code(node), node.steps[-1]],
    ),
    "prefix by separator": Written(
        {"kind": "prefix", "column": "code", "separator": "."},
        position,
        ("code", "name"),
        lambda node: [position(node), node.steps[-1]],
    ),
    "nested_set": Written({"kind": "nested_set", "left": "lft", "right": "rgt"}, code, form="intervals"),
    "nested": Written({"kind": "nested", "children": "items"}, code, form="json"),
    "edges": Written({"kind": "edges", "file": "edges.csv", "id": "child", "parent": "parent"}, code, form="zip"),
}


def write(name: str, nodes: Sequence[Node], to: Path) -> tuple[Path, Path]:
    """Write a shape's file and the plain one; return both."""
    one, shaped, plain = SHAPES[name], to / "shaped", to / "plain"
    records = [_record(node, one.identify) for node in nodes]
    if one.form == "json":
        shaped.write_text(json.dumps(_nested(nodes, records)), encoding="utf-8")
        plain.write_text(json.dumps([dict(zip(_PLAIN, record, strict=True)) for record in records]), encoding="utf-8")
    elif one.form == "zip":
        own = [record[:1] + record[2:] for record in records]
        edges = [record[:2] for record in records if record[1]]
        _zip(shaped, {"nodes.csv": (("id", *_PLAIN[2:]), own), "edges.csv": (("child", "parent"), edges)})
        _zip(plain, {"nodes.csv": (_PLAIN, records)})
    else:
        _csv(plain, _PLAIN, records)
        if one.form == "intervals":
            rows = ((record[0], *ends, *record[2:]) for record, ends in zip(records, _intervals(nodes), strict=True))
            _csv(shaped, ("id", "lft", "rgt", *_PLAIN[2:]), rows)
        else:
            _csv(shaped, (*one.columns, *_MORE), ((*one.cells(node), *node.more) for node in nodes))
    return shaped, plain


_PLAIN = ("id", "parentId", "name", *_MORE)


def _record(node: Node, identify: Identify) -> tuple[str, ...]:
    above = identify(Node(node.places[:-1])) if len(node.places) > 1 else ""
    return (identify(node), above, node.steps[-1], *node.more)


def _csv(to: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with to.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _zip(to: Path, members: dict[str, tuple[Sequence[str], Iterable[Sequence[object]]]]) -> None:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (header, rows) in members.items():
            with archive.open(name, "w") as raw, TextIOWrapper(raw, "utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _nested(nodes: Sequence[Node], records: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    trees: list[dict[str, Any]] = []
    open_: list[list[dict[str, Any]]] = [trees]
    for node, record in zip(nodes, records, strict=True):
        del open_[len(node.places) :]
        made: dict[str, Any] = {"id": record[0], **dict(zip(_PLAIN[2:], record[2:], strict=True)), "items": []}
        open_[-1].append(made)
        open_.append(made["items"])
    return trees


def _intervals(nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Return the left and right number of each record."""
    lefts, rights, at, open_ = [0] * len(nodes), [0] * len(nodes), 0, list[int]()
    for number, node in enumerate(nodes):
        while len(open_) >= len(node.places):
            at += 1
            rights[open_.pop()] = at
        at += 1
        lefts[number] = at
        open_.append(number)
    while open_:
        at += 1
        rights[open_.pop()] = at
    return [*zip(lefts, rights, strict=True)]
