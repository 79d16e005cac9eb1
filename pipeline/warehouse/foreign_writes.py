"""Notice foreign writes: changes by another client to a dataset's table during an import.

Validation judges a file against the warehouse as it was then. The queue keeps other imports away until the load is over, but
not a client with SQL of its own. A trigger on each dataset's table notes every transaction that is not a load
(sql/migrations/versions/0013); an import whose validation did not see such a transaction checks again (docs/decisions/0023).
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import load

Connection = psycopg.Connection[Any]

WHAT = "The warehouse table was changed by another client during the load"

CHECK_SECONDS = 900
"""The time limit of the check of the whole table after such a change; it takes a minute for ten million records."""


def is_noted(connection: Connection, dataset: Dataset) -> bool:
    """Return whether the dataset's table has the trigger that notes writes of other clients."""
    row = connection.execute(
        load("queries/foreign_writes/trigger_there"), {"relation": f'warehouse."{dataset.name}"'}
    ).fetchone()
    return bool(row and row[0])


def note(connection: Connection, dataset: Dataset) -> None:
    """Create the trigger that notes writes of other clients to the dataset's table."""
    connection.execute(SQL(load("queries/foreign_writes/trigger")).format(table=Identifier("warehouse", dataset.name)))


def was_changed(connection: Connection, import_id: str) -> bool:
    """Return whether another client wrote to the import's table after its validation began."""
    return connection.execute(load("queries/foreign_writes/changed"), {"import_id": import_id}).fetchone() is not None


def orphans(connection: Connection, dataset: Dataset, first: int, last: int) -> list[tuple[int, str]]:
    """Return (place, parent) of the records of ``arriving`` at places first..last-1 whose parent is gone."""
    query = SQL(load("queries/foreign_writes/orphans")).format(
        table=Identifier("warehouse", dataset.name), key=Identifier(dataset.key), parent=Identifier(dataset.parent)
    )
    return connection.execute(query, {"first": first, "last": last}).fetchall()


def damage(connection: Connection, dataset: Dataset, import_id: str, written: int) -> str:
    """Return in words what other clients did to an import that inserted or updated ``written`` records; empty if nothing.

    Checks the whole table, but only if there was such a change. ``connection`` must be in no transaction.
    """
    with connection.transaction():
        connection.execute(f"set local statement_timeout = {CHECK_SECONDS * 1000}")
        by = connection.execute(load("queries/foreign_writes/changed"), {"import_id": import_id}).fetchone()
        if by is None:
            return ""
        query = SQL(load("queries/foreign_writes/damage")).format(
            table=Identifier("warehouse", dataset.name), key=Identifier(dataset.key), parent=Identifier(dataset.parent)
        )
        row = connection.execute(query, {"import_id": import_id}).fetchone()
    assert row is not None
    return _in_words(by, written, *row)


def _in_words(by: tuple[Any, ...], written: int, present: int, orphans: int, on_cycles: int) -> str:
    operation, role, client, at = by
    gone = max(written - present, 0)
    found = {
        f"{gone:,} of the {written:,} records that it wrote are gone or were written again": gone,
        f"{orphans:,} of its records have a parent that is not there": orphans,
        f"{on_cycles:,} records of the table are on a cycle or below one": on_cycles,
    }
    faults = [text for text, count in found.items() if count]
    if not faults:
        return ""
    known_as = f"{role}, {client}" if client else role
    return (
        f"{WHAT} ({operation} by {known_as}, {at:%Y-%m-%d %H:%M:%S} UTC): {'; '.join(faults)}."
        " Mend the table, then upload the file again with force; let no other role write to it."
    )
