"""Rules of the tree that would be broken because records are in quarantine.

A file may make room for a record by changing another one: it moves a sibling of the same name away, or adds the children of a
record that must have some. If that other record is in quarantine, the warehouse keeps it as it was. So the checks of the rules
are run once more, on the tree without the quarantined records.
"""

from __future__ import annotations

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.tree_limits import measure_depths
from pipeline.validate.tree_overlay import name_tree
from pipeline.validate.tree_rules import lay_out_values

_REMAINING = """
create or replace table remaining as
with there as (
    select edges.number, edges.id, edges.parent, edges._row from edges anti join quarantined using (_row)
    union all
    select edges.number, edges.id, old."parentId", null
    from edges semi join quarantined using (_row) join overridden old using (id)
)
select there.*, up.number as above from there left join there up on there.parent = up.id
"""
_LOADED = "(from incoming anti join quarantined using (_row))"


def broken_rule_without(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """Return which rule the other records would break without the ``quarantined`` ones; an empty text if none.

    Reads what the checks of the rules read; afterwards ``edges`` is the whole tree again.
    """
    names = {*dataset.tree_rules.checks, *({"min_depth_not_reached"} & {*dataset.bounds.checks})}
    if not names:
        return ""
    ((whole,),) = connection.execute(
        "select case when count(*) > 0 then 'laid_over_warehouse' else 'own' end from warehouse_edges"
    ).fetchall()
    connection.execute(_REMAINING)
    name_tree(connection, "remaining")
    try:
        measure_depths(connection)
        lay_out_values(connection, of=_LOADED)
        for path in dataset.check_files:
            if path.stem in names and path.parent.name in ("rules", "bounds"):
                check = read_check(path)
                query = f"select edges.id from ({check.query}\n) found join edges using (_row) order by edges._row limit 1"
                for (id_,) in connection.execute(query).fetchall():
                    return f"Without the quarantined records, {id_} would break a rule. {check.expects}"
    finally:
        name_tree(connection, whole)
    return ""
