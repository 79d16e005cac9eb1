"""Staging databases of tests: files, or databases in memory that a test keeps open by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.errors import BulkheadError
from pipeline.read import FileSummary, read

P = ParamSpec("P")
R = TypeVar("R")


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
    """Read ``source`` into a new database, a file or one in memory.

    If it cannot be read, the reader has to leave no table; a file is then removed.
    """
    database.unlink(missing_ok=True)
    with opened(database) as connection:
        try:
            return read(source, dataset, connection=connection, **options)
        except BulkheadError:
            assert not connection.execute("select table_name from information_schema.tables").fetchall()
            database.unlink(missing_ok=True)
            raise
