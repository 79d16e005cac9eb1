"""Fill a DuckDB table of a test at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import pyarrow as pa


def fill(connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows in one statement; ``executemany`` runs one for each row, a millisecond each."""
    columns = [_column(values) for values in zip(*rows, strict=True)]
    if not columns:
        return
    connection.register("rows_to_insert", pa.table(columns, names=[f"c{number}" for number in range(len(columns))]))
    connection.execute(f"insert into {table} from rows_to_insert")
    connection.unregister("rows_to_insert")


def _column(values: Sequence[Any]) -> pa.Array:
    """Whole numbers as such, everything else as text, which DuckDB casts to the table's types."""
    if all(isinstance(value, int) for value in values):
        return pa.array(values, pa.int64())
    return pa.array([value if value is None else str(value) for value in values], pa.string())
