"""Connect to PostgreSQL: engines whose sessions have time limits, and the state of the server and its replica."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from pipeline import exact_json
from pipeline.adapters import postgres_sessions
from pipeline.adapters.liveness import Liveness
from pipeline.adapters.postgres_sessions import KEEPALIVE, Session, SilentError, give_up_when_silent
from pipeline.sqlfiles import load

STATEMENT_SECONDS = 60.0
"""The time limit of a statement of ours, unless it is given another."""

LONG_SECONDS = 3600.0
"""The time limit of one that goes through all of a file or a table."""


def connect(
    url: str,
    *,
    pool_size: int = 5,
    name: str = "bulkhead",
    statement_seconds: float | None = STATEMENT_SECONDS,
    idle_seconds: float | None = None,
    silence_seconds: float | None = None,
    pool_seconds: float = 30.0,
    server: Liveness | None = None,
) -> Engine:
    """Return an engine on ``url`` with at most ``pool_size`` connections; a dead connection is noticed and replaced.

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
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_seconds,
        pool_pre_ping=True,
        connect_args={"application_name": name, "connect_timeout": 5, **KEEPALIVE},
        json_deserializer=exact_json.loads,  # numbers of JSON keep all their digits
    )
    if server is None:

        @event.listens_for(engine, "do_connect")
        def begin(dialect: Any, record: Any, args: Any, options: Any) -> Session:
            return Session.begin(*args, settings=settings, silence_seconds=silence_seconds, **options)

    else:
        _watch_liveness(engine, server, settings, statement_seconds)
    return engine


_CONNECT_SECONDS = 2
"""The shortest time limit that psycopg allows for connecting."""


def _watch_liveness(engine: Engine, server: Liveness, settings: Mapping[str, str], statement_seconds: float | None) -> None:
    """Have the engine's connections give up a silent server. A server that answers ends a statement by its own limit first."""
    kind = give_up_when_silent(server, statement_seconds + _CONNECT_SECONDS if statement_seconds else None)

    @event.listens_for(engine, "do_connect")
    def make(dialect: Any, record: Any, args: Any, options: dict[str, Any]) -> psycopg.Connection[Any]:
        if server.silent:
            raise SilentError
        try:
            connection = kind.connect(*args, **(options | {"connect_timeout": _CONNECT_SECONDS}))
        except pg.ConnectionTimeout:
            server.suspect(waited=_CONNECT_SECONDS)
            raise
        return postgres_sessions.apply(connection, settings)


def liveness_of(url: str) -> Liveness:
    """Return the Liveness of the PostgreSQL server at ``url``."""
    return postgres_sessions.liveness_of(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


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


def is_up(engine: Engine) -> bool:
    """Return whether PostgreSQL answers."""
    try:
        with engine.connect() as connection:
            return bool(connection.execute(text("select true")).scalar())
    except DBAPIError:
        return False
