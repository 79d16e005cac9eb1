"""Order records parents first: depth first where the tree allows it, by level where not."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.datasets.dataset import Dataset
from pipeline.prepare import depth_first
from pipeline.prepare.depth_first import Layout
from pipeline.prepare.manifest import BatchSizes
from pipeline.sqlfiles import quoted
from pipeline.staging import ancestors
from pipeline.staging.database import by_rows, number
from pipeline.staging.hierarchy import lay_out

# An anchor is a record of the file; the way up to it leads through records of the warehouse, which are known by their ids.
_UP_TO_ANCHORS = """
select w.id as number, f._row as met, case when f.id is null then up.id end as reached
from warehouse_edges w
left join warehouse_edges up on w."parentId" = up.id
left join (from links anti join quarantined using (_row)) f on w."parentId" = f.id
"""
_FOREST = """
create or replace temp view forest as
select links._row, links.id, links.parent, coalesce(nullif(links.above, links._row), a.met) as above
from links left join (from anchors where met is not null) a on links.above is null and links.parent = a.number
where links._row not in (select _row from quarantined)
"""


def lay_out_forest(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Create ``forest`` (_row, id, parent, above): each record with its nearest ancestor in the file, in the tree that results.

    The path there may lead through the warehouse (docs/decisions/0005). The descendants of a quarantined record are in
    quarantine too, so ``above`` never is such a record.
    """
    connection.execute("create table if not exists quarantined (_row bigint)")
    lay_out(connection, dataset)
    connection.execute('create table if not exists warehouse_edges (id varchar, "parentId" varchar)')
    ancestors.nearest_marked(connection, _UP_TO_ANCHORS, into="anchors")  # the rest are on an old cycle, the file is not
    connection.execute(_FOREST)


RECORDS_MAX = 5_000_000
"""More records are ordered by level: ``depth_first.lay_out`` takes 58 bytes of memory for each (measured with 2.6 million, its
input included), and a level of theirs has many parts."""


def put_depth_first(connection: duckdb.DuckDBPyConnection, dataset: Dataset, cutting: BatchSizes) -> Layout | None:
    """Create ``in_order`` (_row, columns) in the order of ``depth_first``, and return the layout; None if it does not suit.

    Siblings are in the order of the file. Records of one part need no such order: None, too.
    """
    records, last = connection.execute("select count(*), max(_row) from forest").fetchall()[0]
    if not cutting.batch_records * cutting.batches_per_part < records <= RECORDS_MAX or last > 2 * RECORDS_MAX:
        return None
    forest = connection.sql(
        f"""select incoming._row, coalesce(forest.above, -1) as above, ({_size(connection, dataset)})::bigint as bytes
        from incoming join forest using (_row)"""
    ).to_arrow_table()
    rows, above, sizes = (forest.column(name).to_numpy() for name in ("_row", "above", "bytes"))
    is_there = np.zeros(last + 1, bool)
    is_there[rows] = True
    numbers = np.cumsum(is_there) - 1  # of each row: its number among the records
    layout = depth_first.lay_out(
        _scattered(numbers[rows], np.where(above >= 0, numbers[above], -1)), _scattered(numbers[rows], sizes), cutting
    )
    if layout is None:
        return None
    connection.register("places", pa.table({"_row": np.flatnonzero(is_there), "place": layout.places}))
    columns = "".join(f", incoming.{quoted(name)}" for name in dataset.names)
    connection.execute(
        f"""create or replace temp table in_order as
        select incoming._row{columns} from incoming join places using (_row) order by places.place"""
    )
    connection.unregister("places")
    return layout


def _scattered(places: depth_first.Numbers, values: depth_first.Numbers) -> depth_first.Numbers:
    """Return the values in the order of their places, which are 0 to n - 1."""
    scattered = np.empty_like(values)
    scattered[places] = values
    return scattered


_UP_OF_PARENTS = """
select forest._row as number, forest.above
from forest semi join (select distinct above as _row from forest) parents using (_row)
"""


def give_levels(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``levels`` (number, depth): how many of the file's records are above each record that has others below it.

    In a tree few records have. Raises RuntimeError if the records form a cycle.
    """
    if ancestors.depth(connection, _UP_OF_PARENTS, into="levels"):
        raise RuntimeError("The records to be cut into batches form a cycle.")


def put_in_order(connection: duckdb.DuckDBPyConnection, dataset: Dataset, *, with_values: bool) -> int:
    """Create ``in_order`` (_row, _above, _bytes, columns): by level, then parent, then id. Return the number of its records.

    They are sorted with all their values, since sorting row numbers and fetching the values by them takes longer. If records
    are too wide for that, ``with_values`` is False and the columns are left out.
    """
    columns = "".join(f", incoming.{quoted(name)}" for name in dataset.names)
    parent, key = (f"incoming.{quoted(name)}" for name in (dataset.parent, dataset.key))
    size, sizes = _size(connection, dataset), ""
    if not with_values:
        connection.execute("create or replace temp table sizes (_row bigint, _bytes bigint)")
        by_rows(connection, f"insert into sizes select _row, {size} from incoming where {{range}}")
        size, sizes, columns = "sizes._bytes", "join sizes using (_row)", ""
    connection.execute(
        f"""create or replace temp table in_order as
        select incoming._row, places._above, ({size})::bigint as _bytes{columns}
        from incoming join (
            select forest._row, forest.above as _above, coalesce(levels.depth + 1, 0) as level
            from forest left join levels on forest.above = levels.number
        ) places using (_row) {sizes}
        order by places.level, {parent} nulls first, {key}"""
    )
    connection.execute("drop table levels")
    return number(connection, "select count(*) from in_order")


VALUE_BYTES = 8
"""The size of a value in bytes beside its text: an offset, or the number or date itself."""


def _size(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """Return the SQL expression for the size of a record's values in bytes."""
    kinds = {str(name): str(kind) for name, kind, *_ in connection.execute("describe incoming").fetchall()}
    texts = [f"coalesce(strlen(incoming.{quoted(name)}), 0)" for name in dataset.names if kinds[name] == "VARCHAR"]
    return " + ".join([str(VALUE_BYTES * (len(dataset.names) + 2)), *texts])
