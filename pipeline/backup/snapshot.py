"""One moment of the database: an exported snapshot, and what the database says about itself in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pipeline.errors import NotReady, Unreachable
from pipeline.ledger.statements import execute
from pipeline.sqlfiles import quoted

OURS = ("access", "ledger", "warehouse")
"""The schemas of Bulkhead, beside one for each set of datasets that a key is limited to."""

OF_A_SET = "bulkhead_reader_"


@dataclass(frozen=True)
class Snapshot:
    """A moment of the database. ``snapshot`` is the name by which another session can use it, until this one ends."""

    snapshot: str
    taken_at: datetime
    server_version: str
    server_major: int
    role: str
    lsn: str
    ledger_version: str
    roles: tuple[str, ...]
    imports: Mapping[str, int]
    records: Mapping[str, int]
    other_schemas: tuple[str, ...]


@contextmanager
def open_snapshot(engine: Engine) -> Iterator[Snapshot]:
    """Hold one moment of the database during the block. Raises Unreachable, or NotReady if the database was never migrated."""
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
            connection.exec_driver_sql("set local idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql("set local statement_timeout = 0")
            yield _facts(connection)
    except DBAPIError as error:
        raise Unreachable(f"PostgreSQL does not answer as it should: {error.orig}") from error


def _facts(connection: Connection) -> Snapshot:
    if connection.exec_driver_sql("select to_regclass('public.alembic_version')").scalar() is None:
        raise NotReady("The database has no tables of Bulkhead, so there is nothing to back up. Create them: bulkhead migrate")
    return Snapshot(
        **execute(connection, "backup/facts").mappings().one(),
        ledger_version=str(connection.exec_driver_sql("select version_num from public.alembic_version").scalar()),
        roles=tuple(execute(connection, "backup/roles").scalars()),
        imports={row.state: row.imports for row in execute(connection, "backup/states")},
        records=records_in(connection),
        other_schemas=tuple(
            name for name in execute(connection, "backup/schemas").scalars() if name != "public" and not is_ours(name)
        ),
    )


def records_in(connection: Connection) -> dict[str, int]:
    """Return how many records each dataset's table has."""
    counts = {}
    for name in execute(connection, "backup/tables").scalars().all():
        counts[name] = int(connection.exec_driver_sql(f"select count(*) from warehouse.{quoted(name)}").scalar_one())
    return counts


def is_ours(schema: str) -> bool:
    """Return whether a schema is Bulkhead's; the scratch space of migrations is not."""
    return schema in OURS or schema.startswith(OF_A_SET)
