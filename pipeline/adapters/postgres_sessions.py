"""Sessions with PostgreSQL that cannot wait for ever: each notices a server that fell silent, and can be told to stop.

TCP alone does not: a host that vanishes in a failover, or a proxy that holds its connections and forwards nothing, leaves a
client waiting for hours. So a session in which nothing was heard for some time asks on a second connection what the server does
for it. As long as that is work, it waits on; else it is closed, and the statement fails as if the connection had broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

SILENCE_SECONDS = 30.0
"""Nothing was heard for so long: ask what the server does. A second look follows after SECOND_LOOK_SECONDS, then it is over."""

SECOND_LOOK_SECONDS = 5.0

BEGIN_SECONDS, ANSWER_SECONDS = 30.0, 15.0
"""For the first statements of a session, and for the question what the server does: the answers are at hand."""

KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""What the kernel notices by itself: the other host is gone."""

stop_asked: ContextVar[Callable[[], bool] | None] = ContextVar("stop_asked", default=None)
"""Tells whether the work of this thread is to stop: its long statements are then canceled. Set by attempt.py."""

_ACTIVITY = """select state = 'active' and wait_event_type is distinct from 'Client'
    from pg_catalog.pg_stat_activity where pid = %s"""

_SET = "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as wanted (name, value)"


class Session(psycopg.Connection[Any]):
    """A connection that waits no longer than it makes sense."""

    silence_seconds = SILENCE_SECONDS
    _asked: dict[str, Any]
    _server_pid = 0

    @classmethod
    def begin(cls, *args: Any, settings: dict[str, str], silence_seconds: float | None = None, **options: Any) -> Session:
        """Connect as psycopg does, and apply ``settings`` to the session."""
        session = cls.connect(*args, **options)
        session._asked = {"conninfo": args[0] if args else "", **options}
        session.silence_seconds = cls.silence_seconds if silence_seconds is None else silence_seconds
        apply(session, settings)
        try:
            session._server_pid = _pid(session)
        except BaseException:
            session.close()
            raise
        return session

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, but raise OperationalError when the server does nothing for us any more."""
        if timeout is None and not self._server_pid:  # it is only just begun
            timeout = BEGIN_SECONDS
        return super().wait(self._watched(gen), interval, timeout)

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """``gen``, which is driven with 0 whenever the interval passes and nothing was heard."""
        try:
            wants = next(gen)
            look_at, doubts, stopped = time.monotonic() + self.silence_seconds, 0, False
            while True:
                ready = yield wants
                if ready:
                    look_at, doubts = time.monotonic() + self.silence_seconds, 0
                elif not stopped and (asked := stop_asked.get()) and asked():
                    stopped = True
                    self._cancel_statement()
                elif time.monotonic() >= look_at and self._server_pid:
                    doubts = 0 if self._is_served() else doubts + 1
                    if doubts > 1:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(
                            f"the server has said nothing for {self.silence_seconds:g} seconds, and is not at work for us"
                        )
                    look_at = time.monotonic() + (SECOND_LOOK_SECONDS if doubts else self.silence_seconds)
                sent = gen.send(ready)
                wants = sent if ready else wants
        except StopIteration as end:
            result: T = end.value
            return result

    def _cancel_statement(self) -> None:
        """The statement then fails by itself; if the server does not hear of it, its silence will be noticed."""
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=5.0)

    def _is_served(self) -> bool:
        """The server is at work for this session, and does not wait for us as we wait for it."""
        try:
            with _Question.connect(**self._asked, autocommit=True) as other:
                row = other.execute(_ACTIVITY, (self._server_pid,)).fetchone()
        except psycopg.Error:
            return False
        return bool(row and row[0])


Kind = TypeVar("Kind", bound=psycopg.Connection[Any])


def apply(connection: Kind, settings: Mapping[str, str]) -> Kind:
    """Apply ``settings`` to a session that has just begun, and return it; close it if that fails.

    By a statement, not by ``options`` at the start, which a pooler such as PgBouncer refuses.
    """
    try:
        connection.autocommit = True
        connection.execute(_SET, (list(settings), list(settings.values())))
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def _pid(connection: psycopg.Connection[Any]) -> int:
    """The server's process that serves the connection: behind a pooler, not the one that it tells us of."""
    with connection.transaction():
        row = connection.execute("select pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


class _Question(psycopg.Connection[Any]):
    """A connection for one question, to be answered soon."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
