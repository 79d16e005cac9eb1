"""Export a dataset's table from the warehouse as text, to be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine

from pipeline.adapters.postgres import LONG_SECONDS, driver_connection, may_take
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, as_ours
from pipeline.datasets.dataset import Dataset

BUFFER_BYTES = 1 << 20
BEAT_BYTES = 8 << 20


@dataclass(frozen=True)
class Exported:
    """What was exported. ``longest_bytes``: of one record, as it is written."""

    records: int
    longest_bytes: int


def export_table(engine: Engine, dataset: Dataset, to: Path, *, beat: Callable[[], None] = lambda: None) -> Exported:
    """Write all records of the dataset's table to a CSV without header: the dataset's columns, in their order.

    A null is empty, an empty text is a pair of quotes. The records are those of one moment. In constant memory.
    Raises Unreachable or SystemFault if PostgreSQL does not answer as it should.
    """
    columns = SQL(", ").join(map(Identifier, dataset.names))
    query = SQL("copy (select {} from {}) to stdout (format csv)").format(columns, Identifier("warehouse", dataset.name))
    try:
        with engine.connect() as connection, driver_connection(connection).cursor() as cursor:
            cursor.execute(may_take(LONG_SECONDS))
            cursor.execute("set local datestyle = 'ISO'")
            cursor.execute("set local timezone = 'UTC'")
            with to.open("wb", buffering=BUFFER_BYTES) as file, cursor.copy(query) as copy:
                longest = _write(copy, file, beat)
            return Exported(cursor.rowcount, longest)
    except DATABASE_ERRORS as error:
        raise as_ours(error) from error


def _write(rows: Iterable[bytes | bytearray | memoryview], file: BufferedWriter, beat: Callable[[], None]) -> int:
    """Write the rows as they arrive; return the bytes of the longest."""
    longest, since_beat = 0, 0
    for row in rows:
        size = file.write(row)
        longest = max(longest, size)
        since_beat += size
        if since_beat > BEAT_BYTES:
            since_beat = 0
            beat()
    return longest
