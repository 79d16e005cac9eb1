"""Read the edges (id, parent id) that the warehouse already has for the ids of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import load

ANALYZE_SECONDS = 600.0
"""The time limit for ANALYZE, which looks at a sample of a table."""


def edges(engine: Engine, dataset: Dataset, wanted: Path, to: Path, *, beat: Callable[[], None]) -> int:
    """Write the warehouse's edges that ``wanted`` (a Parquet file: what, id, parent) asks for to ``to`` (id, parentId).

    ``what`` is ``above`` (the record and its ancestors), ``below`` (the record and, if it is new or ``parent`` is not its
    current parent, its descendants), ``around`` (the record, its children, and the parent that it leaves, with the children
    and ancestors of that one), ``children`` (those of the record) or ``roots`` (all, whatever the id). Each edge is
    written once; returns their number. ``value_0``, ``value_1``, ... are the texts of the columns that the dataset's rules
    look at. In constant memory here; PostgreSQL walks level by level along its indexes.
    """
    import pyarrow as pa  # 40 MiB that the web app does without: it never calls this
    import pyarrow.parquet as pq

    columns = dataset.tree_rules.columns
    names = ["id", "parentId", *(f"value_{place}" for place in range(len(columns)))]
    schema = pa.schema([(name, pa.string()) for name in names])
    count = 0
    with engine.connect() as connection, pq.ParquetWriter(to, schema) as writer:
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor:
            cursor.execute(may_take(LONG_SECONDS))
            cursor.execute("create temporary table wanted (what text, id text, parent text) on commit drop")
            with cursor.copy("copy wanted (what, id, parent) from stdin") as copy:
                for batch in pq.ParquetFile(wanted).iter_batches(columns=["what", "id", "parent"]):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
                    beat()
            cursor.execute("analyze wanted")
        query = _query(dataset, columns)
        with raw.cursor(name="edges") as cursor:
            cursor.itersize = 20_000
            cursor.execute(query)
            while rows := cursor.fetchmany(20_000):
                texts = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
                writer.write_table(pa.Table.from_arrays(texts, schema=schema))
                count += len(rows)
                beat()
    return count


def _query(dataset: Dataset, columns: Sequence[str]) -> Composed:
    """Return the query of the edges that ``wanted`` asks for, with the values of these columns as text."""
    names = {
        "table": Identifier("warehouse", dataset.name),
        "key": Identifier(dataset.key),
        "parent": Identifier(dataset.parent),
    }
    found = SQL(load("queries/edges/of_ids")).format(**names)
    if not columns:
        return found
    values = SQL(", ").join(SQL("target.{}::text").format(Identifier(name)) for name in columns)
    join = SQL("select found.id, found.parent, {values} from found inner join {table} as target on found.id = target.{key}")
    return SQL("with found as ({found}\n) {join}").format(found=found, join=join.format(values=values, **names))


def analyze(engine: Engine, dataset: str) -> None:
    """Update the planner's statistics after a load, rather than let the first readers wait for autovacuum.

    Skipped while an index is being built: the two would deadlock, and PostgreSQL would end the build.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(may_take(ANALYZE_SECONDS))
        connection.exec_driver_sql(f'analyze (skip_locked) warehouse."{dataset}"')


def has_table(engine: Engine, dataset: Dataset) -> bool:
    """Return whether PostgreSQL answers and has the dataset's table."""
    try:
        with engine.connect() as connection:
            found = connection.execute(text("select to_regclass(:name) is not null"), {"name": f'warehouse."{dataset.name}"'})
            return bool(found.scalar())
    except DBAPIError:
        return False


def with_tables(engine: Engine, names: Sequence[str]) -> set[str]:
    """Return those of the datasets that have a table."""
    with engine.connect() as connection:
        return {*connection.execute(text(load("queries/tables/existing")), {"names": list(names)}).scalars()}
