"""The tree that would result: the file's edges laid over the warehouse's, and what to ask the warehouse for that.

IDs are compared here; later steps use numbers. The number of a record of the file is its row; records of the warehouse have
negative numbers.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import literal
from pipeline.staging.database import number
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.missing_parents import likely_spellings
from pipeline.validate.tree_limits import questions
from pipeline.validate.tree_rules import add_values, questions_of_rules


def ask_for(connection: duckdb.DuckDBPyConnection, dataset: Dataset, to: Path) -> int:
    """Write what to ask the warehouse to a Parquet file (what, id, parent); return how many questions there are.

    They ask for the ancestors of the parents that are not in the file, and of ids that these may be misspellings of, and for
    what the dataset's tree limits and rules need.
    """
    lay_out(connection, dataset)
    connection.execute(
        """create or replace temp table absent_parents as
        select distinct parent as id from links where parent is not null and above is null"""
    )
    ids = f"select id from absent_parents union select id from ({likely_spellings('absent_parents')})"
    of_tree = dict.fromkeys([*questions(dataset.bounds), *questions_of_rules(dataset.tree_rules)])
    asked = " union all ".join([f"select 'above' as what, id, null as parent from ({ids})", *of_tree])
    connection.execute(f"copy (from ({asked}) order by what, id) to {literal(str(to))} (format parquet)")
    return number(connection, f"select count(*) from {literal(str(to))}")


def add_edges(connection: duckdb.DuckDBPyConnection, edges: Path | None) -> None:
    """Make ``warehouse_edges`` and ``overridden`` (id, parentId) from the warehouse's answer.

    ``overridden`` has the edges of records that are in the file too, which the file replaces; ``warehouse_edges`` all others.
    ``warehouse_values`` has the values that the dataset's rules look at, of both.
    """
    for table, join in (("warehouse_edges", "anti join"), ("overridden", "semi join")):
        connection.execute(f'create or replace table {table} (id varchar, "parentId" varchar)')
        if edges is not None:
            connection.execute(
                f'insert into {table} select id, "parentId" from {literal(str(edges))} w {join} nodes on w.id = nodes.id'
            )
    add_values(connection, edges)


def lay_over_warehouse(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``duplicates`` and ``edges``, the tree that would result, from ``links`` and ``warehouse_edges``."""
    is_without = not number(connection, "select count(*) from twice")
    is_cleaned = connection.execute("from duckdb_tables() where table_name = 'cleaned'").fetchall()
    duplicates = _DUPLICATES.format(rows="cleaned" if is_cleaned else "raw")
    connection.execute(f"{duplicates} limit 0" if is_without else duplicates)  # otherwise it reads every value of the file
    connection.execute(_OWN)
    tree = "own"
    if number(connection, "select count(*) from warehouse_edges"):
        connection.execute(_LAID)
        tree = "laid_over_warehouse"
    name_tree(connection, tree)


def name_tree(connection: duckdb.DuckDBPyConnection, tree: str) -> None:
    """Make ``edges`` a view of this table."""
    connection.execute(f"create or replace view edges as select * from {tree}")


# ``others`` is limited: otherwise each of a million rows with one id would list all the others.
_DUPLICATES = """
create or replace table duplicates as
with bodies as (
    select nodes._row, nodes.id, hash(*columns(file.* exclude (_row))) as body
    from nodes semi join twice on nodes.id = twice.id join {rows} as file on nodes._row = file._row
),
groups as (
    select id, count(*) as copies, min(_row, 11) as rows, count(distinct body) as kinds from bodies group by id
)
select
    bodies._row,
    bodies.id,
    row_number() over (partition by bodies.id order by bodies._row) as place,
    groups.copies,
    groups.kinds = 1 as alike,
    list_filter(groups.rows, lambda other: other != bodies._row)[1:10]::varchar[] as others
from bodies join groups on bodies.id = groups.id
"""

# Each id has one edge, of duplicates the first one's, so that the tree is defined even for a file that is rejected.
_OWN = """
create or replace view own as
select _row as number, id, parent, _row, above from links
where id is not null and _row not in (select _row from duplicates where place > 1)
"""
_LAID = """
create or replace table laid_over_warehouse as
with old as (select -row_number() over () as number, id, "parentId" as parent from warehouse_edges)
select own.number, own.id, own.parent, own._row, coalesce(own.above, old.number) as above
from own left join old on own.above is null and own.parent = old.id
union all
select old.number, old.id, old.parent, null, coalesce(own.number, up.number)
from old left join own on old.parent = own.id left join old up on old.parent = up.id
"""
