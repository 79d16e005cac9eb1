"""Keep the findings of a validation in the ledger, up to a limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.sqlfiles import load, without_nul


def keep_findings(engine: Engine, import_id: str, findings: Path, *, beat: Callable[[], None]) -> int:
    """Take an import's findings.parquet into ledger.finding, in place of those that may be there; how many there are.

    In one transaction, and in constant memory. A NUL, which no text in PostgreSQL can hold, is spelled as JSON would.
    """
    import pyarrow.parquet as pq

    fields = [
        "number",
        "code",
        "severity",
        "message",
        "row",
        "line",
        "column",
        "value",
        "hint",
        "related",
        "cycle",
        "id",
        "cells",
    ]
    count = 0
    with engine.begin() as connection:
        connection.exec_driver_sql(may_take(LONG_SECONDS))
        connection.execute(text(load("queries/findings/discard")), {"import_id": import_id})
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor, cursor.copy(load("queries/findings/copy")) as copy:
            for batch in pq.ParquetFile(findings).iter_batches(batch_size=2000, columns=fields):
                columns = (_storable(batch.column(name)) for name in fields)
                for row in zip(*columns, strict=True):
                    copy.write_row((import_id, *row))
                count += batch.num_rows
                beat()
    return count


def _storable(column: Any) -> list[Any]:
    """A column's values, as PostgreSQL can hold them."""
    values: list[Any] = column.to_pylist()
    return [without_nul(value) for value in values]
