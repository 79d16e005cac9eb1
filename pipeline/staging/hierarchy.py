"""Lay out the hierarchy of a file: nodes and links in the staging database."""

from __future__ import annotations

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.suite_meta import TreeLimits
from pipeline.datasets.tree_rules import TreeRules
from pipeline.sqlfiles import quoted
from pipeline.staging.database import FINDINGS, reading_of


def lay_out(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Make ``nodes`` and ``links`` from ``incoming``, and ``names``, ``bounds``, ``rules`` and ``twice``.

    Nothing is done if ``links`` exists already. IDs are compared here, once; all later steps use row numbers.
    """
    if connection.execute("select 1 from duckdb_tables() where table_name = 'links'").fetchall():
        return
    connection.execute(FINDINGS)
    key, parent = quoted(dataset.key), quoted(dataset.parent)
    made_of = ", ".join(reading_of(connection).get("ids_made_of") or ()) or None
    names = {"key": dataset.key, "parent": dataset.parent, "made_of": made_of}
    connection.execute(
        "create or replace table names as select $key as key, $parent as parent, $made_of::varchar as ids_made_of", names
    )
    lay_out_bounds(connection, dataset.bounds)
    lay_out_rules(connection, dataset.tree_rules)
    connection.execute(f"create or replace view nodes as select _row, {key} as id, {parent} as parent from incoming")
    connection.execute(_TWICE)
    connection.execute(_LINKS)


_TWICE = """
create or replace table twice as
select id, min(_row) as first_row from nodes where id is not null group by id having count(*) > 1
"""


# If several records have one ID, the first is taken as the parent of the records that name it.
_LINKS = """
create or replace table links as
select nodes._row, nodes.id, nodes.parent, up._row as above
from nodes left join (
    select nodes._row, nodes.id from nodes left join twice using (id) where twice.first_row is null or _row = first_row
) up on nodes.parent = up.id
"""


def lay_out_bounds(connection: duckdb.DuckDBPyConnection, bounds: TreeLimits) -> None:
    """Make ``bounds`` (max_depth, max_children, single_root, min_depth), one row: the dataset's tree limits."""
    connection.execute(
        """create or replace table bounds as
        select $depth::bigint as max_depth, $children::bigint as max_children, $single::boolean as single_root,
            $least::bigint as min_depth""",
        {
            "depth": bounds.max_depth,
            "children": bounds.max_children,
            "single": bounds.single_root,
            "least": bounds.min_depth,
        },
    )


def lay_out_rules(connection: duckdb.DuckDBPyConnection, rules: TreeRules) -> None:
    """Make ``rules``, one row: the dataset's rules for values in the tree, as datasets/tree_rules.py has them.

    ``columns`` are all columns that they look at, in the order of the values that the warehouse answers.
    """
    connection.execute(
        """create or replace table rules as
        select $rank_column::varchar as rank_column, $ranks::varchar[] as ranks, $strict_ranks::boolean as strict_ranks,
            $sibling_columns::varchar[] as sibling_columns, $folded_siblings::boolean as folded_siblings,
            $prefix_separator::varchar as prefix_separator, $leaf_only::varchar[] as leaf_only,
            $branch_only::varchar[] as branch_only, $columns::varchar[] as columns""",
        {name: list(value) if isinstance(value, tuple) else value for name, value in vars(rules).items()}
        | {"columns": list(rules.columns)},
    )
