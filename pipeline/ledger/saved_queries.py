"""Saved queries of the SQL page and the last queries that were run there, each of one API key or person.

The text of a query may have values of records. So an owner whose datasets have changed since (a person in other groups) sees
only what it wrote with no more than it may read now. No other key sees it, not an admin's either.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import ApiKey
from pipeline.ledger.audit_log import Also
from pipeline.ledger.statements import Statements, execute

SAVED_MAX = 200
"""How many queries an owner may save; a list that a person can still read."""

RUNS_KEPT = 50
"""How many of the last queries of an owner are kept."""

RUNS_KEPT_FOR = timedelta(days=90)
"""How long at most; as long as the reports of audits by default."""

NAME_CHARACTERS_MAX = 120
SQL_CHARACTERS_MAX = 100_000


@dataclass(frozen=True)
class SavedQuery:
    """A query that was saved under a name."""

    id: str
    name: str
    sql: str
    saved_at: datetime


@dataclass(frozen=True)
class QueryRun:
    """A query that was run: how long it took, and how many rows it answered; if ``is_truncated``, there were more."""

    sql: str
    seconds: float
    row_count: int
    is_truncated: bool
    ran_at: datetime


class SavedQueries:
    """Save, list and delete queries; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def save(self, owner: ApiKey, name: str, sql: str, also: Callable[[str], Also]) -> str:
        """Save a query, in place of one of that name if there is one; return its ID. Raises InvalidRequest.

        ``also(ID)`` ends the transaction: the audit log.
        """
        name = " ".join(name.replace("\0", "").split())
        if not 0 < len(name) <= NAME_CHARACTERS_MAX:
            raise InvalidRequest(f"Give the query a name of 1 to {NAME_CHARACTERS_MAX} characters.")
        given = {**_scope(owner), "name": name, "sql": _text(sql), "most": SAVED_MAX}
        with self._engine.begin() as connection:
            id_ = execute(connection, "saved_queries/save", **given).scalar()
            if id_ is None:
                raise InvalidRequest(f"You have {SAVED_MAX} saved queries, which is the limit. Delete one first.")
            also(str(id_))(connection)
        return str(id_)

    def list(self, owner: ApiKey) -> Sequence[SavedQuery]:
        """Return the saved queries of an owner by name."""
        return [SavedQuery(**row) for row in self._statements.rows("saved_queries/list", **_scope(owner))]

    def get(self, owner: ApiKey, query_id: str) -> SavedQuery | None:
        """Return a saved query of an owner by its ID, or None."""
        try:
            rows = self._statements.rows("saved_queries/get", id=uuid.UUID(query_id), **_scope(owner))
        except ValueError:
            return None
        return SavedQuery(**rows[0]) if rows else None

    def delete(self, owner: ApiKey, query_id: str, also: Also) -> bool:
        """Delete a saved query of an owner; return whether there was one. ``also`` ends the transaction."""
        try:
            given = {"id": uuid.UUID(query_id), "owner_id": uuid.UUID(owner.id)}
        except ValueError:
            return False
        with self._engine.begin() as connection:
            is_known = execute(connection, "saved_queries/delete", **given).first() is not None
            if is_known:
                also(connection)
        return is_known

    def note_run(self, owner: ApiKey, sql: str, *, seconds: float, rows: int, truncated: bool) -> None:
        """Note that an owner ran a query, and forget all but its last RUNS_KEPT."""
        given = {"sql": _text(sql), "seconds": seconds, "row_count": rows, "is_truncated": truncated}
        self._statements.run("query_runs/add", **_scope(owner), **given, most=RUNS_KEPT - 1)  # beside the one that is added

    def runs(self, owner: ApiKey) -> Sequence[QueryRun]:
        """Return the last queries of an owner, newest first."""
        return [QueryRun(**row) for row in self._statements.rows("query_runs/list", **_scope(owner))]

    def forget_runs(self, owner: ApiKey, also: Also) -> None:
        """Forget the last queries of an owner. ``also`` ends the transaction."""
        with self._engine.begin() as connection:
            execute(connection, "query_runs/clear", owner_id=uuid.UUID(owner.id))
            also(connection)

    def expire(self, now: datetime) -> None:
        """Forget what was run more than RUNS_KEPT_FOR ago, and what keys saved that stopped working as long ago."""
        for name in ("query_runs/expire", "saved_queries/expire"):
            self._statements.run(name, since=now - RUNS_KEPT_FOR)


def _scope(owner: ApiKey) -> dict[str, Any]:
    """Return an owner, and what it may see, as the statements take it."""
    datasets = None if owner.datasets is None else list(owner.datasets)
    return {"owner_id": uuid.UUID(owner.id), "datasets": datasets, "unmask": owner.unmask}


def _text(sql: str) -> str:
    """Return a query with the line ends of SQL files. Raises InvalidRequest if there is none, or it is too long to be kept."""
    text = sql.replace("\r\n", "\n").replace("\0", "").encode("utf-8", "replace").decode()
    if not text.strip():
        raise InvalidRequest("There is no query to save. Write one first.")
    if len(text) > SQL_CHARACTERS_MAX:
        raise InvalidRequest(f"A query of more than {SQL_CHARACTERS_MAX:,} characters is not kept.")
    return text
