"""Give the role that the application connects as just what it needs, where another role owns the ledger.

The application's role owns the schema ``warehouse``: it refreshes marts and makes the readers' schemas. In the ledger it may
read and write rows; of the audit log it may only read and append (docs/decisions/0036). It is created by the database's
administrator, by the embedded stack for itself, or by the first migration, where the owner may create roles.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier

from pipeline.errors import NotReady
from pipeline.sqlfiles import load
from pipeline.warehouse import dataset_roles
from pipeline.warehouse.role_limits import scram_verifier

Connection = psycopg.Connection[Any]

_ADMIN_SINCE = 160_000
"""From PostgreSQL 16 on, a role that may create roles may alter only those that it was given, or has created."""


def create_missing(connection: Connection, role: str, password: str) -> bool:
    """Create the role, if there is none and the owner may create roles; return whether that was done.

    ``connection``: of the owner, which becomes a member of the role. PostgreSQL is sent a verifier (SCRAM) of the password, so
    that no log of statements has it. Raises NotReady if the role is missing and the owner may not create it.
    """
    row = connection.execute(load("queries/application_role/may_create"), {"role": role}).fetchone()
    assert row is not None, "a select without a table has a row"
    has_role, may_create, is_superuser = row
    if has_role:
        return False
    if not may_create:
        raise NotReady(
            f"PostgreSQL has no role {role}, which DATABASE_URL names, and the owner may not create roles."
            " docs/security.md says how to create it."
        )
    name = Identifier(role)
    with connection.transaction():
        connection.execute(SQL("create role {} login createrole").format(name))
        if password:
            connection.execute(SQL("alter role {} password {}").format(name, scram_verifier(connection, role, password)))
        if not is_superuser:
            connection.execute(SQL("grant {} to current_user").format(name))
    return True


def grant(connection: Connection, role: str, seconds: float) -> str:
    """Grant the role its privileges in this database; return in words what was done. ``connection``: of the owner.

    Safe to repeat. Each lock is waited for at most ``seconds``. Raises NotReady if there is no such role, or the owner may not
    grant something.
    """
    row = connection.execute(load("queries/application_role/state"), {"role": role}).fetchone()
    assert row is not None, "a select without a table has a row"
    has_role, has_ledger, has_audit_log, is_superuser = row
    if not has_role:
        raise NotReady(f"PostgreSQL has no role {role}, which DATABASE_URL names. docs/security.md says how to create it.")
    try:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = {int(seconds * 1000)}")
            _run(connection, "database", role)
            _own_warehouse(connection, role)
            if has_ledger:
                _run(connection, "ledger", role)
            if has_audit_log:
                _run(connection, "audit_log", role)
            if is_superuser:
                _let_limit_readers(connection, role)
                _administer_readers(connection, role)
    except pg.InsufficientPrivilege as error:
        said = str(error).partition("\n")[0]
        raise NotReady(
            f"The owner in BULKHEAD_MIGRATION_DATABASE_URL may not grant {role} what it needs: {said}."
            " docs/security.md says what both roles need."
        ) from error
    return f"privileges of {role}"


def _run(connection: Connection, name: str, role: str) -> None:
    statements = SQL(load(f"queries/application_role/{name}"))
    database = Identifier(connection.info.dbname)
    connection.execute(statements.format(role=Identifier(role), database=database))


def _own_warehouse(connection: Connection, role: str) -> None:
    """Make the role the owner of the schema warehouse and all in it. Readers' schemas of another owner are made anew."""
    owner = Identifier(role)
    connection.execute(SQL("create schema if not exists warehouse authorization {}").format(owner))
    connection.execute(SQL("alter schema warehouse owner to {}").format(owner))
    others = connection.execute(load("queries/application_role/others"), {"role": role}).fetchall()
    if others:
        dataset_roles.clear(connection)
    for kind, name in others:
        what = SQL("alter {} {} owner to {}")
        connection.execute(what.format(SQL(kind), Identifier("warehouse", name), owner))


def _let_limit_readers(connection: Connection, role: str) -> None:
    """Let the role give these settings, which are a superuser's, to the roles of readers."""
    for parameter in ("temp_file_limit", "track_activities"):
        granted = SQL("grant set on parameter {} to {}").format(Identifier(parameter), Identifier(role))
        connection.execute(granted)


def _administer_readers(connection: Connection, role: str) -> None:
    """Let the role alter the readers' roles that another role has created, without becoming one of them."""
    if connection.info.server_version < _ADMIN_SINCE:
        return
    for (name,) in connection.execute(load("queries/application_role/readers"), {"role": role}).fetchall():
        granted = SQL("grant {} to {} with admin true, inherit false, set false")
        connection.execute(granted.format(Identifier(name), Identifier(role)))
