"""Connections through a pooler that gives a client a session for one transaction only (PgBouncer's pool_mode = transaction).

Nothing that outlives a transaction can be relied on there: what a session would be set to once is set in each transaction, and
nothing is prepared. What is sent outside of a transaction (autocommit) goes by the defaults of the server and the role.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.abc import PQGen
from psycopg.sql import SQL, Literal

_ISOLATION = "default_transaction_isolation"


class PooledConnection(psycopg.Connection[Any]):
    """A connection that can set parameters anew in each of its transactions."""

    _opening: bytes = b""

    def set_in_each_transaction(self, settings: Mapping[str, str]) -> None:
        """Have each transaction begin with these settings, and have nothing prepared: another session may run the next one."""
        self.prepare_threshold = None
        self.isolation_level = IsolationLevel.READ_COMMITTED
        pieces = [
            SQL("set_config({}, {}, true)").format(Literal(name), Literal(value))
            for name, value in settings.items()
            if name != _ISOLATION
        ]
        self._opening = (SQL("select ") + SQL(", ").join(pieces)).as_bytes(self) if pieces else b""

    def _exec_command(self, command: Any, *args: Any, **options: Any) -> PQGen[Any]:
        """Send a command of psycopg's own, and after BEGIN the settings."""
        result = yield from super()._exec_command(command, *args, **options)
        if self._opening and self._begin_statement and command == self._begin_statement:
            yield from super()._exec_command(self._opening)
        return result


def unique_name(name: str) -> str:
    """Return an application_name that no other client has. PgBouncer gives it to whichever session serves the client, so that
    pg_stat_activity shows that one."""
    return f"{name} {uuid.uuid4().hex[:12]}"
