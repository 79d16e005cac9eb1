"""Audits in the ledger: at most one at work for each dataset, which the index audit_at_work enforces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.contracts.audits import AuditRef, AuditState, AuditStep
from pipeline.errors import Canceled, Conflict, IllegalMove, InvalidRequest, Superseded
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.statements import Statements, execute
from pipeline.sqlfiles import without_nul


class AuditAtWork(Conflict):
    """Another audit of the dataset has not ended. ``audit_id`` is that one."""

    def __init__(self, audit_id: str) -> None:
        super().__init__(f"Audit {audit_id} of this dataset has not ended.")
        self.audit_id = audit_id


class RequestKeyReused(InvalidRequest):
    """The idempotency key was used for another request."""


@dataclass(frozen=True)
class RequestKey:
    """A request's idempotency key: ``owner`` is the API key that sent it, ``fingerprint`` a hash of what it asks for."""

    owner: str
    value: str
    fingerprint: str


class AuditMessage(StrEnum):
    """What a dataset's recipients were notified of after an audit."""

    NONE = "none"
    ERRORS = "errors"
    CLEAN = "clean"  # there are no errors any more


@dataclass(frozen=True)
class UndecidedAudit:
    """An audit that succeeded. ``known``: the last message that recipients got about an audit of the dataset, if any."""

    id: str
    dataset: str
    scheduled: bool
    finished_at: datetime
    records: int
    invalid: int
    findings_errors: int
    findings_warnings: int
    codes: list[dict[str, Any]]
    known: str | None


class Audits:
    """Read and change audits; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    # --- an audit's life ---

    def open(
        self,
        audit_id: str,
        *,
        dataset: str,
        created_by: str | None = None,
        scheduled: bool = False,
        once: RequestKey | None = None,
    ) -> str:
        """Begin an audit; return its id, or that of the audit that an earlier request with the same key began.

        Raises AuditAtWork if the dataset has an audit that has not ended, RequestKeyReused if the earlier request asked for
        something else; then nothing is recorded.
        """
        with self._engine.begin() as connection:
            if once is not None and (known := _earlier(connection, once, audit_id)) is not None:
                return known
            given = {"id": audit_id, "dataset": dataset, "created_by": created_by, "scheduled": scheduled}
            if execute(connection, "audits/open", **given).first() is None:
                at_work = execute(connection, "audits/at_work", dataset=dataset).scalar()
                raise AuditAtWork(at_work or "")
        return audit_id

    def take_up(self, audit_id: str, attempt: datetime) -> bool:
        """Begin the work of an audit, or begin it again because its worker was lost; return False if the audit has ended.

        ``attempt`` is when this attempt was scheduled: earlier ones are refused from then on. Raises Canceled or Superseded.
        """
        with self._engine.begin() as connection:
            if execute(connection, "audits/take_up", id=audit_id, attempt=attempt).first() is not None:
                return True
        known = self.get(audit_id)
        if known is None or known.state.is_final:
            return False
        raise _reason_to_stop(known)

    def note(self, audit_id: str, attempt: datetime, step: AuditStep, records: int) -> None:
        """Record how far an attempt is. Raises Canceled or Superseded if it is to stop."""
        self._of_attempt("audits/note", audit_id, attempt, step=str(step), records=records)

    def succeed(self, audit_id: str, attempt: datetime, *, summary: dict[str, Any], reading: dict[str, Any]) -> None:
        """Record the end of an audit. ``summary`` is what audit.json has. Raises Canceled or Superseded."""
        self._of_attempt(
            "audits/succeed",
            audit_id,
            attempt,
            records=summary["records"],
            invalid=summary["invalid"],
            findings_errors=summary["errors"],
            findings_warnings=summary["warnings"],
            summary=_as_jsonb(summary),
            reading=_as_jsonb(reading),
        )

    def end(self, audit_id: str, state: AuditState, reason: str = "") -> None:
        """Record that an audit failed or was canceled; nothing if it has ended. One that is to be canceled never fails."""
        self._statements.run("audits/end", id=audit_id, state=str(state), reason=without_nul(reason))

    def cancel(self, audit_id: str) -> None:
        """Cancel an audit that waits; have one that runs end soon. Raises IllegalMove if it has ended."""
        with self._engine.begin() as connection:
            if execute(connection, "audits/cancel", id=audit_id).first() is None:
                raise IllegalMove("The audit has ended; it cannot be canceled any more.")

    def _of_attempt(self, query: str, audit_id: str, attempt: datetime, **values: object) -> None:
        """Execute a statement that changes the audit of this attempt. Raises Canceled or Superseded if it changes none."""
        with self._engine.begin() as connection:
            changed = execute(connection, query, id=audit_id, attempt=attempt, **values).first()
        if changed is None:
            raise _reason_to_stop(self.get(audit_id))

    # --- reading ---

    def get(self, audit_id: str) -> AuditRecord | None:
        """Return one audit, or None."""
        rows = self._statements.rows("audits/status", id=UUID(audit_id))
        return _record(rows[0]) if rows else None

    def page(self, dataset: str, *, before: str | None = None, limit: int = 50) -> list[AuditRecord]:
        """Return a page of a dataset's audits, newest first, by keyset pagination: ``before`` is the last one's id before."""
        rows = self._statements.rows("audits/page", dataset=dataset, before=before and UUID(before), limit=limit)
        return [_record(row) for row in rows]

    def unfinished(self, before: datetime) -> list[AuditRef]:
        """Return the audits that have not ended, of those that were requested before then, oldest first."""
        return [AuditRef(**row) for row in self._statements.rows("audits/unfinished", before=before)]

    # --- messages ---

    def undecided(self) -> list[UndecidedAudit]:
        """Return the audits that succeeded, and of which it is not decided what recipients get to know, oldest first."""
        return [UndecidedAudit(**row) for row in self._statements.rows("audits/undecided")]

    def decide(self, audit_id: str, message: AuditMessage) -> None:
        """Record what recipients are notified of."""
        self._statements.run("audits/decide", id=audit_id, message=str(message))

    # --- retention ---

    def ends(self, ids: Iterable[str]) -> dict[str, datetime | None]:
        """Return when those of these audits that are in the ledger ended, by id; None: not yet."""
        rows = self._statements.rows("audits/known", ids=[UUID(one) for one in ids])
        return {row["audit_id"]: row["finished_at"] for row in rows}

    def mark_removed(self, audit_id: str, ended_by: datetime) -> bool:
        """Record, before any object is removed, that a report is no longer kept, and delete its rows.

        Return False, and do nothing, unless the audit had ended by ``ended_by``.
        """
        with self._engine.begin() as connection:
            connection.exec_driver_sql(may_take(LONG_SECONDS))
            marked = execute(connection, "audits/mark_removed", id=audit_id, ended_by=ended_by).first()
            if marked:
                execute(connection, "audit_findings/discard", audit_id=audit_id)
        return marked is not None


def _earlier(connection: Connection, once: RequestKey, audit_id: str) -> str | None:
    """Record a request; return the audit of an earlier one with the same key, or None. Raises RequestKeyReused."""
    named = {"key_id": once.owner, "idempotency_key": once.value}
    given = {"fingerprint": once.fingerprint, "import_id": audit_id}
    if execute(connection, "idempotency_keys/open", **named, **given).first() is not None:
        return None
    known: Sequence[RowMapping] = execute(connection, "idempotency_keys/get", **named).mappings().all()
    if not known or known[0]["fingerprint"] != once.fingerprint:
        raise RequestKeyReused("The Idempotency-Key was used for another request.")
    return str(known[0]["import_id"])


def _reason_to_stop(known: AuditRecord | None) -> Exception:
    if known is not None and known.cancel_requested_at is not None:
        return Canceled("The audit was canceled.")
    return Superseded("A later attempt has taken up the audit.")


def _record(row: RowMapping) -> AuditRecord:
    return AuditRecord(**{**row, "state": AuditState(row["state"])})


def _as_jsonb(value: dict[str, Any]) -> str:
    return json.dumps(without_nul(value))
