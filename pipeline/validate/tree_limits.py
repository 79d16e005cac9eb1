"""The bounds that a dataset sets to its tree: how deep it may be, how many children a record may have, whether it has one root.

They are about the tree that would result, the file's edges laid over the warehouse's. So for such a dataset the warehouse is
asked for more than what is above the file: for what hangs below what moves, for brothers and sisters, for its roots. An old
excess that the file does not touch is not the file's fault.
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
    """Queries for what else to ask the warehouse: what (below, children, roots), id, and the parent that it is to have."""
    asked = {
        _NODES.format(what="'below'"): bounds.max_depth is not None,
        _FAMILIES: bounds.max_children is not None,
        _ROOTS: bounds.single_root,
    }
    return [query for query, wanted in asked.items() if wanted]


def count_children(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``crowds`` (number, children): the records with more children than they may have, none if there is no limit."""
    connection.execute(_CROWDS)


def measure_depths(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``depths`` (number, depth) and ``pushed`` (_row, id, depth, records), if there is a limit to depth.

    A root, and what is left of a tree that lost its root, has depth 1. ``pushed`` are the file's rows that, themselves not too
    deep, take records of the warehouse too deep: the deepest of these, and how many they are. To be called after
    cycles.find_cycles.
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
