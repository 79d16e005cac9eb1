"""The ledger: what remembers every import for ever, with each change of its state and the counts of each of its parts.

Temporal forgets a finished run after its retention; this does not. The map of legal moves is in contracts.py and is
enforced here, under a row lock, so that two processes cannot take an import two ways.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, RowMapping, text
from sqlalchemy.exc import IntegrityError

from pipeline.contracts.messages import ObjectArrived, Outcome
from pipeline.contracts.object_keys import Kept
from pipeline.contracts.options import Options
from pipeline.contracts.states import ACTIVE, AT_WORK, MOVES, State
from pipeline.errors import Canceled, Conflict, DatasetBusy, IllegalMove, NotFound, TransientError
from pipeline.ledger.models import ImportRecord, Move, Trace, ValidationRun
from pipeline.sqlfiles import load, without_nul

_SETTABLE = {
    *("filename", "size_bytes", "sha256", "bucket", "key", "etag", "reason", "parts_total", "unprocessed"),
    *("records_total", "records_valid", "records_invalid", "findings_errors", "findings_warnings", "findings_by_code"),
    *("options", "reading", "preview", "quarantined", "duplicate_of", "pause_wanted", "taken_up_at"),
}

ONE_AT_WORK = "import_at_work"
"""The unique index by which PostgreSQL itself refuses that two imports of a dataset are at work."""

_MAY_BE_LONG = "set local statement_timeout = '1h'"
"""For a transaction that writes or removes a row for each of a file's."""

_ROWS = {Kept.REPORT: "findings/discard", Kept.RESULTS: "failures/discard"}
"""Findings are the report once more, for people's SQL; failed records are results, whoever refused them."""


class Ledger:
    """Reads and writes the ledger; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        upload_seconds: float | None = None,
    ) -> bool:
        """Begin an import; False if there is one of that id already.

        An upload that is awaited is given up after ``upload_seconds`` unless it is renewed; None: after BULKHEAD_KEEP_UPLOADS.
        """
        with self._engine.begin() as connection:
            opened = connection.execute(
                text(load("queries/imports/open")),
                {
                    "id": import_id,
                    "dataset": dataset,
                    "state": state,
                    "filename": filename,
                    "size_bytes": size_bytes,
                    "bucket": bucket,
                    "key": key,
                    "etag": etag,
                    "created_by": created_by,
                    "options": json.dumps((options or Options()).to_json()),
                    "retry_of": retry_of,
                    "upload_seconds": upload_seconds,
                },
            ).first()
            if opened is not None:
                _note_move(connection, import_id, None, state, "")
        return opened is not None

    def renew_upload(self, import_id: str, seconds: float) -> None:
        """The process that receives the import's file is alive: do not give the upload up for ``seconds`` from now."""
        self._run("imports/renew", id=import_id, seconds=seconds)

    def lapsed_upload(self, import_id: str) -> str | None:
        """The key of an awaited upload whose process has stopped renewing its lease; None if there is no such upload."""
        rows = self._rows("imports/lapsed", id=import_id)
        return rows[0]["key"] if rows else None

    def uploaded(self, import_id: str, *, size_bytes: int, sha256: str, etag: str) -> None:
        """The file is whole in S3. Its event may have come first, so an import that is further already stays there.

        ``sha256``: empty if nobody here has read the file; one that is known already then stays.
        """
        with self._engine.begin() as connection:
            state = _locked_state(connection, import_id)
            known = {"sha256": sha256} if sha256 else {}
            _set(connection, import_id, {"size_bytes": size_bytes, "etag": etag, **known})
            if state is State.AWAITING_UPLOAD:
                _set(connection, import_id, {"state": State.QUEUED})
                _note_move(connection, import_id, state, State.QUEUED, MOVES[state][State.QUEUED])

    def move(self, import_id: str, to: State, reason: str = "", **columns: Any) -> bool:
        """Take an import to another state and set ``columns`` with it; False if it is there already.

        Raises IllegalMove if the map in contracts.py has no such move, Canceled if the import's cancellation was asked for and
        ``to`` is anything else, DatasetBusy if it is to be at work while another one of its dataset is, LookupError if there
        is no such import.
        """
        with self._engine.begin() as connection:
            return _moved(connection, import_id, to, reason, columns)

    def take_up(self, import_id: str, attempt: datetime) -> None:
        """Begin to validate an import, for the first time or because its run was lost; ``attempt`` is when this was scheduled.

        Raises what ``move`` raises, and TransientError if a later attempt has taken it up already: this one has slept.
        """
        with self._engine.begin() as connection:
            row = _locked(connection, import_id)
            if row["taken_up_at"] is not None and row["taken_up_at"] > attempt:
                raise TransientError("A later attempt has taken up the import.")
            _moved(connection, import_id, State.VALIDATING, "", {"taken_up_at": attempt})

    def cancel(self, import_id: str) -> bool:
        """Have an import canceled: True if it waited, and is canceled; False if it is at work, and its next step will see it.

        The request is kept: whatever the import does from now on, it ends as canceled. Asking again changes nothing. Raises
        IllegalMove if the import has come to its end, LookupError if there is no such import.
        """
        with self._engine.begin() as connection:
            state = _locked_state(connection, import_id)
            if state.is_final:
                raise IllegalMove(f"The import is {state}; it cannot be canceled any more.")
            if state in AT_WORK:
                connection.execute(text(load("queries/imports/cancel")), {"id": import_id})
                return False
            left = connection.execute(text(load("queries/imports/left")), {"id": import_id}).scalar_one()
            _moved(connection, import_id, State.CANCELED, "", {"unprocessed": int(left)})
            return True

    def check_canceled(self, import_id: str) -> None:
        """Raise Canceled if the import's cancellation was asked for."""
        if any(row["canceling"] for row in self._rows("imports/canceling", id=import_id)):
            raise Canceled

    def close(self, import_id: str) -> ImportRecord:
        """No part is written from here on, not even by a loader that sleeps; the import as it then is, with its last counts."""
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/imports/close")), {"import_id": import_id})
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/imports/end_sleepers")), {"import_id": import_id})
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/parts/discard_leases")), {"import_id": import_id})
        return self.known(import_id)

    def pause(self, import_id: str, *, wanted: bool) -> None:
        """Note that the import is to stand still, or to go on.

        Raises IllegalMove if it has come to its end, or is being canceled.
        """
        with self._engine.begin() as connection:
            if connection.execute(text(load("queries/imports/pause")), {"id": import_id, "wanted": wanted}).first() is None:
                state = _locked_state(connection, import_id)
                is_now = "being canceled" if state in ACTIVE else str(state)
                raise IllegalMove(f"The import is {is_now}; it cannot be {'paused' if wanted else 'resumed'}.")

    def retries(self, import_id: str) -> list[str]:
        """The ids of the imports that try this one's failed records again, oldest first."""
        return [row["id"] for row in self._rows("imports/retries", import_id=import_id)]

    def loaded_before(self, one: ImportRecord, rules_version: str) -> ImportRecord | None:
        """The import that loaded the very content of ``one`` before, by the same rules and wishes; None if none did."""
        rows = self._rows(
            "imports/loaded_before",
            id=one.id,
            dataset=one.dataset,
            sha256=one.sha256,
            rules_version=rules_version,
            delimiter=one.options.delimiter or "",
            without=json.dumps(one.options.without),
            mapping=json.dumps(one.options.mapping),
        )
        return self.get(rows[0]["id"]) if rows else None

    def changed_since(self, earlier: ImportRecord) -> bool:
        """Whether another import, or another client, has written records of the dataset since ``earlier`` began to load."""
        return bool(self._rows("imports/changed_since", id=earlier.id, dataset=earlier.dataset)[0]["is_changed"])

    def update(self, import_id: str, **columns: Any) -> None:
        """Set columns of an import without moving it."""
        with self._engine.begin() as connection:
            _set(connection, import_id, columns)

    def promote(self, import_id: str) -> None:
        """Have a validated dry run loaded: it goes to the end of its dataset's queue, with its counts still to come.

        Raises IllegalMove if the import is none, LookupError if there is no such import.
        """
        with self._engine.begin() as connection:
            state = _locked_state(connection, import_id)
            if state is not State.VALIDATED:
                raise IllegalMove(f"The import is {state}; only a dry run that is validated can be promoted.")
            options = Options.from_json(
                connection.execute(text(load("queries/imports/promote")), {"id": import_id}).scalar_one()
            )
            _set(connection, import_id, {"state": State.QUEUED, "options": replace(options, dry_run=False).to_json()})
            connection.execute(text(load("queries/quarantine/discard")), {"import_id": import_id})
            _note_move(connection, import_id, state, State.QUEUED, MOVES[state][State.QUEUED])

    def quarantine(self, import_id: str, records: int, rows: Path | None) -> None:
        """Enter the quarantine as part 0, whose records all failed; ``rows`` is a CSV as quarantine.py writes it.

        What an earlier attempt entered is replaced. Raises Conflict if parts are loaded already that another
        quarantine was
        cut without: then the warehouse has been changed since, and the parts would not be those that they were.
        """
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_MAY_BE_LONG)
            _locked_state(connection, import_id)
            booked, loaded = connection.execute(text(load("queries/quarantine/known")), {"import_id": import_id}).one()
            if loaded:
                if booked != records:
                    raise Conflict("The warehouse was changed since the first records were loaded. Upload the file again.")
                return
            connection.execute(text(load("queries/quarantine/discard")), {"import_id": import_id})
            if rows is None:
                return
            entry = {"import_id": import_id, "records": records}
            connection.execute(text(load("queries/quarantine/entry")), entry)
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor, cursor.copy(load("queries/quarantine/copy")) as copy, rows.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    copy.write(chunk)

    def discard(self, import_id: str) -> None:
        """Forget an import whose upload never became whole."""
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/imports/discard")), {"id": import_id})

    # --- reading ---

    def get(self, import_id: str) -> ImportRecord | None:
        """One import, or None."""
        found = self._read([import_id])
        return found[0] if found else None

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
    ) -> list[ImportRecord]:
        """A page of imports, newest first; ``before`` is the id of the last one seen, ``named`` a part of the file's name,
        ``among`` the datasets that there are."""
        with self._engine.connect() as connection:
            ids = connection.execute(
                text(load("queries/imports/page")),
                {"dataset": dataset, "state": state, "before": before, "limit": limit}
                | {"since": since, "until": until, "named": named}
                | {"among": None if among is None else list(among)},
            ).scalars()
            return self._read(list(ids))

    def _read(self, ids: Sequence[str]) -> list[ImportRecord]:
        with self._engine.connect() as connection:
            rows = connection.execute(text(load("queries/imports/status")), {"ids": [UUID(one) for one in ids]}).mappings()
            return [_import(row) for row in rows]

    def imports_of(self, arrival: ObjectArrived) -> list[tuple[str, State, str]]:
        """(id, state, etag) of the imports of one object, newest first."""
        rows = self._rows("imports/of_object", bucket=arrival.bucket, key=arrival.key)
        return [(row["id"], State(row["state"]), row["etag"]) for row in rows]

    def moves(self, import_id: str) -> list[Move]:
        """An import's changes of state, oldest first."""
        return [Move(**row) for row in self._rows("moves/list", import_id=import_id)]

    def findings(
        self,
        import_id: str,
        *,
        codes: Sequence[str] | None = None,
        severity: str | None = None,
        wanted: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """A page of what validation found, by number: of some codes, of a severity, or what has ``wanted`` as id, value or row.

        Each with the fields of a finding, finding_no and cells. To look for something, or for a severity, takes the codes.
        """
        asked: dict[str, Any] = {"import_id": import_id, "after": after, "limit": limit}
        if wanted is not None:
            spelled = wanted.replace("\0", "\\u0000")  # as warehouse.keep_findings spells it
            row = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= 18 else None
            rows = self._rows("findings/search", wanted=spelled, row=row, codes=list(codes or ()), **asked)
        elif codes is not None:
            severities = ["error", "warning"] if severity is None else [severity]
            rows = self._rows("findings/page_of_codes", codes=list(codes), severities=severities, **asked)
        else:
            rows = self._rows("findings/page", **asked)
        return [dict(row) for row in rows]

    def count_findings(self, import_id: str, code: str, severity: str) -> int:
        """How many findings there are of both."""
        (row,) = self._rows("findings/count", import_id=import_id, code=code, severity=severity)
        return int(row["count"])

    def failures(self, import_id: str, *, after_row: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """A page of the records that were held back or that the warehouse refused, by row number."""
        rows = self._rows("failures/list", import_id=import_id, after_row=after_row, limit=limit)
        return [dict(row) for row in rows]

    def failure_fates(self, import_id: str, *, after_row: int = 0, limit: int = 50_000) -> list[dict[str, Any]]:
        """The same, as (row, code, reason) only."""
        rows = self._rows("failures/fates", import_id=import_id, after_row=after_row, limit=limit)
        return [dict(row) for row in rows]

    def failures_of(self, dataset: str, record_id: str, *, imports: int, limit: int) -> list[dict[str, Any]]:
        """Where among the dataset's last ``imports`` a record of this id was held back or refused, newest first.

        Each with import_id, filename, created_at, row, code and message, and how its file was read.
        """
        rows = self._rows("failures/of_record", dataset=dataset, id=record_id, imports=imports, limit=limit)
        return [dict(row) for row in rows]

    def part_numbers(self, import_id: str) -> list[int]:
        """The parts that are in the books, without the quarantine."""
        return [row["part_no"] for row in self._rows("parts/numbers", import_id=import_id)]

    def known(self, import_id: str) -> ImportRecord:
        """Return the import of that id. Raises NotFound if there is none."""
        found = self.get(import_id)
        if found is None:
            raise NotFound(f"There is no import {import_id}.")
        return found

    def part_totals(self, import_id: str) -> dict[str, int]:
        """parts_done, records, inserted, updated, unchanged, failed: sums over the loaded parts."""
        return dict(self._rows("parts/totals", import_id=import_id)[0])

    def validations(self, dataset: str, *, limit: int = 50) -> list[ValidationRun]:
        """What validation said of the dataset's last files, newest first."""
        rows = self._rows("findings/validation_runs", dataset=dataset, limit=limit)
        return [ValidationRun(**{**row, "state": State(row["state"])}) for row in rows]

    def mapping(self, dataset: str, names: Sequence[str]) -> dict[str, str] | None:
        """What was made last of the columns of a file that has these; None if there was none."""
        rows = self._rows("mappings/get", dataset=dataset, header=_header(names))
        return dict(rows[0]["mapping"]) if rows else None

    def keep_mapping(self, dataset: str, names: Sequence[str], mapping: Mapping[str, str], *, by: str) -> None:
        """Remember what was made of the columns of a file that has these."""
        given = {"dataset": dataset, "header": _header(names), "mapping": json.dumps(mapping), "remembered_by": by}
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/mappings/keep")), given)

    def active(self) -> list[ImportRecord]:
        """The imports that stand in their datasets' queues, oldest first."""
        with self._engine.connect() as connection:
            ids = list(connection.execute(text(load("queries/imports/active"))).scalars())
        return sorted(self._read(ids), key=lambda one: one.created_at)

    def next(self, dataset: str, but: Sequence[str] = ()) -> ImportRecord | None:
        """The import of a dataset that is at work, or else the first in its queue, leaving out those that are named."""
        rows = self._rows("imports/next", dataset=dataset, but=[UUID(one) for one in but])
        return self.get(rows[0]["id"]) if rows else None

    def traces(self, ids: Iterable[str]) -> dict[str, Trace]:
        """Those of these imports that the ledger knows, by id."""
        rows = self._rows("imports/traces", ids=[UUID(one) for one in ids])
        return {row["id"]: Trace(**{**row, "state": State(row["state"])}) for row in rows}

    def stale_uploads(self, since: datetime | None) -> list[tuple[str, str, bool]]:
        """The (id, key, whether it has a lease) of imports whose upload may be over.

        Those whose lease has lapsed, and without a lease, those that have awaited their upload since before ``since``.
        """
        return [(row["id"], row["key"], row["was_leased"]) for row in self._rows("imports/stale", since=since)]

    # --- what is not kept any longer ---

    def mark_removed(self, import_id: str, what: Kept, ended_by: datetime) -> bool:
        """Note that this is not kept any longer, and forget the rows that go with it; before any object is removed.

        False, and nothing is done, unless the import was over for good by then.
        """
        column = f"{what}_removed_at"
        settled = [state for state in State if state.is_settled]
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_MAY_BE_LONG)
            marked = connection.execute(
                text(
                    f"update ledger.import set {column} = coalesce({column}, clock_timestamp())"
                    " where id = :id and state = any(:settled) and finished_at <= :ended_by returning id"
                ),
                {"id": import_id, "settled": settled, "ended_by": ended_by},
            ).first()
            if marked and what in _ROWS:
                connection.execute(text(load(f"queries/{_ROWS[what]}")), {"import_id": import_id})
        return marked is not None

    def unpromoted(self, ended_by: datetime) -> list[str]:
        """The ids of dry runs that ended by then and were not promoted, oldest first."""
        return [row["id"] for row in self._rows("imports/unpromoted", since=ended_by)]

    def expire(self, query: str, *, dry_run: bool, **values: datetime) -> int:
        """Delete the rows that ``query`` names (idempotency_keys/expire and the like); with ``dry_run`` only
        count them."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            count = connection.execute(text(load(f"queries/{query}")), values).rowcount
            if dry_run:
                transaction.rollback()
        return count

    @contextmanager
    def locked(self, import_id: str) -> Iterator[State]:
        """The import's state, which nobody can change while the block lasts. Raises LookupError."""
        with self._engine.begin() as connection:
            yield _locked_state(connection, import_id)

    # --- telling the user ---

    def deliveries(self, import_id: str) -> list[dict[str, Any]]:
        """Who was told of the outcome, how often it was tried, and whether it arrived."""
        return [dict(row) for row in self._rows("deliveries/list", import_id=import_id)]

    def recent_deliveries(self, imports: int) -> list[dict[str, Any]]:
        """The same of the last so many imports, newest first, each with its import's id, filename, dataset and state."""
        return [dict(row) for row in self._rows("deliveries/recent", imports=imports)]

    def open_delivery(self, import_id: str, channel: str, target: str, message_id: str) -> None:
        """Note that somebody is to be told; no effect the second time."""
        self._run("deliveries/open", import_id=import_id, channel=channel, target=target, message_id=message_id)

    def deliveries_noted(self, import_id: str, state: State) -> None:
        """Note that all who are to be told of this end are entered; no effect if the import has come to another since."""
        self._run("deliveries/noted", import_id=import_id, state=state)

    def is_noted(self, import_id: str, state: State) -> bool:
        """Whether that was noted."""
        return bool(self._rows("deliveries/is_noted", import_id=import_id, state=state))

    def delivery_tried(
        self, import_id: str, channel: str, target: str, error: str = "", *, wait_seconds: float = 0.0, is_last: bool = False
    ) -> None:
        """Note one try; no error means that it arrived. Otherwise the next is in so many seconds, unless this was the last."""
        given = {"error": error, "wait_seconds": wait_seconds, "is_last": is_last}
        self._run("deliveries/tried", import_id=import_id, channel=channel, target=target, **given)

    def delivery_put_off(self, import_id: str, channel: str, target: str, wait_seconds: float) -> None:
        """Note that a message is tried in so many seconds; it was not tried now."""
        self._run("deliveries/put_off", import_id=import_id, channel=channel, target=target, wait_seconds=wait_seconds)

    def untold(self, *, within: timedelta, ended: timedelta, overdue: timedelta, limit: int) -> list[Outcome]:
        """Ends of imports of which nothing tells any more, among those ``within`` that time.

        Either it was never noted who is to be told, though the import ``ended`` so long ago, or a message is ``overdue`` by so
        much. Those that ended first come first.
        """
        rows = self._rows(
            "deliveries/untold",
            final=[state for state in State if state.is_final],
            within=within.total_seconds(),
            ended=ended.total_seconds(),
            overdue=overdue.total_seconds(),
            imports=limit,
        )
        return [Outcome(row["id"], State(row["state"]), row["reason"]) for row in rows]

    def told_again(self, import_id: str, wait: timedelta) -> None:
        """Note that a message of the import that is overdue is not to be called so for this time: it is being seen to."""
        self._run("deliveries/told_again", import_id=import_id, wait_seconds=wait.total_seconds())

    # --- how far a bucket was listed ---

    def listed_up_to(self, bucket: str) -> str:
        """The key after which the listing of a bucket goes on; empty: from its beginning."""
        rows = self._rows("listings/get", bucket=bucket)
        return str(rows[0]["after_key"]) if rows else ""

    def keep_listed(self, bucket: str, after_key: str) -> None:
        """Note that key."""
        self._run("listings/keep", bucket=bucket, after_key=after_key)

    def _rows(self, query: str, **values: Any) -> Sequence[RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(text(load(f"queries/{query}")), values).mappings().all()

    def _run(self, query: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(load(f"queries/{query}")), values)


def _locked(connection: Connection, import_id: str) -> RowMapping:
    row = connection.execute(text(load("queries/imports/lock")), {"id": import_id}).mappings().first()
    if row is None:
        raise LookupError(f"There is no import {import_id}.")
    return row


def _locked_state(connection: Connection, import_id: str) -> State:
    return State(_locked(connection, import_id)["state"])


def _moved(connection: Connection, import_id: str, to: State, reason: str, columns: dict[str, Any]) -> bool:
    """Ledger.move, in a transaction that is under way; it must end if this raises."""
    row = _locked(connection, import_id)
    state = State(row["state"])
    if row["cancel_requested_at"] is not None and not state.is_final and to is not State.CANCELED:
        raise Canceled
    if state is to:
        _set(connection, import_id, columns)
        return False
    if to not in MOVES[state]:
        raise IllegalMove(f"The import is {state}; it cannot become {to}.")
    try:
        _set(connection, import_id, {"state": to, **columns} | ({"reason": reason} if reason else {}))
    except IntegrityError as error:
        if not (isinstance(error.orig, psycopg.Error) and error.orig.diag.constraint_name == ONE_AT_WORK):
            raise
        raise DatasetBusy(f"Another import of the dataset {row['dataset']} is at work; this one waits for its end.") from error
    _note_move(connection, import_id, state, to, reason or MOVES[state][to])
    if to is State.VALIDATING:  # if a run before this one was lost, its loaders may still be at it
        connection.execute(text(load("queries/parts/discard_leases")), {"import_id": import_id})
    return True


def _set(connection: Connection, import_id: str, columns: dict[str, Any]) -> None:
    """Set columns; times follow from the state, so that no caller can forget them."""
    state = columns.get("state")
    columns = {name: without_nul(value) for name, value in columns.items()}
    unknown = set(columns) - _SETTABLE - {"state"}
    if unknown:
        raise TypeError(f"The ledger has no settable column {', '.join(sorted(unknown))}.")
    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in columns.items()}
    sets = [f"{name} = :{name}" for name in values]
    if state is State.VALIDATING:
        sets += ["started_at = clock_timestamp()", "closing = false", "warehouse_seen = pg_current_snapshot()"]
    if isinstance(state, State) and state.is_final:
        sets.append("finished_at = clock_timestamp()")
    if sets:
        connection.execute(text(f"update ledger.import set {', '.join(sets)} where id = :id"), {**values, "id": import_id})


def _note_move(connection: Connection, import_id: str, before: State | None, after: State, reason: str) -> None:
    connection.execute(
        text(load("queries/moves/insert")),
        {"import_id": import_id, "from_state": before, "to_state": after, "reason": without_nul(reason)},
    )


def _header(names: Sequence[str]) -> str:
    """Names a set of columns, in whatever order they stand."""
    return hashlib.sha256(json.dumps(sorted(names)).encode()).hexdigest()


def _import(row: RowMapping) -> ImportRecord:
    return ImportRecord(**{**row, "state": State(row["state"]), "options": Options.from_json(row["options"])})
