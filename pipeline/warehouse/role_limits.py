"""Set up a reader's role: the limits that PostgreSQL leaves to superusers or to a login that was granted them, and its login.

The login of a managed service (Amazon RDS) is no superuser. There a role goes without such a limit, and the caller says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier

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


def log_in_as_we_do(connection: psycopg.Connection[Any], role: str) -> None:
    """Have a role log in by tokens of AWS IAM if our own does (on RDS: a member of rds_iam). Then no password is taken."""
    row = connection.execute(load("queries/token_logins/by_token")).fetchone()
    if row and row[0]:
        connection.execute(SQL("grant rds_iam to {}").format(Identifier(role)))
