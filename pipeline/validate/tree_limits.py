"""The bounds that a dataset sets to its tree: how deep it may be, how many children a record may have, whether it has one root.

They are about the tree that would result, the file's edges laid over the warehouse's. So for such a dataset the warehouse is
asked for more than what is above the file: for what hangs below what moves, for brothers and sisters, for its roots. An old
excess that the file does not touch is not the file's fault.
"""

from __future__ import annotations

import duckdb

from pipeline.datasets.suite_meta import TreeLimits

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

# Upwards, in strides that double: a million levels take twenty rounds. Who is on a circle or below one has no depth.
_START = """
create or replace temp table climbing as
select number, coalesce(above, number) as reached, (above is not null and above != number)::bigint as steps, true as moved
from edges anti join climbers using (number)
"""
_STRIDE = """
create or replace temp table climbing as
select low.number, high.reached, low.steps + high.steps as steps, high.steps > 0 as moved
from climbing low join climbing high on low.reached = high.number
"""
_DEPTHS = "create or replace table depths as select number, steps + 1 as depth from climbing"

_MOVED = """
create or replace temp table moved as
select edges.number from edges left join overridden old using (id)
where edges._row is not null and (old.id is null or old."parentId" is distinct from edges.parent)
"""
# ``met`` is the nearest record above that moves, ``reached`` the farthest one up to which none does.
_LOOK_UP = """
create or replace temp table looking as
select edges.number, moved.number as met, case when moved.number is null then nullif(above, edges.number) end as reached
from edges join depths using (number) left join moved on edges.above = moved.number
"""
_LOOK_FURTHER = """
create or replace temp table looking as
select l.number, coalesce(l.met, further.met) as met, further.reached
from looking l left join looking further on l.reached = further.number
"""
_PUSHED = """
create or replace table pushed as
select met as _row, arg_min(id, (-depths.depth, id)) as id, max(depths.depth) as depth, count(*) as records
from looking join edges using (number) join depths using (number) join depths mover on met = mover.number
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
    connection.execute(_START)
    while _any(connection, "climbing where moved"):
        connection.execute(_STRIDE)
    connection.execute(_DEPTHS)
    connection.execute("create or replace temp table looking (number bigint, met bigint, reached bigint)")
    if _any(connection, f"depths join edges using (number) where depth > {limit} and _row is null"):
        _look_for_movers(connection)
    connection.execute(_PUSHED, {"limit": limit})


def _look_for_movers(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_MOVED)
    connection.execute(_LOOK_UP)
    while _any(connection, "looking where reached is not null"):
        connection.execute(_LOOK_FURTHER)


def _any(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return bool(connection.execute(f"select 1 from {rows} limit 1").fetchall())
