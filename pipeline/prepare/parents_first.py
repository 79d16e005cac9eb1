"""Order records parents first: depth first, with the ancestors of the cuts (anchors) loaded before."""

from __future__ import annotations

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import quoted
from pipeline.staging.database import WIDE_BYTES, by_rows, climb, number
from pipeline.staging.hierarchy import lay_out

_ANCHORS = """
create or replace temp table anchors as
select w.id, f._row as anchor, case when f.id is null then up.id end as reached
from warehouse_edges w
left join warehouse_edges up on w."parentId" = up.id
left join (from links anti join quarantined using (_row)) f on w."parentId" = f.id
"""
_ANCHOR_STRIDE = """
create or replace temp table anchors as
select a.id, coalesce(a.anchor, b.anchor) as anchor, case when a.anchor is null then b.reached end as reached
from anchors a left join anchors b on a.reached = b.id
"""
_UNANCHORED = "select count(*) from anchors where reached is not null"
_FOREST = """
create or replace temp view forest as
select links._row, links.id, links.parent, coalesce(nullif(links.above, links._row), a.anchor) as above
from links left join (select id, anchor from anchors where anchor is not null) a on links.above is null and links.parent = a.id
where links._row not in (select _row from quarantined)
"""


def lay_out_forest(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """``forest`` (_row, id, parent, above): each record with the next of the file's records above it in the tree
    that results. The way there may lead through the warehouse: docs/decisions/0005.

    What hangs below a record in quarantine is there too, so ``above`` never is one.
    """
    connection.execute("create table if not exists quarantined (_row bigint)")
    lay_out(connection, dataset)
    connection.execute('create table if not exists warehouse_edges (id varchar, "parentId" varchar)')
    connection.execute(_ANCHORS)
    climb(connection, _ANCHOR_STRIDE, _UNANCHORED)  # who is left is on an old circle, or below it, and the file is not
    connection.execute(_FOREST)


_FURTHER_UP = """
create or replace temp table levels as
select low._row, high.reached, low.level + high.level as level
from levels low join levels high on low.reached = high._row
union all
select _row, reached, level from levels where reached is null
"""


def give_levels(connection: duckdb.DuckDBPyConnection) -> None:
    """``levels`` (_row, level): how many of the file's records are above each that has others below it; few have, in a tree."""
    connection.execute(
        """create or replace temp table levels as
        select _row, above as reached, (above is not null)::integer as level
        from forest semi join (select distinct above as _row from forest) parents using (_row)"""
    )
    if climb(connection, _FURTHER_UP, "select count(*) from levels where reached is not null"):
        raise RuntimeError("The records to be cut into batches go in circles.")


def put_in_order(connection: duckdb.DuckDBPyConnection, dataset: Dataset, widest: int) -> int:
    """Make ``in_order`` (_row, _above, _bytes, columns): by level, then parent, then id. Return how many records it has.

    They are sorted with all that they hold: to sort their numbers, and fetch the rest by them, takes longer. Where the
    ``widest`` is too wide for that, the columns are left out.
    """
    columns = "".join(f", incoming.{quoted(name)}" for name in dataset.names)
    parent, key = (f"incoming.{quoted(name)}" for name in (dataset.parent, dataset.key))
    size, sizes = _size(connection, dataset), ""
    if widest > WIDE_BYTES:
        connection.execute("create or replace temp table sizes (_row bigint, _bytes bigint)")
        by_rows(connection, f"insert into sizes select _row, {size} from incoming where {{range}}")
        size, sizes, columns = "sizes._bytes", "join sizes using (_row)", ""
    connection.execute(
        f"""create or replace temp table in_order as
        select incoming._row, places._above, ({size})::bigint as _bytes{columns}
        from incoming join (
            select forest._row, forest.above as _above, coalesce(levels.level + 1, 0) as level
            from forest left join levels on forest.above = levels._row
        ) places using (_row) {sizes}
        order by places.level, {parent} nulls first, {key}"""
    )
    connection.execute("drop table levels")
    return number(connection, "select count(*) from in_order")


VALUE_BYTES = 8
"""What a value takes beside its text: an offset, or the number or date itself."""


def _size(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """SQL for the bytes that a record's values take."""
    kinds = {str(name): str(kind) for name, kind, *_ in connection.execute("describe incoming").fetchall()}
    texts = [f"coalesce(strlen(incoming.{quoted(name)}), 0)" for name in dataset.names if kinds[name] == "VARCHAR"]
    return " + ".join([str(VALUE_BYTES * (len(dataset.names) + 2)), *texts])
