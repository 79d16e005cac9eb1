"""Classify the errors of PostgreSQL and its drivers: transient, the data's fault, or the system's fault.

The one classification for all of ``pipeline/``, by SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html). It
takes psycopg's errors and SQLAlchemy's around them.

    TRANSIENT   a transient error, which passes by itself: retry with backoff, without a limit of attempts
    DATA        a value does not fit: a retry gives the same; while records are loaded, the record is refused
    SYSTEM      a table, a right, a setting or the server is not as it should be: a few attempts, then a person has to act
"""

from __future__ import annotations

from enum import StrEnum

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.adapters.postgres_advice import advice_for
from pipeline.errors import BulkheadError, DataFault, NoSpace, SystemFault, TransientError, Unreachable

DATABASE_ERRORS = (psycopg.Error, DBAPIError, PoolTimeout)
"""The errors that ``kind_of`` and ``as_ours`` accept."""


class Kind(StrEnum):
    """Whose fault a database error is."""

    TRANSIENT = "transient"
    DATA = "data"
    SYSTEM = "system"


_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58", "72")
"""SQLSTATE classes: connection, rollback, resources (also a full disk), object in use, operator, operating system, snapshot."""

_DATA_CLASSES = ("21", "22", "23", "44", "54", "P0")
"""SQLSTATE classes: cardinality, value, constraint, a view's check, limits, raised by a trigger."""

_TRANSIENT_STATES = {
    "25006": "the server is read-only",  # a failover: this server is a replica by now
    "25P03": "the session said nothing for too long",
    "25P04": "the transaction took too long",
}

_SYSTEM_STATES = {
    "54001": "the statement is nested too deeply",
    "57014": "a statement took longer than it may",  # statement_timeout: only more time or less data helps
}

_POOLER = "A pooler gives each transaction another session: set BULKHEAD_DATABASE_POOLER=transaction (docs/operations.md)."
_ADVICE = {
    "42501": "Give the role in DATABASE_URL the right to do that, or run bulkhead migrate as the owner of the tables.",
    "57014": "PostgreSQL may be overloaded, or a lock is held for long; look at its log, then retry the import.",
    "26000": _POOLER,
    "42P05": _POOLER,
}
_ADVICE_BY_CLASS = {
    "42": "Run bulkhead migrate; if that does not help, report it with the worker's log.",
    "3F": "Run bulkhead migrate.",
    "28": "Check the user and the password in DATABASE_URL.",
    "3D": "Check the name of the database in DATABASE_URL.",
    "XX": "Look at PostgreSQL's log: its storage may be damaged.",
}
_DISK_FULL = "53100"
_REPORT_IT = "Report it with the worker's log."


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error; empty if it did not come from the server."""
    return getattr(_driver_error(error), "sqlstate", None) or ""


def kind_of(error: BaseException) -> Kind:
    """Return whose fault an error of DATABASE_ERRORS is."""
    if isinstance(error, PoolTimeout) or getattr(error, "connection_invalidated", False):
        return Kind.TRANSIENT
    state = sqlstate_of(error)
    if not state:
        return _kind_without_state(_driver_error(error))
    if state in _SYSTEM_STATES:
        return Kind.SYSTEM
    if state in _TRANSIENT_STATES or state[:2] in _TRANSIENT_CLASSES:
        return Kind.TRANSIENT
    return Kind.DATA if state[:2] in _DATA_CLASSES else Kind.SYSTEM


def _kind_without_state(error: BaseException) -> Kind:
    """Classify what the driver raised: the connection broke, a value cannot be sent (a NUL, say), or the statement is wrong."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Kind.TRANSIENT
    return Kind.DATA if isinstance(error, psycopg.DataError) else Kind.SYSTEM


def is_passing(error: BaseException) -> bool:
    """Return whether any error, of the database or not, is transient."""
    return isinstance(error, TransientError) or (isinstance(error, DATABASE_ERRORS) and kind_of(error) is Kind.TRANSIENT)


def as_ours(error: BaseException) -> BulkheadError:
    """Return an error of DATABASE_ERRORS as Unreachable, NoSpace, DataFault or SystemFault: what is wrong, and what to do."""
    kind, said = kind_of(error), in_words(error)
    if sqlstate_of(error) == _DISK_FULL:
        return NoSpace(f"PostgreSQL has no space left on its disk: {said}. The import goes on by itself when there is some.")
    if kind is Kind.TRANSIENT:
        return Unreachable(f"PostgreSQL does not answer as it should: {said}.{_advice(error)}")
    if kind is Kind.DATA:
        return DataFault(f"PostgreSQL cannot hold a value: {said}. {_REPORT_IT}")
    state = sqlstate_of(error)
    advice = _ADVICE.get(state) or _ADVICE_BY_CLASS.get(state[:2]) or _REPORT_IT
    return SystemFault(f"PostgreSQL refuses a statement: {said}. {advice}")


def unreachable(error: BaseException) -> Unreachable:
    """Return an error of a connection as Unreachable: what is wrong, where, and what to do."""
    return Unreachable(f"PostgreSQL does not answer: {in_words(error)}.{_advice(error)}")


def _advice(error: BaseException) -> str:
    advice = "" if sqlstate_of(error) else advice_for(str(_driver_error(error)))
    return f" {advice}" if advice else ""


def in_words(error: BaseException) -> str:
    """Return the error's message in one line, without full stop and statement, and the SQLSTATE."""
    line, state = message_of(error), sqlstate_of(error)
    return f"{line} ({state})" if state else line


def message_of(error: BaseException) -> str:
    """Return the first line of what the server or the driver said, without full stop and statement."""
    driver = _driver_error(error)
    said = driver.diag.message_primary if isinstance(driver, psycopg.Error) else None
    lines = (said or str(driver)).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(driver).__name__


def with_detail(error: psycopg.Error) -> str:
    """Return the error's message and, in parentheses, what the server added to it."""
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return message_of(error) + detail


def _driver_error(error: BaseException) -> BaseException:
    """Return the psycopg error that SQLAlchemy's wraps, or the error itself."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, BaseException) else error
