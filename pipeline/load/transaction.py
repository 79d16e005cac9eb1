"""The transaction of one part: its time limit, and what an error of PostgreSQL in it means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from pipeline.adapters.postgres_errors import Kind, as_ours, in_words, kind_of, sqlstate_of
from pipeline.errors import Unreachable

Connection = psycopg.Connection[Any]

NO_SUCH_COLUMN = "42703"
"""The part has a column that the table gets by ``bulkhead migrate``: the part waits until then."""

STATEMENT_SECONDS = 1200
"""The time limit of each statement of a part; one that takes longer is stuck."""


@contextmanager
def transaction(connection: Connection, *, force_rollback: bool = False) -> Iterator[None]:
    """Open the one transaction of a part, with the time limit of its statements."""
    with connection.transaction(force_rollback=force_rollback):
        connection.execute(f"set local statement_timeout = {STATEMENT_SECONDS * 1000}")
        yield


@contextmanager
def converted_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors as ours (postgres_errors.py); a column that is missing until a migration is waited for."""
    try:
        yield
    except psycopg.Error as error:
        if sqlstate_of(error) == NO_SUCH_COLUMN:
            said = in_words(error)
            raise Unreachable(f"The table is not yet as its file declares it; run bulkhead migrate: {said}.") from error
        raise as_ours(error) from error


def is_refusal(error: psycopg.Error) -> bool:
    """Return whether the warehouse refuses a value: then the record is at fault, and the rest can be loaded."""
    return kind_of(error) is Kind.DATA
