"""Imports in the ledger: their lives from the opened upload to the last state, and how they are found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Unpack
from uuid import UUID

from sqlalchemy import Engine, RowMapping

from pipeline.contracts.options import READ_NAMES, Options
from pipeline.contracts.states import ACTIVE, AT_WORK, State
from pipeline.errors import Canceled, IllegalMove, NotFound
from pipeline.ledger import transitions
from pipeline.ledger.audit_log import Also
from pipeline.ledger.models import ImportRecord, Move, Trace
from pipeline.ledger.statements import Statements, execute
from pipeline.ledger.transitions import ImportChanges


class Imports:
    """Read and change imports; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    # --- an import's life ---

    def open(
        self,
        import_id: str,
        *,
        dataset: str,
        filename: str,
        bucket: str,
        key: str,
        created_by: str | None = None,
        state: State = State.AWAITING_UPLOAD,
        size_bytes: int = 0,
        etag: str = "",
        options: Options | None = None,
        retry_of: str | None = None,
        traceparent: str | None = None,
        upload_seconds: float | None = None,
    ) -> bool:
        """Begin an import; return False if there is one with that ID already.

        An awaited upload expires after ``upload_seconds`` unless its lease is renewed; None: after BULKHEAD_KEEP_UPLOADS.
        """
        with self._engine.begin() as connection:
            opened = execute(
                connection,
                "imports/open",
                id=import_id,
                dataset=dataset,
                state=state,
                filename=filename,
                size_bytes=size_bytes,
                bucket=bucket,
                key=key,
                etag=etag,
                created_by=created_by,
                options=json.dumps((options or Options()).to_json()),
                retry_of=retry_of,
                traceparent=traceparent,
                upload_seconds=upload_seconds,
            ).first()
            if opened is not None:
                transitions.record_move(connection, import_id, None, state, "", dataset=dataset)
        return opened is not None

    def update(self, import_id: str, **changes: Unpack[ImportChanges]) -> None:
        """Set columns of an import without a change of its state."""
        with self._engine.begin() as connection:
            transitions.update(connection, import_id, changes)

    def move(self, import_id: str, to: State, reason: str = "", **changes: Unpack[ImportChanges]) -> bool:
        """Move an import to another state and set ``changes`` with it; return False if it is in that state already.

        Raises IllegalMove if the map in contracts/states.py has no such move, Canceled if the import's cancellation was
        requested and ``to`` is any other state, DatasetBusy if the import is to be at work while another one of its dataset is,
        LookupError if there is no such import.
        """
        with self._engine.begin() as connection:
            is_changed = transitions.change_state(connection, import_id, to, reason)
            transitions.update(connection, import_id, changes)
        return is_changed

    def take_up(self, import_id: str, attempt: datetime) -> None:
        """Begin to validate an import, for the first time or because its run was lost; ``attempt`` is when this was scheduled.

        Raises what ``move`` raises, and TransientError if a later attempt has taken it up already.
        """
        with self._engine.begin() as connection:
            transitions.begin_validation(connection, import_id, attempt)

    def cancel(self, import_id: str, also: Also | None = None) -> bool:
        """Cancel an import: True if it waited and is canceled now; False if it is at work and its next step will see it.

        The request is kept: the import ends as canceled, whatever it does from now on. Asking again changes nothing. ``also``
        appends to the audit log in the same transaction. Raises IllegalMove if the import is final, LookupError if there is no
        such import.
        """
        with self._engine.begin() as connection:
            state = transitions.locked_state(connection, import_id)
            if state.is_final:
                raise IllegalMove(f"The import is {state}; it cannot be canceled any more.")
            if state in AT_WORK:
                execute(connection, "imports/cancel", id=import_id)
            else:
                unprocessed = execute(connection, "imports/unprocessed", id=import_id).scalar_one()
                transitions.change_state(connection, import_id, State.CANCELED)
                transitions.update(connection, import_id, {"unprocessed": int(unprocessed)})
            if also:
                also(connection)
            return state not in AT_WORK

    def check_canceled(self, import_id: str) -> None:
        """Raise Canceled if the import's cancellation was requested."""
        if any(row["canceling"] for row in self._statements.rows("imports/canceling", id=import_id)):
            raise Canceled

    def close(self, import_id: str) -> ImportRecord:
        """Stop all loading of an import, also by loaders that sleep, and return the import with its last counts."""
        with self._engine.begin() as connection:
            execute(connection, "imports/close", import_id=import_id)
        with self._engine.begin() as connection:
            execute(connection, "imports/end_sleepers", import_id=import_id)
        with self._engine.begin() as connection:
            execute(connection, "parts/discard_leases", import_id=import_id)
        return self.known(import_id)

    def pause(self, import_id: str, *, wanted: bool, also: Also | None = None) -> None:
        """Record that the import is to pause, or to go on; ``also`` as for ``cancel``.

        Raises IllegalMove if it is final or being canceled.
        """
        with self._engine.begin() as connection:
            if execute(connection, "imports/pause", id=import_id, wanted=wanted).first() is None:
                state = transitions.locked_state(connection, import_id)
                is_now = "being canceled" if state in ACTIVE else str(state)
                raise IllegalMove(f"The import is {is_now}; it cannot be {'paused' if wanted else 'resumed'}.")
            if also:
                also(connection)

    def promote(self, import_id: str, also: Also | None = None) -> None:
        """Queue a validated dry run to be loaded; its counts begin at zero again; ``also`` as for ``cancel``.

        Raises IllegalMove if the import is no validated dry run, LookupError if there is no such import.
        """
        with self._engine.begin() as connection:
            row = transitions.lock(connection, import_id)
            if State(row["state"]) is not State.VALIDATED:
                raise IllegalMove(f"The import is {row['state']}; only a dry run that is validated can be promoted.")
            options = replace(Options.from_json(row["options"]), dry_run=False)
            transitions.promote(connection, import_id, options, dataset=row["dataset"])
            if also:
                also(connection)

    @contextmanager
    def locked(self, import_id: str) -> Iterator[State]:
        """Hold the lock of an import's row while the block lasts; yield its state. Raises LookupError."""
        with self._engine.begin() as connection:
            yield transitions.locked_state(connection, import_id)

    # --- reading ---

    def get(self, import_id: str) -> ImportRecord | None:
        """Return one import, or None."""
        found = self._read([import_id])
        return found[0] if found else None

    def known(self, import_id: str) -> ImportRecord:
        """Return one import. Raises NotFound if there is none."""
        found = self.get(import_id)
        if found is None:
            raise NotFound(f"There is no import {import_id}.")
        return found

    def page(
        self,
        *,
        dataset: str | None = None,
        state: str | None = None,
        before: str | None = None,
        limit: int = 50,
        among: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        named: str | None = None,
        by: str | None = None,
        with_errors: bool = False,
    ) -> list[ImportRecord]:
        """Return a page of imports, newest first, by keyset pagination: ``before`` is the ID of the last import of the page
        before. ``named`` is a part of the file's name, ``among`` the datasets to choose from, ``by`` the ID of the key or the
        user that created them, or a part of its name."""
        rows = self._statements.rows(
            "imports/page",
            dataset=dataset,
            state=state,
            before=before,
            limit=limit,
            since=since,
            until=until,
            named=named,
            makers=None if by is None else self._makers(by),
            with_errors=with_errors,
            among=None if among is None else list(among),
        )
        return self._read([row["id"] for row in rows])

    def _makers(self, by: str) -> list[UUID]:
        """Return the IDs of the keys and users with that ID, or with that part of a name."""
        return [row["id"] for row in self._statements.rows("imports/makers", by=by)]

    def active(self) -> list[ImportRecord]:
        """Return the imports in their datasets' queues, oldest first."""
        rows = self._statements.rows("imports/active")
        return sorted(self._read([row["id"] for row in rows]), key=lambda one: one.created_at)

    def next(self, dataset: str, but: Sequence[str] = ()) -> ImportRecord | None:
        """Return the dataset's import that is at work, or else the first in its queue, without those in ``but``."""
        rows = self._statements.rows("imports/next", dataset=dataset, but=[UUID(one) for one in but])
        return self.get(rows[0]["id"]) if rows else None

    def traces(self, ids: Iterable[str]) -> dict[str, Trace]:
        """Return state, key and end of those of these imports that are in the ledger, by ID."""
        rows = self._statements.rows("imports/traces", ids=[UUID(one) for one in ids])
        return {row["id"]: Trace(**{**row, "state": State(row["state"])}) for row in rows}

    def moves(self, import_id: str) -> list[Move]:
        """Return an import's changes of state, oldest first."""
        return [Move(**row) for row in self._statements.rows("moves/list", import_id=import_id)]

    def part_numbers(self, import_id: str) -> list[int]:
        """Return the numbers of the parts that are loaded, in order, without the quarantine."""
        return [row["part_no"] for row in self._statements.rows("parts/numbers", import_id=import_id)]

    def retries(self, import_id: str) -> list[str]:
        """Return the IDs of the imports that retry this one's records, oldest first."""
        return [row["id"] for row in self._statements.rows("imports/retries", import_id=import_id)]

    def loaded_before(self, one: ImportRecord, rules_version: str) -> ImportRecord | None:
        """Return the last import that loaded the same content as ``one`` with the same rules and options, or None."""
        rows = self._statements.rows(
            "imports/loaded_before",
            id=one.id,
            dataset=one.dataset,
            sha256=one.sha256,
            rules_version=rules_version,
            others=[name for name in vars(one.options) if name not in READ_NAMES],
            reading=json.dumps(one.options.reading_json()),
        )
        return self.get(rows[0]["id"]) if rows else None

    def changed_since(self, earlier: ImportRecord) -> bool:
        """Return whether another import, or another client, has written records of the dataset since ``earlier`` began to
        load."""
        rows = self._statements.rows("imports/changed_since", id=earlier.id, dataset=earlier.dataset)
        return bool(rows[0]["is_changed"])

    def _read(self, ids: Sequence[str]) -> list[ImportRecord]:
        return [_import(row) for row in self._statements.rows("imports/status", ids=[UUID(one) for one in ids])]


def _import(row: RowMapping) -> ImportRecord:
    return ImportRecord(**{**row, "state": State(row["state"]), "options": Options.from_json(row["options"])})
