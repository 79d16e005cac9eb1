"""One lock for all that deletes objects and all that must not miss one: retention, and backups."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from pipeline.errors import Conflict

_KEY = 727_074_002
"""The key of the advisory lock; an arbitrary constant."""

_PAUSE_SECONDS = 0.5


@contextmanager
def removal_lock(engine: Engine, *, wait_seconds: float = 0.0, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock during the block; it ends with the connection, so a killed process does not keep it.

    ``waiting`` is called once if another process has it. Raises Conflict if it has it for longer than ``wait_seconds``.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until, has_waited = time.monotonic() + wait_seconds, False
        while not _try(connection):
            if time.monotonic() >= until:
                raise Conflict("A backup or a clean-up is running. Try again when it has ended.")
            if not has_waited:
                waiting()
            has_waited = True
            time.sleep(_PAUSE_SECONDS)
        try:
            yield
        finally:
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": _KEY})


def _try(connection: Connection) -> bool:
    return bool(connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": _KEY}).scalar())
