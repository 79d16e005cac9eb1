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

_MOVES = """
create or replace table moves as
select edges.number, edges._row, old."parentId" as left_parent from edges left join overridden old using (id)
where edges._row is not null and (old.id is null or old."parentId" is distinct from edges.parent)
"""
_TOP_ORPHANS = "select number from edges where parent is not null and (above is null or above = number)"
_SHALLOW = """
create or replace table shallow as
with leaves as (
    select edges.number, edges._row, edges.id, depths.depth
    from edges join depths using (number) anti join branches using (number) anti join leaf_tops using (number)
    where depths.depth < $least
)
select _row, null::varchar as id, depth, 1 as records from leaves where _row is not null
union all
select met, arg_min(id, (leaves.depth, id)), min(leaves.depth), count(*)
from leaves join movers using (number) where leaves._row is null and met is not null group by met
union all
select moves._row, leaves.id, leaves.depth, 1 from leaves join moves on leaves.id = moves.left_parent
anti join movers on leaves.number = movers.number and movers.met is not null
where leaves._row is null
"""


def questions(bounds: TreeLimits) -> list[str]:
    """Return queries of what else to ask the warehouse: what (existing_edges.edges lists them), id, its parent in the file."""
    asked = {
        _NODES.format(what="'below'"): bounds.max_depth is not None or bounds.min_depth is not None,
        _NODES.format(what="'around'"): bounds.min_depth is not None,
        _FAMILIES: bounds.max_children is not None,
        _ROOTS: bounds.single_root,
    }
    return [query for query, wanted in asked.items() if wanted]


def count_children(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``crowds`` (number, children): the records with more children than allowed; empty if there is no limit."""
    connection.execute(_CROWDS)


def measure_depths(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``depths`` (number, depth), if there is a limit of depth, and what breaks it: ``pushed`` and ``shallow``.

    A root has depth 1, and so has a record whose parent is missing. ``pushed`` (_row, id, depth, records) are the file's rows
    that are not too deep themselves, but move descendants in the warehouse too deep: the deepest of these, and how many they
    are. ``shallow`` has the same columns: the file's leaves that are not deep enough (id is null), and the rows that make such
    leaves of records in the warehouse. Reads ``edges``, ``bounds``, ``overridden``, and ``unrooted`` of cycles.find_cycles.
    """
    ((limit, least),) = connection.execute("select max_depth, min_depth from bounds").fetchall()
    if limit is None and least is None:
        return
    ancestors.depth(connection, _UP, into="ancestor_counts")
    connection.execute(_DEPTHS)
    connection.execute("create or replace temp table movers (number bigint, met bigint, reached bigint)")
    too_deep = f"depth > {limit}" if limit is not None else "false"
    too_shallow = f"depth < {least}" if least is not None else "false"
    if _any(connection, f"depths join edges using (number) where ({too_deep} or {too_shallow}) and _row is null"):
        _look_for_movers(connection)
    if limit is not None:
        connection.execute(_PUSHED, {"limit": limit})
    if least is not None:
        find_branches(connection)
        _find_top_orphans(connection)
        connection.execute(_SHALLOW, {"least": least})


def find_branches(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``branches`` (number), the records with children, and ``moves`` (number, _row, left_parent), the file's new edges.

    ``left_parent`` is the id of the parent that a record has in the warehouse; null for a new record.
    """
    connection.execute(
        """create or replace table branches as
        select distinct above as number from edges where above is not null and above != number"""
    )
    connection.execute(_MOVES)


def _find_top_orphans(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``leaf_tops`` (number, root): records whose highest ancestor is not a root, so that their depth is not known."""
    connection.execute("create or replace temp table leaf_tops (number bigint, root bigint, moved boolean)")
    if _any(connection, f"({_TOP_ORPHANS}) as top_orphans"):
        ancestors.find_root(connection, _UP, into="leaf_tops")
        connection.execute(f"delete from leaf_tops where root not in ({_TOP_ORPHANS})")


def _look_for_movers(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_MOVED)
    ancestors.nearest_marked(connection, _UP_TO_MOVED, into="movers")


def _any(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return bool(connection.execute(f"select 1 from {rows} limit 1").fetchall())
