"""Changes of an import's state, each within a transaction of its caller.

contracts/states.py has the map of the legal moves. It is enforced here, under the lock of the import's row, so that two
processes cannot move an import in two directions. Each transition is an SQL file of its own, which also sets the times.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypedDict

import psycopg
from sqlalchemy import Connection, RowMapping, event
from sqlalchemy.exc import IntegrityError

from pipeline.contracts.object_keys import QUARANTINE_PART_NO
from pipeline.contracts.options import Options
from pipeline.contracts.states import MOVES, State
from pipeline.errors import Canceled, DatasetBusy, IllegalMove, TransientError
from pipeline.ledger.statements import execute
from pipeline.sqlfiles import without_nul
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import TRANSITIONS

ONE_AT_WORK = "import_at_work"
"""The unique index that allows one import at work in each dataset."""


class ImportChanges(TypedDict, total=False):
    """Columns of an import that are set without a change of its state, or together with one. What is left out stays."""

    size_bytes: int
    sha256: str
    etag: str
    records_total: int
    records_valid: int
    records_invalid: int
    unprocessed: int
    quarantined: int
    parts_total: int
    findings_errors: int
    findings_warnings: int
    findings_by_code: dict[str, int]
    reading: dict[str, Any]
    preview: dict[str, int]
    duplicate_of: str
    definition_version: int


def lock(connection: Connection, import_id: str) -> RowMapping:
    """Lock an import's row until the transaction ends, and return what decides on its moves. Raises LookupError."""
    row = execute(connection, "imports/lock", id=import_id).mappings().first()
    if row is None:
        raise LookupError(f"There is no import {import_id}.")
    return row


def locked_state(connection: Connection, import_id: str) -> State:
    """Lock an import's row until the transaction ends, and return its state. Raises LookupError."""
    return State(lock(connection, import_id)["state"])


def update(connection: Connection, import_id: str, changes: ImportChanges) -> None:
    """Set the given columns of an import."""
    if changes:
        given = {name: _storable(value) for name, value in changes.items()}
        execute(connection, "imports/update", id=import_id, **(dict.fromkeys(ImportChanges.__annotations__) | given))


def change_state(connection: Connection, import_id: str, to: State, reason: str = "") -> bool:
    """Move an import to a state; return False if it is in that state already.

    Raises what ``Imports.move`` raises. The transaction must be rolled back then.
    """
    row = lock(connection, import_id)
    state = State(row["state"])
    if row["cancel_requested_at"] is not None and not state.is_final and to is not State.CANCELED:
        raise Canceled
    if state is to:
        return False
    if to not in MOVES[state]:
        raise IllegalMove(f"The import is {state}; it cannot become {to}.")
    try:
        execute(connection, _transition_to(to), id=import_id, state=to, reason=without_nul(reason))
    except IntegrityError as error:
        if not (isinstance(error.orig, psycopg.Error) and error.orig.diag.constraint_name == ONE_AT_WORK):
            raise
        raise DatasetBusy(f"Another import of the dataset {row['dataset']} is at work; this one waits for its end.") from error
    record_move(connection, import_id, state, to, reason or MOVES[state][to], dataset=row["dataset"])
    if to is State.VALIDATING:  # loaders of an earlier run that was lost may still be at work
        execute(connection, "parts/discard_leases", import_id=import_id)
    return True


def begin_validation(connection: Connection, import_id: str, attempt: datetime) -> None:
    """Move an import to ``validating``, with ``attempt`` as its fencing token: an earlier attempt is refused from then on.

    Raises what ``Imports.take_up`` raises.
    """
    taken_up_at = lock(connection, import_id)["taken_up_at"]
    if taken_up_at is not None and taken_up_at > attempt:
        raise TransientError("A later attempt has taken up the import.")
    change_state(connection, import_id, State.VALIDATING)
    execute(connection, "imports/take_up", id=import_id, attempt=attempt)


def promote(connection: Connection, import_id: str, options: Options, *, dataset: str) -> None:
    """Move a validated dry run to the end of its dataset's queue with these options, its counts and its quarantine reset."""
    execute(connection, "imports/promote", id=import_id, options=json.dumps(options.to_json()))
    execute(connection, "quarantine/discard", import_id=import_id, part_no=QUARANTINE_PART_NO)
    record_move(connection, import_id, State.VALIDATED, State.QUEUED, MOVES[State.VALIDATED][State.QUEUED], dataset=dataset)


def record_move(
    connection: Connection, import_id: str, before: State | None, after: State, reason: str, *, dataset: str
) -> None:
    """Add a change of state to the import's history; it is counted when the transaction is committed."""
    execute(connection, "moves/insert", import_id=import_id, from_state=before, to_state=after, reason=without_nul(reason))
    if metrics.is_on():

        @event.listens_for(connection, "commit", once=True)
        def count(_: Connection) -> None:
            metrics.count(TRANSITIONS, dataset=dataset, state=str(after))


def _transition_to(state: State) -> str:
    if state is State.VALIDATING:
        return "imports/begin_validation"
    return "imports/end" if state.is_final else "imports/change_state"


def _storable(value: Any) -> Any:
    """Return a column's value as PostgreSQL takes it: objects as JSON, and no NUL in any text."""
    value = without_nul(value)
    return json.dumps(value) if isinstance(value, dict) else value
