"""Awaited uploads in the ledger.

While a process receives an import's file it holds a lease on the upload, and renews it. An upload whose lease has lapsed is
given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from pipeline.contracts.states import MOVES, State
from pipeline.ledger import transitions
from pipeline.ledger.audit_log import Also
from pipeline.ledger.statements import Statements, execute


@dataclass(frozen=True)
class StaleUpload:
    """An awaited upload that may be over."""

    import_id: str
    key: str
    was_leased: bool


class Uploads:
    """Renew, complete and forget awaited uploads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def renew(self, import_id: str, seconds: float) -> None:
        """Renew the lease of the process that receives the import's file: for ``seconds`` from now."""
        self._statements.run("imports/renew", id=import_id, seconds=seconds)

    def lapsed_key(self, import_id: str) -> str | None:
        """Return the key of an awaited upload whose lease has lapsed; None if there is no such upload."""
        rows = self._statements.rows("imports/lapsed", id=import_id)
        return rows[0]["key"] if rows else None

    def complete(self, import_id: str, *, size_bytes: int, sha256: str, etag: str, also: Also | None = None) -> None:
        """Record that the file is complete in S3, and queue its import unless the object's event has done so before.

        An empty ``sha256`` leaves the one that is known. ``also`` appends to the audit log in the same transaction. Raises
        LookupError if there is no such import.
        """
        with self._engine.begin() as connection:
            row = transitions.lock(connection, import_id)
            state = State(row["state"])
            execute(connection, "imports/complete_upload", id=import_id, size_bytes=size_bytes, sha256=sha256, etag=etag)
            if state is State.AWAITING_UPLOAD:
                reason = MOVES[state][State.QUEUED]
                transitions.record_move(connection, import_id, state, State.QUEUED, reason, dataset=row["dataset"])
            if also:
                also(connection)

    def discard(self, import_id: str) -> None:
        """Delete the row of an import whose upload was never completed."""
        self._statements.run("imports/discard", id=import_id)

    def stale(self, since: datetime | None) -> list[StaleUpload]:
        """Return the uploads whose lease has lapsed and, of those without a lease, the ones opened before ``since``."""
        return [StaleUpload(**row) for row in self._statements.rows("imports/stale", since=since)]
