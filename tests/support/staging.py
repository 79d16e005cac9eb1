"""Staging databases of tests: one in memory for the process, which each test finds empty, or files.

DuckDB takes 17 ms of a processor to make a database, most of it for the catalogue of its functions, and 2 to 5 ms to drop what
a test left in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.errors import BulkheadError
from pipeline.read import FileSummary, read
from pipeline.sqlfiles import quoted

P = ParamSpec("P")
R = TypeVar("R")

SHARED = Path(":memory:staging")
"""The name of the process's database in memory. ``read_into`` begins with an empty one; others call ``empty``."""

_OURS = """
select 'view' as kind, schema_name, view_name as name from duckdb_views() where not internal
union all select 'table', schema_name, table_name from duckdb_tables() where not internal
union all select 'sequence', schema_name, sequence_name from duckdb_sequences()"""


@cache
def _kept() -> duckdb.DuckDBPyConnection:
    """Keep the shared database while there is no other connection to it."""
    return duckdb.connect(str(SHARED))


def empty(database: Path) -> Path:
    """Drop all that is in the shared database, or remove a file; return its name."""
    if database != SHARED:
        database.unlink(missing_ok=True)
        return database
    with _kept().cursor() as connection:
        if found := connection.execute(_OURS).fetchall():
            connection.execute(";".join(f"drop {kind} {quoted(schema)}.{quoted(name)}" for kind, schema, name in found))
    return database


@contextmanager
def opened(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to a database for one block."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def run_stage(
    stage: Callable[Concatenate[duckdb.DuckDBPyConnection, P], R], database: Path, *args: P.args, **options: P.kwargs
) -> R:
    """Call a stage with a connection of its own, as the pipeline does."""
    with opened(database) as connection:
        return stage(connection, *args, **options)


def read_into(database: Path, source: Path, dataset: Dataset, **options: Any) -> FileSummary:
    """Read ``source`` into an empty database, a new file or the shared one in memory.

    If it cannot be read, the reader has to leave no table; a file is then removed.
    """
    empty(database)
    with opened(database) as connection:
        try:
            return read(source, dataset, connection=connection, **options)
        except BulkheadError:
            assert not connection.execute("select table_name from information_schema.tables").fetchall()
            empty(database)
            raise
