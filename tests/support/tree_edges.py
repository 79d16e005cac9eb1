"""Answer in Python what the warehouse answers about the edges of a tree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Tree = dict[str, str | None]  # id -> parent


def answer(warehouse: Tree, wanted: list[dict[str, str | None]]) -> Tree:
    """Return what sql/queries/edges/of_ids.sql returns."""
    asked = {what: [q for q in wanted if q["what"] == what] for what in ("above", "below", "around", "children", "roots")}
    here = {str(q["id"]): q["parent"] for q in asked["around"]}
    left = {warehouse[one] for one, parent in here.items() if one in warehouse and warehouse[one] != parent} - {None}
    above: set[str] = set()
    for start in [*(question["id"] for question in asked["above"]), *left]:
        one = start
        while one in warehouse and one not in above:
            above.add(one)
            one = warehouse[one]
    moving = {q["id"] for q in asked["below"] if warehouse.get(str(q["id"]), "new") != q["parent"]}
    below: set[str | None] = set()
    while moving:
        below |= moving
        moving = {one for one, parent in warehouse.items() if parent in moving} - below
    below |= {q["id"] for q in asked["below"]}
    families = {q["id"] for q in asked["children"]} | here.keys() | left
    children = {one for one, parent in warehouse.items() if parent in families}
    roots = {one for one, parent in warehouse.items() if parent is None and asked["roots"]}
    return {one: parent for one, parent in warehouse.items() if one in above | below | here.keys() | children | roots}


def write_edges(file: Path, edges: Iterable[tuple[str, str | None]]) -> Path:
    """Write edges (id, parent) as the file of the warehouse's answer; return it."""
    rows = list(edges)
    columns = {"id": [one for one, _ in rows], "parentId": [parent for _, parent in rows]}
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), file)
    return file
