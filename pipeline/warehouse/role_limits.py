"""Set up a reader's role: the limits that PostgreSQL leaves to superusers or to a login that was granted them, and its login.

A password that is right is left alone. A new verifier of it would have a new salt, and PgBouncer, which logs in with keys from
the verifier that it saw last, would be refused, and would not try again for 15 seconds (its server_login_retry).

The login of a managed service (Amazon RDS) is no superuser. There a role goes without such a limit, and the caller says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from pipeline.sqlfiles import load

PARAMETERS = ("temp_file_limit", "track_activities")
"""The parameters, each with its statement in sql/queries/reader_limits/."""


def set_limits(
    connection: psycopg.Connection[Any], role: str, database: str, parameters: Sequence[str] = PARAMETERS
) -> tuple[str, ...]:
    """Set them within the caller's transaction; return the names of those that we may not set."""
    refused = []
    for parameter in parameters:
        statement = SQL(load(f"queries/reader_limits/{parameter}"))
        try:
            with connection.transaction():  # a savepoint
                connection.execute(statement.format(role=Identifier(role), database=Identifier(database)))
        except pg.InsufficientPrivilege:
            refused.append(parameter)
    return tuple(refused)


def set_password(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    """Give a role this password within the caller's transaction, unless the role logs in with it already.

    PostgreSQL is sent a verifier (SCRAM), so that no log of statements has the password. An empty one is none.
    """
    if password and _logs_in(connection, role, password):
        return
    verifier = scram_verifier(connection, role, password) if password else None
    connection.execute(SQL("alter role {} password {}").format(Identifier(role), Literal(verifier)))


def scram_verifier(connection: psycopg.Connection[Any], role: str, password: str) -> str:
    """Return what PostgreSQL keeps of a role's password, with a new salt (RFC 5803)."""
    return connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()


def _logs_in(connection: psycopg.Connection[Any], role: str, password: str) -> bool:
    """Return whether the server that ``connection`` is to asks this role for a password, and takes this one."""
    address = connection.info.get_parameters() | {"user": role, "require_auth": "!none", "connect_timeout": "5"}
    try:
        psycopg.connect(make_conninfo("", **address), password=password).close()
    except psycopg.Error:
        return False
    return True


def log_in_as_we_do(connection: psycopg.Connection[Any], role: str) -> None:
    """Have a role log in by tokens of AWS IAM if our own does (on RDS: a member of rds_iam). Then no password is taken."""
    row = connection.execute(load("queries/token_logins/by_token")).fetchone()
    if row and row[0]:
        connection.execute(SQL("grant rds_iam to {}").format(Identifier(role)))
