"""Give a set of datasets a schema in PostgreSQL with views of just their tables, and a login role for that schema alone.

The SQL of an API key for some datasets runs as that role. It has no right to the schema ``warehouse``, nor to any other, so
PostgreSQL itself keeps it from every row that was not granted; and a name that was not granted cannot be told from one that
does not exist. A mart is granted if it reads only granted tables, however indirectly. Findings come through a security barrier
view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from pipeline.contracts.masking import MASK
from pipeline.errors import NotReady
from pipeline.sqlfiles import load
from pipeline.warehouse.lock_waits import is_role_conflict
from pipeline.warehouse.role_limits import log_in_as_we_do, set_limits, set_password

Connection = psycopg.Connection[Any]

_LOCK = 727_074_002
"""The key of the advisory lock under which one process at a time makes schemas and roles; an arbitrary constant."""

_LOCK_SECONDS = 2

_ROLE_TRIES = 10
"""Another process may change the same role at the same time; each try then finds what that one did."""


@dataclass(frozen=True)
class DatasetRole:
    """A set of datasets, sorted by name, and the columns of some of them whose values are masked, sorted by dataset."""

    datasets: tuple[str, ...]
    masked: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def name(self) -> str:
        """The name of the role and of the schema. It does not reveal the datasets."""
        told = [*self.datasets, *(f"{name}\0{column}" for name, columns in self.masked for column in columns)]
        return "bulkhead_reader_" + hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def make(connection: Connection, granted: DatasetRole, password: str) -> None:
    """Create or renew the set's schema and role. Safe to repeat; ``connection`` is in autocommit mode.

    Raises NotReady if the role is missing and we may not create it.
    """
    for tries_left in reversed(range(_ROLE_TRIES)):
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'")
                connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                _make_role(connection, granted, password)
                _make_schema(connection, granted)
            return
        except psycopg.Error as error:
            if not (tries_left and is_role_conflict(error)):
                raise


def renew(connection: Connection, sets: Iterable[DatasetRole]) -> list[str]:
    """Bring the schemas of these sets up to the current tables and marts, within the caller's transaction; return their names.

    A set without a role is left alone: it is made when it is first used.
    """
    known = [granted for granted in sets if _state(connection, granted)[0]]
    for granted in known:
        _make_schema(connection, granted)
    return [granted.name for granted in known]


def clear(connection: Connection) -> None:
    """Drop the schemas of all sets, so that a mart they read can be replaced; ``renew`` follows in the same transaction."""
    for (name,) in connection.execute(load("queries/dataset_roles/schemas")).fetchall():
        connection.execute(SQL("drop schema {} cascade").format(Identifier(name)))


def _state(connection: Connection, granted: DatasetRole) -> tuple[bool, str, bool]:
    row = connection.execute(load("queries/dataset_roles/state"), {"name": granted.name}).fetchone()
    assert row is not None, "we are a role ourselves"
    return row[0], row[1], row[2]


def _make_role(connection: Connection, granted: DatasetRole, password: str) -> None:
    there, _, may = _state(connection, granted)
    if not there and not may:
        raise NotReady(
            f"SQL is not open to this key yet: PostgreSQL lacks the role {granted.name}, which Bulkhead may not make itself."
            " docs/security.md says how the database's administrator does."
        )
    if not may:
        return
    if not there:
        connection.execute(SQL("create role {}").format(Identifier(granted.name)))
    connection.execute(
        SQL(load("queries/dataset_roles/role")).format(
            role=Identifier(granted.name), database=Identifier(connection.info.dbname)
        )
    )
    set_password(connection, granted.name, password)
    log_in_as_we_do(connection, granted.name)
    set_limits(connection, granted.name, connection.info.dbname)


def _make_schema(connection: Connection, granted: DatasetRole) -> None:
    """Create the views, or replace them if they are out of date, and grant the role the right to read them."""
    statements = [*_views(connection, granted)]
    digest = hashlib.sha256("\n".join(one.as_string(connection) for one in statements).encode()).hexdigest()
    made_from, schema = f"bulkhead: granted, {digest}", Identifier(granted.name)
    if _state(connection, granted)[1] != made_from:
        connection.execute(SQL("drop schema if exists {} cascade").format(schema))
        connection.execute(SQL("create schema {}").format(schema))
        connection.execute(SQL("comment on schema {} is {}").format(schema, Literal(made_from)))
        for statement in statements:
            connection.execute(statement)
    connection.execute(SQL(load("queries/dataset_roles/schema")).format(role=schema))


def _views(connection: Connection, granted: DatasetRole) -> Iterable[Composed]:
    """Yield the statements that create the views. A mart that reads a table with masked columns has none."""
    datasets, schema, masked = list(granted.datasets), Identifier(granted.name), dict(granted.masked)
    asked = {"datasets": datasets, "clear": [name for name in datasets if name not in masked]}
    for name, columns in connection.execute(load("queries/dataset_roles/relations"), asked).fetchall():
        hidden = masked.get(name, ())
        shown = SQL(", ").join(_masked(one) if one in hidden else Identifier(one) for one in columns)
        yield (
            SQL("create view {}.{} with (security_barrier = true) as select {} from warehouse.{}").format(
                schema, Identifier(name), shown, Identifier(name)
            )
            if hidden
            else SQL("create view {}.{} as select {} from warehouse.{}").format(
                schema, Identifier(name), shown, Identifier(name)
            )
        )
    findings = SQL(load("queries/dataset_roles/findings")).format(
        schema=schema, datasets=Literal(datasets), masked=Literal([*masked]), mask=Literal(MASK)
    )
    yield findings


def _masked(column: str) -> Composed:
    return SQL("case when {} is not null then {} end as {}").format(Identifier(column), Literal(MASK), Identifier(column))
