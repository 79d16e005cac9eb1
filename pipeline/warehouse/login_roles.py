"""Make and drop the roles of logins to the database: each may read what one role for a set of datasets may, and nothing else.

A login's role is a member of that role (dataset_roles.py, sql_reader.py), owns nothing and may create nothing. PostgreSQL lets
a session change its own time limits, so the worker also ends sessions that go beyond them (``end_unruly``).
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from pipeline.sqlfiles import load
from pipeline.warehouse.role_limits import scram_verifier, set_limits
from pipeline.warehouse.sql_reader import READER_ROLE

Connection = psycopg.Connection[Any]

PREFIX = "bulkhead_login_"
CONNECTIONS = 5
"""How many connections a login may have at a time: a program like Power BI or Metabase opens several."""

UNRULY_AFTER = 60
"""How many seconds beyond the time limit a query may run before its session is ended."""

_INHERIT_SINCE = 160_000
"""From PostgreSQL 16 on, a membership says itself whether it gives the role's rights."""


def new_role() -> str:
    """Return a name for a role that says nothing of its owner: others can read it in PostgreSQL's catalog."""
    return PREFIX + secrets.token_hex(8)


def new_password() -> str:
    """Return a password of 192 random bits, without a character that an address or a shell would change."""
    return secrets.token_hex(24)


def create(connection: Connection, role: str, reader: str, password: str, until: datetime, seconds: float) -> None:
    """Create the role of a login within the caller's transaction. ``seconds``: the time limit of a query.

    PostgreSQL is sent a verifier (SCRAM) of the password, so that no log of statements has it.
    """
    name = Identifier(role)
    connection.execute(SQL("create role {} password {}").format(name, Literal(scram_verifier(connection, role, password))))
    join(connection, role, reader)
    connection.execute(SQL(load("queries/login_roles/role")).format(role=name, milliseconds=Literal(str(int(seconds * 1000)))))
    limits = SQL("alter role {} connection limit {} valid until {}")
    connection.execute(limits.format(name, Literal(CONNECTIONS), Literal(until.isoformat())))
    set_limits(connection, role, connection.info.dbname, parameters=("temp_file_limit",))
    _let_us_end_sessions(connection, role)


def join(connection: Connection, role: str, reader: str) -> None:
    """Make a login's role a member of this reader's role alone, and its schema what names without a schema mean."""
    for (before,) in connection.execute(load("queries/login_roles/readers"), {"role": role}).fetchall():
        if before != reader:
            connection.execute(SQL("revoke {} from {}").format(Identifier(before), Identifier(role)))
    connection.execute(SQL("grant {} to {}").format(Identifier(reader), Identifier(role)))
    schema = "warehouse" if reader == READER_ROLE else reader
    connection.execute(SQL("alter role {} set search_path = {}").format(Identifier(role), Identifier(schema)))


def close(connection: Connection, role: str) -> None:
    """Refuse new sessions of a login's role, if there is one."""
    if _is_there(connection, role):
        connection.execute(SQL("alter role {} nologin").format(Identifier(role)))


def drop(connection: Connection, role: str) -> None:
    """End the sessions of a login's role, then drop it with all that it may have. Safe to repeat."""
    if not _is_there(connection, role):
        return
    _let_us_end_sessions(connection, role)
    connection.execute(load("queries/login_roles/end_sessions"), {"role": role})
    connection.execute(SQL("drop owned by {}").format(Identifier(role)))
    connection.execute(SQL("drop role {}").format(Identifier(role)))


def left_over(connection: Connection, live: frozenset[str]) -> list[str]:
    """Return the closed roles of logins of this database that are not live: their removal was interrupted."""
    rows = connection.execute(load("queries/login_roles/closed"), {"database": connection.info.dbname}).fetchall()
    return [name for (name,) in rows if name not in live]


def end_unruly(connection: Connection, seconds: float) -> int:
    """End sessions of logins that hold an advisory lock, or whose query has run past its limit; return how many."""
    return len(connection.execute(load("queries/login_roles/end_unruly"), {"seconds": seconds + UNRULY_AFTER}).fetchall())


def _is_there(connection: Connection, role: str) -> bool:
    row = connection.execute("select to_regrole(quote_ident(%s)) is not null", (role,)).fetchone()
    return bool(row and row[0])


def _let_us_end_sessions(connection: Connection, role: str) -> None:
    """Become a member of a login's role, without which PostgreSQL lets us neither end its sessions nor drop what it owns."""
    option = " with inherit true, set false" if connection.info.server_version >= _INHERIT_SINCE else ""
    connection.execute(SQL(f"grant {{}} to current_user{option}").format(Identifier(role)))
