"""Sessions with PostgreSQL whose waits end: each notices a server that fell silent, and can be told to stop.

TCP alone does not notice: a host that vanishes in a failover, or a proxy that holds its connections and forwards nothing,
leaves a client waiting for hours. Two kinds of sessions differ in how they tell silence from a long statement:

- Session, for the worker: after some time without an answer it asks on a second connection what the server does for it. As
  long as that is work, it waits on; otherwise it is closed, and the statement fails as if the connection had broken.
- the class that ``give_up_when_silent`` makes, for people who wait: it ends within seconds, as soon as a Liveness, shared by
  the whole process, finds the server silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import psycopg

from pipeline.adapters.liveness import PATIENCE_SECONDS, SILENT_SECONDS, Liveness
from pipeline.adapters.postgres_access import DatabaseAccess
from pipeline.adapters.postgres_pooled import PooledConnection, unique_name

T = TypeVar("T")
Connection = TypeVar("Connection", bound=PooledConnection)

SILENCE_SECONDS = 30.0
"""How long nothing may be heard before a Session asks what the server does. It asks again after SECOND_LOOK_SECONDS."""

SECOND_LOOK_SECONDS = 5.0

BEGIN_SECONDS, ANSWER_SECONDS = 30.0, 15.0
"""Time limits of the first statements of a Session, and of the question what the server does."""

KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""TCP keepalive: the kernel notices by itself that the other host is gone."""

stop_asked: ContextVar[Callable[[], bool] | None] = ContextVar("stop_asked", default=None)
"""Tells whether the work of this thread is to stop: its long statements are then canceled. Set by heartbeat_and_failures.py."""

_ACTIVITY = """select coalesce(bool_or(state = 'active' and wait_event_type is distinct from 'Client'), false)
    from pg_catalog.pg_stat_activity where pid = %s or application_name = %s"""

_SET = "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as wanted (name, value)"


class SilentError(psycopg.OperationalError):
    """The server holds the connection open and answers nothing."""

    def __init__(self, message: str = "the server does not answer") -> None:
        super().__init__(message)


class _Watch(Protocol):
    """Decides during one wait whether to go on."""

    def heard(self) -> None:
        """Note that the server sent something, or took something in."""

    def nothing_heard(self) -> None:
        """Look whether to wait on; called about ten times a second. Raises psycopg.Error to end the wait."""


def _watched(gen: Generator[Any, Any, T], watch: _Watch, connection: psycopg.Connection[Any]) -> Generator[Any, Any, T]:
    """Return psycopg's generator of a wait, observed by ``watch``. If that ends the wait, the connection is closed.

    psycopg sends 0 whenever its interval passes and nothing was heard, and then ignores what the generator yields.
    """
    try:
        wants = next(gen)
        while True:
            ready = yield wants
            if ready:
                watch.heard()
            else:
                try:
                    watch.nothing_heard()
                except psycopg.Error:
                    gen.close()
                    connection.pgconn.finish()
                    raise
            sent = gen.send(ready)
            wants = sent if ready else wants
    except StopIteration as end:
        result: T = end.value
        return result


class Session(PooledConnection):
    """A connection that ends a wait if the server does nothing for it any more, and a statement if its thread is to stop."""

    silence_seconds = SILENCE_SECONDS
    _access: DatabaseAccess
    _options: dict[str, Any]
    _server_pid = 0
    _server_name = ""

    @classmethod
    def begin(
        cls,
        *args: Any,
        access: DatabaseAccess,
        settings: Mapping[str, str],
        silence_seconds: float | None = None,
        **options: Any,
    ) -> Session:
        """Connect as psycopg does, and apply ``settings`` to the session."""
        if access.pooled:
            options["application_name"] = unique_name(options.get("application_name", "bulkhead"))
        session = cls.connect(*args, **options | access.secret())
        session._access, session._options = access, {"conninfo": args[0] if args else "", **options}
        session.silence_seconds = cls.silence_seconds if silence_seconds is None else silence_seconds
        apply(session, settings, pooled=access.pooled)
        try:
            session._server_pid = _pid(session)
            session._server_name = options["application_name"] if access.pooled else ""
        except BaseException:
            session.close()
            raise
        return session

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, but raise OperationalError when the server does nothing for this session any more."""
        if timeout is None and not self._server_pid:  # it has only just begun
            timeout = BEGIN_SECONDS
        return super().wait(_watched(gen, _SilenceWatch(self), self), interval, timeout)

    def cancel_statement(self) -> None:
        """Ask the server to cancel the statement. If it does not hear of it, its silence will be noticed."""
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=5.0)

    @property
    def has_begun(self) -> bool:
        """Whether the server's process is known."""
        return bool(self._server_pid)

    def is_served(self) -> bool:
        """Ask on a second connection whether the server works for this session, and does not itself wait for the client."""
        try:
            options = {**self._options, **self._access.secret(), "application_name": "bulkhead liveness", "autocommit": True}
            with _Brief.connect(**options) as other:
                asked = (None, self._server_name) if self._server_name else (self._server_pid, None)
                row = other.execute(_ACTIVITY, asked).fetchone()
        except psycopg.Error:
            return False
        return bool(row and row[0])


class _SilenceWatch:
    """Ends a wait of a Session that is not served: asked twice, SECOND_LOOK_SECONDS apart. Cancels its statement on request."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_stopped = False
        self.heard()

    def heard(self) -> None:
        self._look_at, self._doubts = time.monotonic() + self._session.silence_seconds, 0

    def nothing_heard(self) -> None:
        if not self._is_stopped and (is_to_stop := stop_asked.get()) and is_to_stop():
            self._is_stopped = True
            self._session.cancel_statement()
        elif time.monotonic() >= self._look_at and self._session.has_begun:
            self._look()

    def _look(self) -> None:
        silence = self._session.silence_seconds
        self._doubts = 0 if self._session.is_served() else self._doubts + 1
        if self._doubts > 1:
            raise psycopg.OperationalError(f"the server has said nothing for {silence:g} seconds, and is not at work for us")
        self._look_at = time.monotonic() + (SECOND_LOOK_SECONDS if self._doubts else silence)


def give_up_when_silent(server: Liveness, seconds: float | None = None) -> type[PooledConnection]:
    """Return a class of connections that give up once ``server`` is silent, and end any wait of more than ``seconds``.

    Giving up raises SilentError and closes the connection: what the server makes of the statement is not known.
    """

    class Watched(PooledConnection):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            """Raises SilentError."""
            return super().wait(_watched(gen, _OverdueWatch(server, seconds), self), interval, timeout)

    return Watched


class _OverdueWatch:
    """Ends a wait once ``server`` is silent, or after ``seconds``; has the server probed after PATIENCE_SECONDS."""

    def __init__(self, server: Liveness | None, seconds: float | None) -> None:
        self._server, self._seconds, self._began = server, seconds, time.monotonic()

    def heard(self) -> None:
        """Nothing to note: the time limit is for the whole wait."""

    def nothing_heard(self) -> None:
        waited = time.monotonic() - self._began
        if self._server and waited > PATIENCE_SECONDS:
            self._server.suspect()
        if (self._server and self._server.silent) or (self._seconds is not None and waited > self._seconds):
            raise SilentError


class _Brief(psycopg.Connection[Any]):
    """A connection for one question, on which no wait lasts longer than ANSWER_SECONDS."""

    seconds = ANSWER_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises SilentError."""
        return super().wait(_watched(gen, _OverdueWatch(None, self.seconds), self), interval, timeout)


class _Probe(_Brief):
    """The same for a Liveness, which has less time."""

    seconds = SILENT_SECONDS


def liveness_of(access: DatabaseAccess) -> Liveness:
    """Return the Liveness of a PostgreSQL server; its probe is a new connection and a statement, as any client would send."""

    def probe() -> bool:
        options = {"connect_timeout": 2, "application_name": "bulkhead liveness", "autocommit": True, **access.secret()}
        try:
            connection = _Probe.connect(access.conninfo, **options)
            with connection:
                return connection.execute("select true").fetchone() == (True,)
        except (psycopg.errors.ConnectionTimeout, SilentError) as error:
            raise TimeoutError from error

    return Liveness(probe)


def apply(connection: Connection, settings: Mapping[str, str], *, pooled: bool) -> Connection:
    """Apply ``settings`` to a session that has just begun, and return it; close it if that fails.

    By a statement, not by ``options`` at the start, which a pooler such as PgBouncer refuses. ``pooled``: in each transaction.
    """
    if pooled:
        connection.set_in_each_transaction(settings)
        return connection
    try:
        connection.autocommit = True
        connection.execute(_SET, (list(settings), list(settings.values())))
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def _pid(connection: psycopg.Connection[Any]) -> int:
    """Return the id of the server process that serves the connection: behind a pooler, not the one that the pooler reports."""
    with connection.transaction():
        row = connection.execute("select pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0
