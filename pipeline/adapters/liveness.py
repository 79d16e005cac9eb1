"""Tell a server that is silent from one that is slow, so that a person gets an answer within seconds.

A server that is frozen, or behind a proxy that accepts and forwards nothing, keeps its connections: the kernel acknowledges
what is sent, so that neither TCP nor the server's own time limits end the wait. A slow statement looks the same. What tells
them apart is a second, cheap question: a Pulse asks it, one at a time for the whole process, as soon as an answer is overdue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg

PATIENCE_SECONDS = 1.0
"""After so long without an answer to a statement the server is asked whether it still answers at all."""

SILENT_SECONDS = 1.5
"""A server that has not answered that question for so long counts as silent."""

ASK_AGAIN_SECONDS = 0.2

T = TypeVar("T")


class SilentError(psycopg.OperationalError):
    """The server holds the connection open and answers nothing."""


class Liveness:
    """Knows whether a server answers. Safe to share between threads; starts no thread before it has to.

    ``probe`` asks the server: True if all is well, False if it answered something else (an error, a refused connection). It
    raises TimeoutError if nothing came back, and is then called again until something does.
    """

    def __init__(self, probe: Callable[[], bool]) -> None:
        self._probe = probe
        self._changed = threading.Condition()
        self._asked_at: float | None = None  # since when a question is without an answer
        self._answers = 0
        self._is_well = False

    @property
    def silent(self) -> bool:
        """The server has not answered for SILENT_SECONDS, and has not been heard since."""
        asked_at = self._asked_at
        return asked_at is not None and time.monotonic() - asked_at >= SILENT_SECONDS

    def suspect(self, *, waited: float = 0.0) -> None:
        """An answer is overdue, by ``waited`` seconds already: ask the server, unless it is being asked."""
        with self._changed:
            began = time.monotonic() - waited
            if self._asked_at is not None:
                self._asked_at = min(self._asked_at, began)
                return
            self._asked_at = began
            threading.Thread(target=self._ask, name="pulse", daemon=True).start()

    def is_well(self, seconds: float) -> bool:
        """Ask now, and wait at most ``seconds`` for the answer."""
        with self._changed:
            before = self._answers
            self.suspect()
            return self._changed.wait_for(lambda: self._answers > before, seconds) and self._is_well

    def _ask(self) -> None:
        while (is_well := self._answer()) is None:
            time.sleep(ASK_AGAIN_SECONDS)
        with self._changed:
            self._asked_at, self._is_well = None, is_well
            self._answers += 1
            self._changed.notify_all()

    def _answer(self) -> bool | None:
        try:
            return self._probe()
        except TimeoutError:
            return None
        except Exception:  # whatever went wrong, it was an answer
            return False


def of_postgresql(conninfo: str) -> Liveness:
    """The pulse of a PostgreSQL server: a fresh connection and a statement, as any client would."""

    def probe() -> bool:
        try:
            connection = _Limited.connect(conninfo, connect_timeout=2, application_name="bulkhead pulse", autocommit=True)
            with connection:
                return connection.execute("select true").fetchone() == (True,)
        except (psycopg.errors.ConnectionTimeout, SilentError) as error:
            raise TimeoutError from error

    return Liveness(probe)


class _Limited(psycopg.Connection[Any]):
    """A connection on which every wait ends after SILENT_SECONDS."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Raises SilentError."""
        until = time.monotonic() + SILENT_SECONDS
        return super().wait(_watched(gen, lambda: time.monotonic() > until, self), *args, **options)


def watched(pulse: Liveness, seconds: float | None = None) -> type[psycopg.Connection[Any]]:
    """A class of connections that give up a server which ``pulse`` finds silent, and any wait of more than ``seconds``.

    The connection is closed then: what the server makes of the statement is not known.
    """

    class Watched(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
            """Raises SilentError."""
            return super().wait(_watched(gen, _Overdue(pulse, seconds), self), *args, **options)

    return Watched


class _Overdue:
    """Whether a wait is to be given up; asked about ten times a second while it lasts."""

    def __init__(self, pulse: Liveness, seconds: float | None) -> None:
        self._pulse, self._seconds, self._began = pulse, seconds, time.monotonic()

    def __call__(self) -> bool:
        waited = time.monotonic() - self._began
        if waited > PATIENCE_SECONDS:
            self._pulse.suspect()
        return self._pulse.silent or (self._seconds is not None and waited > self._seconds)


def _watched(
    gen: Generator[Any, Any, T], overdue: Callable[[], bool], connection: psycopg.Connection[Any]
) -> Generator[Any, Any, T]:
    """The generator, which ends with SilentError where nothing comes and it is ``overdue``."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and overdue():
                gen.close()
                connection.pgconn.finish()
                raise SilentError("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as stop:
        value: T = stop.value
        return value


__all__ = ["Liveness", "SilentError", "of_postgresql", "watched"]
