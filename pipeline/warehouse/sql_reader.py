"""Provide the login roles that run the SQL of users: read only, with limits."""

from __future__ import annotations

import psycopg
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.adapters.postgres import driver_connection, raw_connection
from pipeline.adapters.postgres_access import DatabaseAccess, to_replica
from pipeline.errors import NotReady, Unreachable
from pipeline.settings import Settings
from pipeline.sqlfiles import load
from pipeline.warehouse import dataset_roles
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.role_limits import log_in_as_we_do, set_limits, set_password

READER_ROLE = "bulkhead_reader"
"""The login role for the SQL of users: it may read the schema ``warehouse`` and nothing else."""


def make_reader(connection: Connection, password: str) -> str:
    """Create or renew the role READER_ROLE, unless only the database's administrator may; return in words what was done."""
    may = connection.execute(text("select rolcreaterole or rolsuper from pg_roles where rolname = current_user")).scalar()
    if not may:
        return f"role {READER_ROLE} left to the database's administrator"
    there = connection.execute(text("select 1 from pg_roles where rolname = :name"), {"name": READER_ROLE}).scalar()
    if not there:
        connection.exec_driver_sql(f"create role {READER_ROLE}")
    database, driver = connection.engine.url.database or "", driver_connection(connection)
    statements = SQL(load("queries/sql_reader/role")).format(role=Identifier(READER_ROLE), database=Identifier(database))
    driver.execute(statements)
    set_password(driver, READER_ROLE, password)
    log_in_as_we_do(driver, READER_ROLE)
    refused = set_limits(driver, READER_ROLE, database)
    without = f", without {' and '.join(refused)}, which only the database's administrator may set (docs/security.md)"
    return f"role {READER_ROLE}{without if refused else ''}"


def sql_url(settings: Settings, role: str = "") -> str:
    """Return where the SQL of users runs: BULKHEAD_SQL_URL, or the warehouse as the reader role that a migration made.

    ``role``: that of a set of datasets (dataset_roles.py), which logs in there with the same password.
    """
    url = make_url(settings.database_sql_url or settings.read_url)
    if role or not settings.database_sql_url:
        url = url.set(username=role or READER_ROLE)
    return url.render_as_string(hide_password=False)


def sql_access(settings: Settings, role: str = "") -> DatabaseAccess:
    """Return the access to ``sql_url``."""
    return to_replica(settings).at(sql_url(settings, role))


def grant(engine: Engine, settings: Settings, wanted: DatasetRole) -> None:
    """Make sure that SQL can run as the role of a set of datasets.

    Raises NotReady if the role is missing and we may not create it, Unreachable if that must wait.
    """
    password = make_url(sql_url(settings)).password or ""
    try:
        with raw_connection(engine) as raw:
            dataset_roles.make(raw, wanted, password)
    except pg.InsufficientPrivilege as error:
        raise NotReady("SQL is not open to this key yet: PostgreSQL lets Bulkhead make no schema for it.") from error
    except (psycopg.Error, DBAPIError, PoolTimeoutError) as error:
        raise Unreachable("PostgreSQL could not make the role that this query runs as. Try again in a moment.") from error
