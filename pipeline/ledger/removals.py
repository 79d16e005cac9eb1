"""What the retention policy removes, recorded in the ledger or deleted from it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.contracts.object_keys import Kept
from pipeline.contracts.states import State
from pipeline.ledger.statements import Statements, execute

_ROWS = {Kept.REPORT: "findings/discard", Kept.RESULTS: "failures/discard"}
"""The rows that go with objects: findings go with the report, failed records with the results."""


class Removals:
    """Record removals, and delete rows that have expired."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def mark(self, import_id: str, what: Kept, ended_by: datetime) -> bool:
        """Record, before any object is removed, that ``what`` of an import is no longer kept, and delete the rows that go with
        it.

        Return False, and do nothing, unless the import was settled by ``ended_by``.
        """
        settled = [state for state in State if state.is_settled]
        with self._engine.begin() as connection:
            connection.exec_driver_sql(may_take(LONG_SECONDS))
            marked = execute(
                connection, "imports/mark_removed", id=import_id, what=str(what), settled=settled, ended_by=ended_by
            ).first()
            if marked and what in _ROWS:
                execute(connection, _ROWS[what], import_id=import_id)
        return marked is not None

    def unpromoted(self, ended_by: datetime) -> list[str]:
        """Return the IDs of dry runs that ended by then and were not promoted, oldest first."""
        return [row["id"] for row in self._statements.rows("imports/unpromoted", since=ended_by)]

    def expire_idempotency_keys(self, since: datetime, *, dry_run: bool) -> int:
        """Delete the idempotency keys used before ``since``; with ``dry_run`` only count them. Return how many."""
        return self._expire("idempotency_keys/expire", dry_run, since=since)

    def expire_sign_ins(self, now: datetime, *, dry_run: bool) -> int:
        """Delete the sign-in links and sessions that have expired by ``now``; with ``dry_run`` only count them. Return how
        many."""
        self._expire("sessions/expire_states", dry_run, now=now)
        return self._expire("sign_ins/expire", dry_run, now=now) + self._expire("sessions/expire", dry_run, now=now)

    def expire_foreign_writes(self, before: datetime, *, dry_run: bool) -> int:
        """Delete the notes of other clients' writes before then that no import at work needs; with ``dry_run`` only count
        them. Return how many."""
        return self._expire("foreign_writes/forget", dry_run, before=before)

    def _expire(self, query: str, dry_run: bool, **values: datetime) -> int:
        with self._engine.connect() as connection, connection.begin() as transaction:
            count = execute(connection, query, **values).rowcount
            if dry_run:
                transaction.rollback()
        return count
