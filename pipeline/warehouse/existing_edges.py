"""Read the edges (id, parent id) that the warehouse already has for the ids of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from psycopg.sql import SQL, Identifier
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
    current parent, its descendants), ``children`` (those of the record) or ``roots`` (all, whatever the id). Each edge is
    written once; returns their number. In constant memory here; PostgreSQL walks level by level along its indexes.
    """
    import pyarrow as pa  # 40 MiB that the web app does without: it never calls this
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("parentId", pa.string())])
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
        query = SQL(load("queries/edges/of_ids")).format(
            table=Identifier("warehouse", dataset.name),
            key=Identifier(dataset.key),
            parent=Identifier(dataset.parent),
        )
        with raw.cursor(name="edges") as cursor:
            cursor.itersize = 20_000
            cursor.execute(query)
            while rows := cursor.fetchmany(20_000):
                columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                count += len(rows)
                beat()
    return count


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
