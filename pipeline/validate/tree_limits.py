"""The limits that a dataset sets for its tree: its depth, the number of a record's children, whether it has one root.

They apply to the tree that would result: the file's edges laid over the warehouse's. So for such a dataset the warehouse is
asked for more than the ancestors of the file's records: for the descendants of records that move, for siblings, for the roots.
An excess in the warehouse that the file does not change is not reported.
"""

from __future__ import annotations

import duckdb

from pipeline.datasets.suite_meta import TreeLimits
from pipeline.staging import ancestors

# The tree limits of the dataset are the one row of the table ``bounds``.

_NODES = "select {what} as what, id, parent from links where id is not null"
_FAMILIES = """
select 'children' as what, id, null as parent
from (select id from links union select parent from links) where id is not null
"""
_ROOTS = "select 'roots' as what, null as id, null as parent"

_CROWDS = """
create or replace table crowds as
select above as number, count(*) as children from edges
where above != number and (select max_children is not null from bounds)
group by above having count(*) > (select max_children from bounds)
"""

_UP = "select number, nullif(above, number) as above from edges anti join unrooted using (number)"
_DEPTHS = "create or replace table depths as select number, depth + 1 as depth from ancestor_counts"

_MOVED = """
create or replace temp table moved as
select edges.number from edges left join overridden old using (id)
where edges._row is not null and (old.id is null or old."parentId" is distinct from edges.parent)
"""
_UP_TO_MOVED = """
select edges.number, moved.number as met, case when moved.number is null then nullif(above, edges.number) end as reached
from edges join depths using (number) left join moved on edges.above = moved.number
"""
_PUSHED = """
create or replace table pushed as
select met as _row, arg_min(id, (-depths.depth, id)) as id, max(depths.depth) as depth, count(*) as records
from movers join edges using (number) join depths using (number) join depths mover on met = mover.number
where edges._row is null and depths.depth > $limit and mover.depth <= $limit
group by met
"""


def questions(bounds: TreeLimits) -> list[str]:
    """Return queries of what else to ask the warehouse: what (below, children, roots), id, and its parent in the file."""
    asked = {
        _NODES.format(what="'below'"): bounds.max_depth is not None,
        _FAMILIES: bounds.max_children is not None,
        _ROOTS: bounds.single_root,
    }
    return [query for query, wanted in asked.items() if wanted]


def count_children(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``crowds`` (number, children): the records with more children than allowed; empty if there is no limit."""
    connection.execute(_CROWDS)


def measure_depths(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``depths`` (number, depth) and ``pushed`` (_row, id, depth, records), if there is a limit of depth.

    A root has depth 1, and so has a record whose parent is missing. ``pushed`` are the file's rows that are not too deep
    themselves, but move descendants in the warehouse too deep: the deepest of these, and how many they are. Reads ``edges``,
    ``bounds``, ``overridden``, and ``unrooted`` of cycles.find_cycles.
    """
    ((limit,),) = connection.execute("select max_depth from bounds").fetchall()
    if limit is None:
        return
    ancestors.depth(connection, _UP, into="ancestor_counts")
    connection.execute(_DEPTHS)
    connection.execute("create or replace temp table movers (number bigint, met bigint, reached bigint)")
    if _any(connection, f"depths join edges using (number) where depth > {limit} and _row is null"):
        _look_for_movers(connection)
    connection.execute(_PUSHED, {"limit": limit})


def _look_for_movers(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_MOVED)
    ancestors.nearest_marked(connection, _UP_TO_MOVED, into="movers")


def _any(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return bool(connection.execute(f"select 1 from {rows} limit 1").fetchall())
