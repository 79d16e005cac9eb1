"""Wait for locks in short tries, so that readers and loads that come later are not held up behind the wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from sqlalchemy.exc import DBAPIError

from pipeline.errors import Unreachable
from pipeline.sqlfiles import load

T = TypeVar("T")

LOCK_SECONDS = (0.2, 0.5, 1.0, *[2.0] * 40)
"""How long each try waits for a lock that keeps others waiting behind it. Between tries all others get in for as long. The
longest is some ten times what loading a part takes."""


def with_locks(attempt: Callable[[float], T], what: str, holders: Callable[[], str] = lambda: "") -> T:
    """Return what ``attempt`` returns, tried until it gets its locks.

    ``attempt`` is given the seconds that it may wait for a lock, and leaves nothing behind if it fails. A statement that waits
    for a lock holds up all that come after it, so each try waits only briefly. Raises Unreachable after the last try: ``what``
    is in use, ``holders`` says by which sessions.
    """
    for seconds in LOCK_SECONDS:
        try:
            return attempt(seconds)
        except (psycopg.Error, DBAPIError) as error:
            cause = getattr(error, "orig", error)
            if not (isinstance(cause, pg.LockNotAvailable | pg.DeadlockDetected) or is_role_conflict(cause)):
                raise
        time.sleep(seconds)
    raise Unreachable(f"{what} is in use all the time{holders()}. Try again later.")


def is_role_conflict(error: object) -> bool:
    """Return whether another session created or changed the same role at the same time.

    Roles belong to the whole server, so no lock within one database can prevent it. PostgreSQL has no SQLSTATE for it.
    """
    if isinstance(error, pg.UniqueViolation):
        return error.diag.constraint_name == "pg_authid_rolname_index"
    if isinstance(error, pg.DuplicateObject):
        return (error.diag.message_primary or "").startswith("role ")
    return isinstance(error, pg.InternalError_) and "concurrently updated" in str(error)


def wait_at_most(seconds: float) -> str:
    """Return the statement that limits the wait for a lock in the current transaction."""
    return f"set local lock_timeout = {int(seconds * 1000)}"


def lock_holders(connection: psycopg.Connection[Any], table: str) -> str:
    """Return the sessions that hold locks on a table, in words; empty if there are none."""
    rows = connection.execute(load("queries/tables/holders"), {"relation": table}).fetchall()
    return f", by the session {', '.join(row[0] for row in rows)}" if rows else ""
