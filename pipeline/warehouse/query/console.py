"""Run users' SQL so that it cannot write, exhaust resources, or read more than its login was granted.

Each query gets a new connection of a login role that may only read the schema ``warehouse``, a read-only transaction,
PostgreSQL's statement timeout, and a watchdog in this process that cancels it at its deadline even if it changed that timeout.
Rows come through a server-side cursor, so memory is bounded by what is kept. A key for some datasets has a console of a role
that may read only those (pipeline/warehouse/dataset_roles.py).
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.sql import SQL, Composed
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.adapters.postgres_errors import message_of
from pipeline.errors import InvalidRequest, Unreachable
from pipeline.sqlfiles import load
from pipeline.warehouse.query.guard import QueryRefused, guarded

FETCH_ROWS = 100
ROW_BYTES_MAX = 256 << 10
ANSWER_BYTES_MAX = 16 << 20
GRACE_SECONDS = 0.25
"""How much later than PostgreSQL's statement timeout the watchdog cancels."""

PLACE_SECONDS = 30.0
"""How long a query waits for its turn; the same as for a connection of an engine's pool."""

QUERY_BYTES = 1 << 30
"""Memory limit of a query, if PostgreSQL runs on this machine as our user; work_mem does not limit aggregates."""

_NONE_FREE = "All connections for queries are in use. Try again in a moment."


class QueryStopped(InvalidRequest):
    """The query took too long, or delayed replication, and was stopped."""


class ResultTooLarge(InvalidRequest):
    """The query needs too much memory, or its result is too large."""


@dataclass(frozen=True)
class Column:
    """A column of a result; ``type`` is PostgreSQL's name of it."""

    name: str
    type: str


@dataclass(frozen=True)
class Answer:
    """The result of a query. ``truncated``: it was cut at a limit."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool
    seconds: float


class Console:
    """Runs users' queries on an engine with a read-only login. Safe to share between threads.

    As many queries run at the same time as the engine has connections; others wait up to PLACE_SECONDS.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        seconds: float,
        rows_max: int,
        granted: bool = False,
        places: BoundedSemaphore | None = None,
        relations: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """``granted``: the role is for some datasets. ``places``: shared by all consoles on the same server. ``relations``:
        returns the names of the tables and views that the role may read; without it, PostgreSQL decides alone."""
        self._engine = engine
        self._granted = granted
        self._places = places
        self._relations = relations
        self.seconds = seconds
        self.rows_max = rows_max

    def run(self, sql: str, *, limit: int | None = None) -> Answer:
        """Return the first ``limit`` rows of ``sql``, at most ``rows_max`` and 16 MiB.

        Raises QueryRefused (not a SELECT, or wrong), QueryStopped (too slow), ResultTooLarge, Unreachable (no connection).
        """
        query = self._guarded(sql)
        rows_max = min(limit or self.rows_max, self.rows_max)
        began = time.monotonic()
        with self._limited_connection() as connection:
            columns, rows, truncated = _fetch(connection, _with_row_sizes(query), rows_max)
        return Answer(columns, rows, truncated, time.monotonic() - began)

    def plan(self, sql: str) -> list[str]:
        """Return PostgreSQL's plan of ``sql`` in lines, without running it. Raises as ``run`` does."""
        query = SQL(self._guarded(sql))
        explain = SQL(load("queries/console/plan")).format(query=query)
        with self._limited_connection() as connection:
            if self._granted:
                _refuse_to_estimate_others(connection, query)
            rows = connection.execute(explain, binary=True).fetchall()  # sent so, it may be only one statement
        return [str(line) for (line,) in rows]

    def _guarded(self, sql: str) -> str:
        return guarded(sql, granted=self._granted, relations=self._relations() if self._relations else None)

    @contextmanager
    def _limited_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a new connection with the time limits; convert PostgreSQL's errors to ours."""
        with self._new_connection() as connection, self._converted_errors(), _Watchdog(connection, self.seconds):
            limits = SQL(load("queries/console/limits"))
            row = connection.execute(limits.format(milliseconds=str(int(self.seconds * 1000)))).fetchone()
            assert row is not None
            _bound_memory(connection, row[0])
            yield connection

    @contextmanager
    def _new_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a connection for one query only, so that whatever the query sets ends with it."""
        with self._slot():
            try:
                pooled = self._engine.connect()
            except (OperationalError, PoolTimeoutError) as error:
                raise Unreachable(_NONE_FREE) from error
            try:
                raw: Any = pooled.connection.driver_connection
                raw.rollback()
                raw.read_only = True
                yield raw
            finally:
                pooled.invalidate()
                pooled.close()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._places is None:
            yield
            return
        if not self._places.acquire(timeout=PLACE_SECONDS):
            raise Unreachable(_NONE_FREE)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _converted_errors(self) -> Iterator[None]:
        """Convert PostgreSQL's errors to ours."""
        try:
            yield
        except pg.QueryCanceled as error:
            raise QueryStopped(
                f"The query was stopped after {self.seconds:g} seconds. Narrow it down, for instance with a WHERE on"
                ' id or "parentId", which are indexed.'
            ) from error
        except (pg.ConfigurationLimitExceeded, pg.OutOfMemory, pg.ProgramLimitExceeded, pg.DiskFull) as error:
            raise ResultTooLarge(f"The query needs too much memory or disk: {_message(error)}.") from error
        except pg.InvalidTextRepresentation as error:
            if '"a row of ' in str(error):
                raise ResultTooLarge(f"A row of the result is larger than the limit of {ROW_BYTES_MAX:,} bytes.") from error
            raise QueryRefused(f"{_message(error)}.") from error
        except pg.InsufficientPrivilege as error:
            raise QueryRefused(f"{_message(error)}: queries may only read the schema warehouse.") from error
        except pg.SerializationFailure as error:  # on a replica: the query conflicts with replication
            raise QueryStopped("The query was stopped because it delayed replication. Try again.") from error
        except psycopg.OperationalError as error:
            raise Unreachable("The connection to PostgreSQL was lost during the query.") from error
        except psycopg.Error as error:
            raise QueryRefused(f"{_message(error)}.") from error


def _bound_memory(connection: psycopg.Connection[Any], process: int) -> None:
    """Limit the memory of the PostgreSQL process of a query to QUERY_BYTES more than it has, if it runs on this machine.

    Above the limit its query fails with "out of memory"; otherwise the kernel might kill the whole server.
    """
    try:
        title = Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
        if not title.startswith("postgres") or f" {connection.info.user} {connection.info.dbname} " not in title:
            return  # PostgreSQL runs on another machine, and this is another process with the same id
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + QUERY_BYTES
        resource.prlimit(process, resource.RLIMIT_AS, (most, most))
    except (OSError, ValueError):  # no such process, or one of another user
        return


def _fetch(
    connection: psycopg.Connection[Any], query: Composed, rows_max: int
) -> tuple[tuple[Column, ...], list[tuple[Any, ...]], bool]:
    """Return columns, rows up to a limit, and whether there are more. The last column of ``query`` is a row's size."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    with connection.cursor(name="answer") as cursor:
        cursor.execute(query)
        columns = tuple(Column(c.name, c.type_display) for c in (cursor.description or [])[:-1])
        while fetched := cursor.fetchmany(FETCH_ROWS):
            for *values, row_bytes in fetched:
                size += row_bytes
                if len(rows) == rows_max or size > ANSWER_BYTES_MAX:
                    return columns, rows, True
                rows.append(tuple(values))
    return columns, rows, False


def _refuse_to_estimate_others(connection: psycopg.Connection[Any], query: SQL) -> None:
    """Refuse a plan over tables that other datasets share, since the planner's estimates depend on all their rows.

    Raises QueryRefused.
    """
    row = connection.execute(SQL(load("queries/console/plan_json")).format(query=query), binary=True).fetchone()
    if row is None or not _schemas_in(row[0]) <= {"warehouse"}:
        raise QueryRefused(
            "Plans are available only for queries over the tables of datasets and their marts. Run this query instead."
        )


def _schemas_in(plan: Any) -> set[str]:
    """Return the schemas of all tables in a plan of EXPLAIN (VERBOSE, FORMAT JSON)."""
    if isinstance(plan, list):
        return set().union(*map(_schemas_in, plan))
    if not isinstance(plan, dict):
        return set()
    own = {plan["Schema"]} if "Relation Name" in plan else set()
    return own | _schemas_in(list(plan.values()))


def _with_row_sizes(query: str) -> Composed:
    return SQL(load("queries/console/run")).format(
        query=SQL(query),
        row_bytes=ROW_BYTES_MAX,
    )


def _message(error: psycopg.Error) -> str:
    said = message_of(error)
    hint = f". {error.diag.message_hint.rstrip('.')}" if error.diag.message_hint else ""
    return said[:1].upper() + said[1:] + hint


class _Watchdog:
    """Cancels the statement of a connection when its time is over, from another thread."""

    def __init__(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="query watchdog", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = self._seconds + GRACE_SECONDS
        while not self._over.wait(pause):
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=2)
            pause = GRACE_SECONDS
