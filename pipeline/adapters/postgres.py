"""Connect to PostgreSQL: engines whose sessions have time limits, and the state of the server and its replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from psycopg import errors as pg
from sqlalchemy import Connection, Engine, create_engine, event, text

from pipeline import exact_json
from pipeline.adapters import postgres_sessions
from pipeline.adapters.liveness import Liveness
from pipeline.adapters.postgres_access import OLDEST_MAJOR, DatabaseAccess, as_access
from pipeline.adapters.postgres_pooled import PooledConnection
from pipeline.adapters.postgres_sessions import KEEPALIVE, Session, SilentError, give_up_when_silent
from pipeline.errors import NotReady
from pipeline.sqlfiles import load
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import POOL_IN_USE, POOL_LIMIT

STATEMENT_SECONDS = 60.0
"""The time limit of a statement of ours, unless it is given another."""

LONG_SECONDS = 3600.0
"""The time limit of one that goes through all of a file or a table."""


_Begin = Callable[..., PooledConnection]
"""Makes a connection from what SQLAlchemy gives a driver."""


def connect(
    to: str | DatabaseAccess,
    *,
    pool_size: int = 5,
    name: str = "bulkhead",
    statement_seconds: float | None = STATEMENT_SECONDS,
    idle_seconds: float | None = None,
    silence_seconds: float | None = None,
    pool_seconds: float = 30.0,
    server: Liveness | None = None,
) -> Engine:
    """Return an engine on a URL, or on what to_database and to_replica return, with at most ``pool_size`` connections.

    A dead connection is noticed and replaced. Connecting raises NotReady if the server is older than OLDEST_MAJOR.

    PostgreSQL ends a statement after ``statement_seconds`` (``may_take`` allows one more; None: never), and a session that has
    been idle in a transaction for ``idle_seconds``. A thread waits at most ``pool_seconds`` for a connection. A server that
    falls silent is noticed after ``silence_seconds``, or, for people who wait, as soon as ``server`` finds it silent
    (postgres_sessions.py).
    """
    limits = {"statement_timeout": statement_seconds, "idle_in_transaction_session_timeout": idle_seconds}
    settings = {limit: str(int(seconds * 1000)) for limit, seconds in limits.items() if seconds}
    settings["default_transaction_isolation"] = (
        "read committed"  # whatever the database's default: after waiting for a lock, what its holder did is visible
    )
    access = as_access(to)
    engine = create_engine(
        access.parsed,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_seconds,
        pool_pre_ping=True,
        connect_args={"application_name": name, "connect_timeout": 5, **KEEPALIVE},
        json_deserializer=exact_json.loads,  # numbers of JSON keep all their digits
    )
    if server is None:
        begin: _Begin = partial(Session.begin, access=access, settings=settings, silence_seconds=silence_seconds)
    else:
        begin = _begin_watched(access, server, settings, statement_seconds)

    @event.listens_for(engine, "do_connect")
    def do_connect(dialect: Any, record: Any, args: Any, options: dict[str, Any]) -> PooledConnection:
        try:
            return _not_too_old(begin(*args, **options))
        except psycopg.OperationalError:
            access.log_in_again()
            raise

    _measure_pool(engine, name.removeprefix("bulkhead "), pool_size)
    return engine


def _measure_pool(engine: Engine, pool: str, pool_size: int) -> None:
    """Keep the metrics of the engine's pool. The limit is set with each connection: a process that is forked has a pool of its
    own."""

    @event.listens_for(engine, "connect")
    def connected(*_: Any) -> None:
        metrics.set_to(POOL_LIMIT, pool_size, pool=pool)

    @event.listens_for(engine, "checkout")
    def taken(*_: Any) -> None:
        metrics.change(POOL_IN_USE, 1, pool=pool)

    @event.listens_for(engine, "checkin")
    def returned(*_: Any) -> None:
        metrics.change(POOL_IN_USE, -1, pool=pool)


_CONNECT_SECONDS = 2
"""The shortest time limit that psycopg allows for connecting."""


def _begin_watched(
    access: DatabaseAccess, server: Liveness, settings: Mapping[str, str], statement_seconds: float | None
) -> _Begin:
    """Return what makes connections that give up a silent server. One that answers ends a statement by its own limit first."""
    kind = give_up_when_silent(server, statement_seconds + _CONNECT_SECONDS if statement_seconds else None)

    def begin(*args: Any, **options: Any) -> PooledConnection:
        if server.silent:
            raise SilentError
        try:
            connection = kind.connect(*args, **(options | access.secret() | {"connect_timeout": _CONNECT_SECONDS}))
        except pg.ConnectionTimeout:
            server.suspect(waited=_CONNECT_SECONDS)
            raise
        return postgres_sessions.apply(connection, settings, pooled=access.pooled)

    return begin


def _not_too_old(connection: PooledConnection) -> PooledConnection:
    """Return the connection. Raises NotReady, and closes it, if the server is of a version that Bulkhead does not run on."""
    major, minor = divmod(connection.info.server_version, 10_000)
    if major >= OLDEST_MAJOR:
        return connection
    where = f"{connection.info.host}:{connection.info.port}"
    connection.close()
    raise NotReady(
        f"PostgreSQL at {where} is version {major}.{minor}, and Bulkhead needs {OLDEST_MAJOR} or newer. Upgrade the server, or"
        " set DATABASE_URL to another one."
    )


def liveness_of(to: str | DatabaseAccess) -> Liveness:
    """Return the Liveness of a PostgreSQL server."""
    return postgres_sessions.liveness_of(as_access(to))


def may_take(seconds: float) -> str:
    """Return the statement that sets the time limit of each statement of the current transaction."""
    return f"set local statement_timeout = {int(seconds * 1000)}"


@contextmanager
def raw_connection(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """Open a driver connection in autocommit mode, for statements that cannot run in a transaction."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: Any = connection.connection.driver_connection
        yield raw


def driver_connection(connection: Connection) -> psycopg.Connection[Any]:
    """Return the psycopg connection of a SQLAlchemy connection."""
    driver: Any = connection.connection.driver_connection
    raw: psycopg.Connection[Any] = driver
    return raw


@dataclass(frozen=True)
class ReplicaState:
    """What a server that is read from says about itself."""

    is_replica: bool
    is_migrated: bool
    lag_seconds: float


def replica_state(engine: Engine) -> ReplicaState:
    """Return whether it is a replica, whether it has our tables, and how far it lags behind (0 if it is no replica)."""
    with engine.connect() as connection:
        return ReplicaState(*connection.execute(text(load("queries/tables/replica_state"))).one())
