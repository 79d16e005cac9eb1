"""People's own SQL, run so that it can neither write, nor hog, nor look beyond what it was given.

Each query gets a connection of its own, as the login role that may only read the schema ``warehouse``, a read-only
transaction, PostgreSQL's own time limit, and a watchdog outside that ends it at its deadline even if it lifted that
limit. Rows come through a server-side cursor, so a billion of them cost no more memory than the page that is kept.
Whoever may see some datasets only has a console of a role that may read just those (pipeline/warehouse/dataset_roles.py).
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

from pipeline.errors import InvalidRequest, Unreachable
from pipeline.sqlfiles import load
from pipeline.warehouse.query.guard import QueryRefused, guarded

FETCH_ROWS = 100
ROW_BYTES_MAX = 256 << 10
ANSWER_BYTES_MAX = 16 << 20
GRACE_SECONDS = 0.25
"""PostgreSQL's own limit comes first; the watchdog bites this much later."""

PLACE_SECONDS = 30.0
"""As long as the pool of an engine has people wait."""

QUERY_BYTES = 1 << 30
"""Of memory for a query, where PostgreSQL runs on this machine and we may say so; work_mem bounds no aggregate."""

_NONE_FREE = "No connection for queries is free. Try again in a moment."


class QueryStopped(InvalidRequest):
    """The query took too long, or stood in the way, and was stopped."""


class ResultTooLarge(InvalidRequest):
    """The query needs more than a query may have."""


@dataclass(frozen=True)
class Column:
    """A column of an answer; ``type`` is PostgreSQL's name of it."""

    name: str
    type: str


@dataclass(frozen=True)
class Answer:
    """What a query gave. ``truncated``: there was more than the limits let through."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool
    seconds: float


class Console:
    """Runs people's queries on an engine that logs in as the reader role. Safe to share between threads.

    As many run at once as the engine has connections; who comes later waits for a while.
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
        """``granted``: the role is that of some datasets. ``places``: shared by all consoles that run on the same server.
        ``relations``: names the tables and views that the role may read; without it, PostgreSQL says which there are."""
        self._engine = engine
        self._granted = granted
        self._places = places
        self._relations = relations
        self.seconds = seconds
        self.rows_max = rows_max

    def run(self, sql: str, *, limit: int | None = None) -> Answer:
        """The first ``limit`` rows that ``sql`` gives, at most ``rows_max`` of them and 16 MiB.

        Raises QueryRefused (not a SELECT, or wrong), QueryStopped (too slow), ResultTooLarge, Unreachable (no connection).
        """
        query = self._guarded(sql)
        rows_max = min(limit or self.rows_max, self.rows_max)
        began = time.monotonic()
        with self._limited_connection() as connection:
            columns, rows, truncated = _fetch(connection, _measured(query), rows_max)
        return Answer(columns, rows, truncated, time.monotonic() - began)

    def plan(self, sql: str) -> list[str]:
        """How PostgreSQL would answer ``sql``, line by line; nothing is run. Raises as ``run`` does."""
        query = SQL(self._guarded(sql))
        explain = SQL(load("queries/console/plan")).format(query=query)
        with self._limited_connection() as connection:
            if self._granted:
                _refuse_to_estimate_others(connection, query)
            rows = connection.execute(explain, prepare=True).fetchall()  # what is prepared is one statement, whatever it says
        return [str(line) for (line,) in rows]

    def _guarded(self, sql: str) -> str:
        return guarded(sql, granted=self._granted, relations=self._relations() if self._relations else None)

    @contextmanager
    def _limited_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A fresh connection under the limits of time; what PostgreSQL says on it comes out as our errors."""
        with self._fresh_connection() as connection, self._complaints(), _Watchdog(connection, self.seconds):
            limits = SQL(load("queries/console/limits"))
            connection.execute(limits.format(milliseconds=str(int(self.seconds * 1000))))
            yield connection

    @contextmanager
    def _fresh_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection that nobody used before and nobody will after: whatever a query set ends with it."""
        with self._a_place():
            try:
                pooled = self._engine.connect()
            except (OperationalError, PoolTimeoutError) as error:
                raise Unreachable(_NONE_FREE) from error
            try:
                raw: Any = pooled.connection.driver_connection
                raw.rollback()
                raw.read_only = True
                _bound_memory(raw)
                yield raw
            finally:
                pooled.invalidate()
                pooled.close()

    @contextmanager
    def _a_place(self) -> Iterator[None]:
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
    def _complaints(self) -> Iterator[None]:
        """What PostgreSQL says, in our families of errors."""
        try:
            yield
        except pg.QueryCanceled as error:
            raise QueryStopped(
                f"The query was stopped after {self.seconds:g} seconds. Narrow it down, for instance with a WHERE on"
                ' id or "parentId", which are indexed.'
            ) from error
        except (pg.ConfigurationLimitExceeded, pg.OutOfMemory, pg.ProgramLimitExceeded, pg.DiskFull) as error:
            raise ResultTooLarge(f"The query needs too much memory or disk: {_words(error)}.") from error
        except pg.InvalidTextRepresentation as error:
            if '"a row of ' in str(error):
                raise ResultTooLarge(f"A row of the answer is over the limit of {ROW_BYTES_MAX:,} bytes.") from error
            raise QueryRefused(f"{_words(error)}.") from error
        except pg.InsufficientPrivilege as error:
            raise QueryRefused(f"{_words(error)}: queries may only read the schema warehouse.") from error
        except pg.SerializationFailure as error:  # on a replica: the query reads what the warehouse has changed since
            raise QueryStopped(
                "The query was stopped, so that the replica can keep up with the warehouse. Try again."
            ) from error
        except psycopg.OperationalError as error:
            raise Unreachable("The connection to PostgreSQL broke off during the query.") from error
        except psycopg.Error as error:
            raise QueryRefused(f"{_words(error)}.") from error


def _bound_memory(connection: psycopg.Connection[Any]) -> None:
    """Give PostgreSQL's process behind a connection QUERY_BYTES more than it has, if it runs here and is ours to limit.

    Beyond them its query ends with "out of memory", instead of the whole server by the kernel's choice.
    """
    process = connection.info.backend_pid
    try:
        title = Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
        if not title.startswith("postgres") or f" {connection.info.user} {connection.info.dbname} " not in title:
            return  # PostgreSQL runs elsewhere, and here it is another process that has this number
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + QUERY_BYTES
        resource.prlimit(process, resource.RLIMIT_AS, (most, most))
    except (OSError, ValueError):  # no such process here, or another user's
        return


def _fetch(
    connection: psycopg.Connection[Any], query: Composed, rows_max: int
) -> tuple[tuple[Column, ...], list[tuple[Any, ...]], bool]:
    """Rows until one of the limits; the last column of ``query`` is a row's size, and stays here."""
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
    """What the planner expects of a table tells of all its rows. Of tables that hold other datasets' too, nothing is told.

    Raises QueryRefused.
    """
    row = connection.execute(SQL(load("queries/console/plan_json")).format(query=query), prepare=True).fetchone()
    if row is None or not _schemas_in(row[0]) <= {"warehouse"}:
        raise QueryRefused(
            "A plan can be shown of queries over the tables of datasets and their marts alone. Run this one instead."
        )


def _schemas_in(plan: Any) -> set[str]:
    """The schemas of all tables in a plan, as EXPLAIN (VERBOSE, FORMAT JSON) has it."""
    if isinstance(plan, list):
        return set().union(*map(_schemas_in, plan))
    if not isinstance(plan, dict):
        return set()
    own = {plan["Schema"]} if "Relation Name" in plan else set()
    return own | _schemas_in(list(plan.values()))


def _measured(query: str) -> Composed:
    return SQL(load("queries/console/run")).format(
        query=SQL(query),
        row_bytes=ROW_BYTES_MAX,
    )


def _words(error: psycopg.Error) -> str:
    said = (error.diag.message_primary or str(error)).strip().rstrip(".")
    hint = f". {error.diag.message_hint.rstrip('.')}" if error.diag.message_hint else ""
    return said[:1].upper() + said[1:] + hint


class _Watchdog:
    """Ends what a connection is doing, from outside, once its time is over."""

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
