"""Export a dataset's table from the warehouse as text, to be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine

from pipeline.adapters.postgres import LONG_SECONDS, driver_connection, may_take
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, as_ours
from pipeline.datasets.dataset import Dataset

ROWS_AT_ONCE = 256
"""Rows in memory, each as long as a record may be."""


@dataclass(frozen=True)
class Exported:
    """What was exported. ``longest_bytes``: of one record, as it is written."""

    records: int
    longest_bytes: int


def export_table(engine: Engine, dataset: Dataset, to: Path, *, beat: Callable[[int], None] = lambda _: None) -> Exported:
    """Write all records of the dataset's table to a CSV without header: the dataset's columns, in their order.

    A null is empty, an empty text is a pair of quotes. The records are those of one moment. In constant memory. ``beat`` is
    called with the number of records read so far.
    Raises Unreachable or SystemFault if PostgreSQL does not answer as it should.
    """
    columns = SQL(", ").join(map(Identifier, dataset.names))
    query = SQL("copy (select {} from {}) to stdout (format csv)").format(columns, Identifier("warehouse", dataset.name))
    try:
        with engine.connect() as connection, driver_connection(connection).cursor() as cursor:
            cursor.execute(may_take(LONG_SECONDS))
            cursor.execute("set local datestyle = 'ISO'")
            cursor.execute("set local timezone = 'UTC'")
            with to.open("wb") as file, cursor.copy(query) as copy:
                longest = _write(copy, file, beat)
            return Exported(cursor.rowcount, longest)
    except DATABASE_ERRORS as error:
        raise as_ours(error) from error


def _write(copy: psycopg.Copy, file: BinaryIO, beat: Callable[[int], None]) -> int:
    """Write the rows as they arrive; return the bytes of the longest."""
    longest = read = 0
    while rows := copy.connection.wait(_some_rows(copy)):
        longest = max(longest, *map(len, rows))
        file.write(b"".join(rows))
        read += len(rows)
        beat(read)
    return longest


def _some_rows(copy: psycopg.Copy) -> PQGen[list[Buffer]]:
    """Read up to ROWS_AT_ONCE rows, or none at the end.

    ``Copy.read`` waits for each row by itself, and a wait of ours takes longer than all else that is done with a row.
    """
    rows: list[Buffer] = []
    while len(rows) < ROWS_AT_ONCE and (row := (yield from copy._read_gen())):
        rows.append(row)
    return rows
